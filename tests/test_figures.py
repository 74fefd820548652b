"""What a process counts, through shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from gearpool.figures import Figures, read, size
from gearpool.page import SIZE, Page

WRITER = """
import os, signal, sys
from gearpool.figures import Figures
from gearpool.page import SIZE, Page
figures = Figures(Page.attach(int(sys.argv[1])).memory, SIZE, 2)
figures.functions[1].quick(1000, 0.5)
figures.tell(12.5, 0.25)
figures.reconnected()
figures.stall_began(1, 7)
figures.stall_ended(0.75)
figures.functions[0].ended("timeout", 3.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_process_counted_right_before_it_was_killed_is_read() -> None:
    page = Page.create(size(2))
    try:
        assert read(page.memory, SIZE, 2) is None, "it has not begun"
        ended = subprocess.run([sys.executable, "-c", WRITER, str(page.fd)], pass_fds=[page.fd], check=False)
        assert ended.returncode == -signal.SIGKILL
        figures = read(page.memory, SIZE, 2)
        assert figures is not None
        first, second = figures["functions"]
        assert (first["outcomes"]["timeout"], first["stalls"]) == (1, 0)
        assert (second["outcomes"]["complete"], second["duration_sum_s"], second["stalls"]) == (1000, 0.5, 1)
        assert (figures["told_at"], figures["loop_lag_s"], figures["reconnects"]) == (12.5, 0.25, 1)
        assert (figures["stall_buckets"][:3], figures["stall_sum_s"], figures["stall_sequence"]) == ([0, 1, 0], 0.75, 7)
        assert page.read().sequence == 0, "the page itself is untouched"
    finally:
        page.close()


def test_memory_laid_out_for_other_functions_is_not_read() -> None:
    memory = bytearray(size(3))
    Figures(memory, 0, 2)
    assert read(memory, 0, 2) is not None
    assert read(memory, 0, 3) is None
    assert read(memory, 0, 4) is None, "it is too small"


def test_a_worker_counts_for_itself_if_an_older_supervisor_made_no_room() -> None:
    page = Page.create()
    try:
        figures = Figures(page.memory, SIZE, 1)
        figures.functions[0].ended("complete", 1.0)
        figures.stall_began(0, 1)
        assert figures.functions[0].snapshot()["outcomes"]["complete"] == 1
        assert len(page.memory) == SIZE
    finally:
        page.close()


def test_a_stall_of_no_function_is_counted_apart() -> None:
    memory = bytearray(size(1))
    figures = Figures(memory, 0, 1)
    figures.stall_began(0xFFFF, 3)
    found = read(memory, 0, 1)
    assert found is not None
    assert (found["other_stalls"], found["functions"][0]["stalls"]) == (1, 0)


def test_a_forked_copy_writes_nothing() -> None:
    page = Page.create(size(1))
    figures = Figures(page.memory, SIZE, 1)
    pid = os.fork()
    if pid == 0:
        figures.detach()
        figures.functions[0].ended("complete", 1.0)
        figures.stall_began(0, 1)
        figures.stall_ended(1.0)
        figures.tell(1.0, 1.0)
        figures.reconnected()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    found = read(page.memory, SIZE, 1)
    assert found is not None
    assert found["functions"][0]["outcomes"]["complete"] == 0
    assert (found["functions"][0]["stalls"], found["told_at"], found["reconnects"], found["stall_sum_s"]) == (
        0,
        0,
        0,
        0,
    )
