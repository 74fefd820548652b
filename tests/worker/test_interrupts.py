"""The signal handler itself, called as a signal calls it. With real signals: `tests/integration/test_daemon_limits.py`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import GreenletExit

from gearpool.jobs import JobTimeout, Killed
from gearpool.page import Activity, Page
from gearpool.worker.interrupts import Interrupts, is_entering, is_ours


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page.create()
    yield made
    made.close()


LIMIT_S = 1000.0
"""Limit and grace: what a slow machine adds to an age is nothing beside it."""


class FakePool:
    """One job on the CPU, begun ``age_s`` ago with a limit of LIMIT_S and a grace as long again."""

    def __init__(self, age_s: float) -> None:
        now = time.monotonic()
        settings = SimpleNamespace(timeout_s=LIMIT_S, timeout_grace_s=LIMIT_S)
        self.job = SimpleNamespace(function="f", handle="H", unique="u", deadline=now - age_s + LIMIT_S)
        session = SimpleNamespace(function=SimpleNamespace(settings=settings))
        self.run = SimpleNamespace(job=self.job, thrown=[], ended=False, session=session)
        self.blocked_by: list[Any] = []
        self.limits = SimpleNamespace(timeout_of=lambda run: JobTimeout("over"), begin_grace=lambda run: None)

    def on_cpu(self) -> Any:
        return self.job

    def current(self) -> Any:
        return self.run


def interrupts(page: Page, age_s: float, activity: Activity = Activity.JOB) -> tuple[Interrupts, FakePool]:
    page.write(time.monotonic() - age_s, 0, activity, b"H", b"u")
    pool = FakePool(age_s)
    return Interrupts(pool, page), pool  # type: ignore[arg-type]


def test_within_its_limit_a_job_is_left_alone(page: Page) -> None:
    handler, pool = interrupts(page, 0.9 * LIMIT_S)
    handler.on_signal(0, sys._getframe())
    assert pool.run.thrown == []


def test_at_its_limit_it_gets_job_timeout_and_at_the_end_of_its_grace_it_is_ended(page: Page) -> None:
    handler, pool = interrupts(page, 1.1 * LIMIT_S)
    with pytest.raises(JobTimeout):
        handler.on_signal(0, sys._getframe())
    handler.on_signal(0, sys._getframe())  # within the grace
    pool.job.deadline -= LIMIT_S
    with pytest.raises(GreenletExit):
        handler.on_signal(0, sys._getframe())


def test_a_job_that_an_operator_kills_is_ended_at_once_and_again_at_the_end_of_its_grace(page: Page) -> None:
    handler, pool = interrupts(page, 0.1)
    graces: list[Any] = []
    over: list[bool] = []
    pool.limits.begin_grace = graces.append
    pool.limits.grace_is_over = lambda run, now: bool(over)
    handler.on_signal(0, sys._getframe())
    assert pool.run.thrown == []
    page.ask_to_kill(page.read().turn)
    with pytest.raises(Killed):
        handler.on_signal(0, sys._getframe())
    assert graces == [pool.run]
    handler.on_signal(0, sys._getframe())  # within the grace
    over.append(True)
    with pytest.raises(GreenletExit):
        handler.on_signal(0, sys._getframe())


def test_the_job_after_the_one_that_was_to_be_killed_is_left_alone(page: Page) -> None:
    handler, pool = interrupts(page, 0.1)
    page.ask_to_kill(page.read().turn)
    page.write(time.monotonic(), 0, Activity.JOB, b"I", b"v")
    handler.on_signal(0, sys._getframe())
    assert pool.run.thrown == []


def test_nothing_is_raised_into_the_hub(page: Page) -> None:
    handler, _ = interrupts(page, 5 * LIMIT_S, Activity.HUB)
    handler.on_signal(0, sys._getframe())


def test_nothing_is_raised_while_an_earlier_signal_is_answered(page: Page) -> None:
    handler, pool = interrupts(page, 1.5 * LIMIT_S)
    inner: list[str] = []

    def stalled(*arguments: Any) -> None:
        handler.on_signal(0, sys._getframe())
        inner.append("survived")

    handler._stall = stalled  # type: ignore[method-assign,assignment]
    with pytest.raises(JobTimeout):
        handler.on_signal(0, sys._getframe())
    assert inner == ["survived"]
    assert len(pool.run.thrown) == 1


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("gevent.hub", True), ("gearpool.worker.batch", True), ("logging", True), ("threading", True),
        ("gearpool.examples", False), ("shop.images", False), ("re", False), ("geventual", False),
    ],
)  # fmt: skip
def test_frames_that_keep_locks_are_spared(name: str, ours: bool) -> None:
    found: list[bool] = []
    exec("look()", {"__name__": name, "look": lambda: found.append(is_ours(sys._getframe(1)))})
    assert found == [ours]


def test_a_with_that_is_being_entered_is_spared_where_signals_are_served_in_between() -> None:
    found: list[bool] = []

    class Lock:
        def __enter__(self) -> None:
            found.append(is_entering(sys._getframe(1)))

        def __exit__(self, *_: object) -> None:
            found.append(is_entering(sys._getframe(1)))

    with Lock():
        found.append(is_entering(sys._getframe()))
    assert found == [sys.version_info >= (3, 14), False, False]
