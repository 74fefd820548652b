from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

START = """
import asyncio, gc, gevent, gevent.hub, logging, sys, threading, warnings
from gearpool import logs, uncaught
from gearpool.settings import LogSettings
logs.configure(LogSettings(format="json"))
uncaught.install()
uncaught.install_in_hubs(gevent.hub.Hub)

def bad(*_):
    raise ValueError("bad\\nidea")

class Finalized:
    def __del__(self):
        bad()

async def forgotten():
    asyncio.get_running_loop().create_task(broken())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

async def broken():
    bad()
"""


def told(code: str, end: int = 0) -> list[dict[str, Any]]:
    """The events of a process that runs ``code``: whatever else it prints is an error."""
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
    assert done.returncode == end, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("gevent.spawn(bad).join()", "greenlet.exception"),
        ("gevent.get_hub().loop.run_callback(bad); gevent.sleep(0)", "greenlet.exception"),
        ("gevent.get_hub().threadpool.spawn(lambda: gevent.spawn(bad).join()).get()", "greenlet.exception"),
        ("thread = threading.Thread(target=bad); thread.start(); thread.join()", "thread.exception"),
        ("Finalized(); gc.collect()", "unraisable"),
        ("asyncio.run(forgotten()); gc.collect()", "log"),
    ],
    ids=["greenlet", "callback", "another thread's greenlet", "thread", "finalizer", "asyncio"],
)
def test_what_nobody_caught_is_one_event_with_its_traceback(code: str, event: str) -> None:
    (line,) = told(code)
    assert (line["event"], line["level"]) == (event, "error")
    assert "in bad" in line["traceback"]
    assert line["traceback"].endswith("ValueError: bad\nidea")


def test_what_ends_the_process_is_an_event() -> None:
    (line,) = told("bad()", end=1)
    assert (line["event"], line["error"]) == ("uncaught", "ValueError: bad\nidea")


@pytest.mark.parametrize("code", ["gevent.spawn(sys.exit).join()", "threading.Thread(target=sys.exit).start()"])
def test_leaving_is_no_error(code: str) -> None:
    assert told(code) == []


def test_a_warning_is_an_event() -> None:
    (line,) = told("warnings.warn('old', DeprecationWarning)")
    assert (line["event"], line["message"], line["category"]) == ("python.warning", "old", "DeprecationWarning")
