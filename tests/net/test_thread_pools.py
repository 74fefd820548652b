"""Native threads of gearpool's own."""

from __future__ import annotations

import threading

import gevent
import pytest

from gearpool.net.thread_pools import ThreadsOfOurOwn


def test_a_call_runs_in_another_thread_and_its_value_comes_back() -> None:
    threads = ThreadsOfOurOwn(2)
    ident = threads.run(threading.get_ident)
    assert ident != threading.get_ident()


def test_what_the_call_raises_is_raised_here_and_printed_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        ThreadsOfOurOwn(1).run(fail)
    assert capfd.readouterr().err == ""


def test_there_are_never_more_threads_than_asked_for() -> None:
    threads = ThreadsOfOurOwn(2)
    used: set[int] = set()
    calls = [gevent.spawn(threads.run, lambda: used.add(threading.get_ident())) for _ in range(20)]
    gevent.joinall(calls, timeout=30, raise_error=True)
    assert 1 <= len(used) <= 2


def test_another_thread_with_an_event_loop_of_its_own_may_use_them() -> None:
    threads = ThreadsOfOurOwn(1)
    threads.run(int)
    answers: list[int] = []

    def use() -> None:
        answers.append(threads.run(int, "7"))
        gevent.get_hub().destroy(destroy_loop=True)

    other = threading.Thread(target=use)
    other.start()
    other.join(30)
    assert answers == [7]
    assert threads.run(int, "8") == 8
