"""When the watchdog thread can be used. What it does is tested with `Worker` in `test_library`."""

from __future__ import annotations

import signal
import threading
from typing import Any

import greenlet
import pytest

from gearpool.settings import Settings
from gearpool.worker.pool import WorkerPool
from gearpool.worker.watchdog import watched

SETTINGS = Settings(servers=(), functions=())


def is_watched() -> bool:
    pool = WorkerPool([], [])
    with watched(pool.running, pool.greenlets, lambda: SETTINGS) as possible:
        assert possible == (pool.running.page is not None)
    return possible


def in_thread(results: list[bool]) -> None:
    results.append(is_watched())


def test_the_signal_and_the_tracer_are_released_at_the_end() -> None:
    assert is_watched()
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
    assert greenlet.gettrace() is None
    assert is_watched()


def test_it_cannot_be_used_outside_of_the_main_thread() -> None:
    results: list[bool] = []
    thread = threading.Thread(target=in_thread, args=(results,))
    thread.start()
    thread.join(20)
    assert results == [False]


@pytest.mark.parametrize("what", ["signal", "tracer"])
def test_it_leaves_a_signal_handler_or_a_tracer_of_the_program_alone(what: str) -> None:
    def used(*_: Any) -> None:
        pass

    if what == "signal":
        signal.signal(signal.SIGUSR2, used)
    else:
        greenlet.settrace(used)
    try:
        assert not is_watched()
        assert signal.getsignal(signal.SIGUSR2) is (used if what == "signal" else signal.SIG_DFL)
        assert greenlet.gettrace() is (used if what == "tracer" else None)
    finally:
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        greenlet.settrace(None)
