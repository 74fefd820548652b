from __future__ import annotations

import sys
import threading

import gevent
from gevent.hub import get_hub

from gearpool.net.hub_thread import HubThread, start_native_thread


def test_the_thread_has_an_event_loop_of_its_own_that_is_gone_at_its_end() -> None:
    hubs: list[object] = []

    def main() -> None:
        gevent.sleep(0)
        hubs.append(get_hub())

    thread = HubThread(main)
    assert thread.join(20)
    assert thread.join(0), "it may be asked again"
    assert hubs != [get_hub()]
    assert hubs[0].loop is None  # type: ignore[attr-defined]


def test_join_gives_up_after_its_timeout() -> None:
    enough = threading.Event()
    thread = HubThread(lambda: print(enough.wait(20)))
    assert not thread.join(0.01)
    enough.set()
    assert thread.join(20)


def test_a_tracer_of_threading_sees_the_thread() -> None:
    calls: list[str] = []

    def trace(frame: object, event: str, arg: object) -> None:
        calls.append(frame.f_code.co_name)  # type: ignore[attr-defined]

    def main() -> None:
        pass

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        ended = start_native_thread(main)
    finally:
        threading.settrace(before)
    assert ended.acquire(timeout=20)
    assert "main" in calls
    assert sys.gettrace() is not trace
