"""Calls into the event loop of another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event
from gevent.hub import get_hub

from gearpool.errors import TimedOut, UsageError
from gearpool.net.hub_calls import HubCalls


class Loop(threading.Thread):
    """A thread that runs an event loop until `end`."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = threading.Event()
        self.calls: HubCalls
        self.stopping: Event

    def run(self) -> None:
        self.calls = HubCalls()
        self.stopping = Event()
        keep = get_hub().loop.timer(0.05, 0.05)
        keep.start(lambda: None)
        self.ready.set()
        self.stopping.wait()
        self.calls.close()
        keep.close()
        get_hub().destroy(destroy_loop=True)

    def end(self) -> None:
        self.calls.post(self.stopping.set)
        self.join(20)
        assert not self.is_alive()


@pytest.fixture
def loop() -> Iterator[Loop]:
    thread = Loop()
    thread.start()
    assert thread.ready.wait(20)
    yield thread
    thread.end()


def test_a_call_runs_in_the_thread_of_the_loop_and_brings_its_result(loop: Loop) -> None:
    assert loop.calls.call(threading.get_ident, 20) == loop.ident
    assert not loop.calls.here
    assert loop.calls.call(lambda: loop.calls.here, 20)


def test_what_a_call_raises_is_raised_in_the_calling_thread(loop: Loop) -> None:
    with pytest.raises(ZeroDivisionError):
        loop.calls.call(lambda: 1 / 0, 20)


def test_calls_may_wait_and_do_not_hold_up_each_other(loop: Loop) -> None:
    go_on = loop.calls.call(Event, 20)
    waiter = threading.Thread(target=lambda: loop.calls.call(go_on.wait, 20))
    waiter.start()
    assert loop.calls.call(lambda: 5, 20) == 5
    loop.calls.post(go_on.set)
    waiter.join(20)
    assert not waiter.is_alive()


def test_a_loop_that_is_blocked_is_not_waited_for_without_end(loop: Loop) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        go_on.wait(20)

    loop.calls.post(block)
    assert blocked.wait(20)
    with pytest.raises(TimedOut):
        loop.calls.call(lambda: None, 0.01)
    go_on.set()


def test_what_was_posted_before_the_end_is_carried_out_and_later_calls_are_refused() -> None:
    thread = Loop()
    thread.start()
    assert thread.ready.wait(20)
    done: list[int] = []

    def late() -> None:
        thread.stopping.set()
        gevent.sleep(0.01)
        done.append(1)

    thread.calls.post(late)
    thread.join(20)
    assert done == [1]
    assert not thread.calls.post(lambda: None)
    with pytest.raises(UsageError):
        thread.calls.call(lambda: None, 1)


def test_a_new_thread_with_the_number_of_an_old_one_is_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.net.hub_calls._get_ident", lambda: 7)
    calls = HubCalls()
    assert calls.here
    seen: list[bool] = []

    def other() -> None:
        seen.append(calls.here)
        get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(20)
    assert seen == [False]
    calls.close()
