"""Stacks on request, in a child process without a supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

CHILD = """
import os, signal, sys, threading, time
from gearpool.children.stacks import show_stacks

fd = int(os.environ["GEARPOOL_STACKS_FD"])
show_stacks()
import gevent

def written(text):
    return text in os.pread(fd, 1 << 20, 0)

def ask(number, text):
    # Again, until it arrives while the event loop runs: otherwise there is nothing to show.
    while not written(text):
        os.kill(os.getpid(), number)
        time.sleep(0.02)

def waits_for_io(number, text):
    thread = threading.Thread(target=ask, args=(number, text))
    thread.start()
    while not written(text):
        gevent.sleep(0.1)
    thread.join()

waits_for_io(signal.SIGUSR2, b"main greenlet waits")
waits_for_io(signal.SIGUSR1, b"hread 0x")
"""


def test_both_signals_write_stacks_to_the_given_descriptor() -> None:
    with tempfile.TemporaryFile() as file:
        environment = {**os.environ, "GEARPOOL_STACKS_FD": str(file.fileno())}
        argv = [sys.executable, "-c", CHILD]
        subprocess.run(argv, env=environment, pass_fds=[file.fileno()], timeout=60, check=True)
        text = os.pread(file.fileno(), 1 << 20, 0).decode()
    assert "The main greenlet waits (most recent call first):" in text
    assert "in waits_for_io" in text.partition("main greenlet waits")[2]
    assert "hread 0x" in text
