"""The SIGUSR2 handler, called directly. For real signals see `tests/integration/test_daemon_limits.py`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import GreenletExit, get_hub

from gearpool.jobs import JobTimeout, Killed
from gearpool.page import NO_FUNCTION, Activity, Page, tagged
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.interrupts import Interrupts, is_protected, tracer
from gearpool.worker.runs import Run


@pytest.fixture
def page() -> Iterator[Page]:
    made = Page.create()
    yield made
    made.close()


LIMIT_S = 1000.0
"""Time limit and grace period: long enough that a slow machine makes no difference."""


class FakeRunning:
    """One job on the CPU, started ``age_s`` ago; its limit and its grace period are LIMIT_S each."""

    def __init__(self, age_s: float) -> None:
        now = time.monotonic()
        settings = SimpleNamespace(timeout_s=LIMIT_S, timeout_grace_s=LIMIT_S)
        job: Any = SimpleNamespace(function="f", handle="H", unique="u", deadline=now - age_s + LIMIT_S)
        self.job = job
        replies: Any = SimpleNamespace(function=SimpleNamespace(settings=settings))
        self.run = Run(replies, job, None)
        self.blocked_by: list[Any] = []
        self.limits = SimpleNamespace(timeout_of=lambda run: JobTimeout("over"), begin_grace=lambda run: None)

    def on_cpu(self) -> Any:
        return self.job

    def current(self) -> Any:
        return self.run


class FakeGreenlet:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.gearpool_origin: Any = None


def interrupts(page: Page, age_s: float, activity: Activity = Activity.JOB) -> tuple[Interrupts, FakeRunning]:
    page.write(time.monotonic() - age_s, 0, activity, b"H", b"u")
    pool = FakeRunning(age_s)
    return Interrupts(pool, GreenletPool(), page), pool  # type: ignore[arg-type]


def test_a_job_within_its_limit_is_not_interrupted(page: Page) -> None:
    handler, pool = interrupts(page, 0.9 * LIMIT_S)
    handler.on_signal(0, sys._getframe())
    assert pool.run.thrown == []


def test_a_job_gets_job_timeout_at_its_limit_and_greenlet_exit_after_its_grace_period(page: Page) -> None:
    handler, pool = interrupts(page, 1.1 * LIMIT_S)
    with pytest.raises(JobTimeout):
        handler.on_signal(0, sys._getframe())
    handler.on_signal(0, sys._getframe())  # within the grace
    pool.job.deadline -= LIMIT_S
    with pytest.raises(GreenletExit):
        handler.on_signal(0, sys._getframe())


def test_a_job_killed_by_an_operator_gets_killed_at_once_and_greenlet_exit_after_its_grace_period(page: Page) -> None:
    handler, pool = interrupts(page, 0.1)
    graces: list[Any] = []
    over: list[bool] = []
    pool.limits.begin_grace = graces.append
    pool.limits.grace_is_over = lambda run, now: bool(over)
    handler.on_signal(0, sys._getframe())
    assert pool.run.thrown == []
    page.ask_to_kill(page.read().sequence)
    with pytest.raises(Killed):
        handler.on_signal(0, sys._getframe())
    assert graces == [pool.run]
    handler.on_signal(0, sys._getframe())  # within the grace
    over.append(True)
    with pytest.raises(GreenletExit):
        handler.on_signal(0, sys._getframe())


def test_a_kill_does_not_hit_the_next_job(page: Page) -> None:
    handler, pool = interrupts(page, 0.1)
    page.ask_to_kill(page.read().sequence)
    page.write(time.monotonic(), 0, Activity.JOB, b"I", b"v")
    handler.on_signal(0, sys._getframe())
    assert pool.run.thrown == []


def test_nothing_is_raised_in_the_hub(page: Page) -> None:
    handler, _ = interrupts(page, 5 * LIMIT_S, Activity.HUB)
    handler.on_signal(0, sys._getframe())


def test_nothing_is_raised_while_an_earlier_signal_is_handled(page: Page) -> None:
    handler, pool = interrupts(page, 1.5 * LIMIT_S)
    inner: list[str] = []

    class SecondSignal(list[Any]):
        def append(self, job: Any) -> None:
            handler.on_signal(0, sys._getframe())
            inner.append("returned")

    pool.blocked_by = SecondSignal()
    with pytest.raises(JobTimeout):
        handler.on_signal(0, sys._getframe())
    assert inner == ["returned"]
    assert len(pool.run.thrown) == 1


@pytest.mark.parametrize(
    ("name", "protected"),
    [
        ("gevent.hub", True), ("gearpool.worker.batch", True), ("logging", True), ("threading", True),
        ("gearpool.examples", False), ("shop.images", False), ("re", False), ("geventual", False),
    ],
)  # fmt: skip
def test_nothing_is_raised_in_frames_that_hold_shared_locks(name: str, protected: bool) -> None:
    found: list[bool] = []
    exec("look()", {"__name__": name, "look": lambda: found.append(is_protected(sys._getframe(1)))})
    assert found == [protected]


def test_nothing_is_raised_while_a_with_block_is_entered() -> None:
    found: list[bool] = []

    class Lock:
        def __enter__(self) -> None:
            found.append(is_protected(sys._getframe(1)))

        def __exit__(self, *_: object) -> None:
            found.append(is_protected(sys._getframe(1)))

    with Lock():
        found.append(is_protected(sys._getframe()))
    assert found == [sys.version_info >= (3, 14), False, False]


def test_each_switch_shows_on_the_page_what_is_on_the_cpu_from_then_on(page: Page) -> None:
    hub = get_hub()
    job: Any = SimpleNamespace(raw_handle=b"H", raw_unique=b"u")
    run = SimpleNamespace(replies=SimpleNamespace(tag=tagged(3, Activity.JOB)), job=job)
    started: Any = SimpleNamespace(tag=tagged(4, Activity.LEFT), handle=b"S", unique=b"s")
    handler, child, grandchild, other = (FakeGreenlet(hub) for _ in range(4))
    child.gearpool_origin = started
    grandchild.parent = child
    trace = tracer(page, {handler: run}, lambda _: started)
    shown = []
    for target in (handler, child, grandchild, other, hub):
        trace("switch", (None, target))
        reading = page.read()
        shown.append((reading.activity, reading.function, reading.handle, reading.unique))
    assert shown == [
        (Activity.JOB, 3, b"H", b"u"),
        (Activity.LEFT, 4, b"S", b"s"),
        (Activity.LEFT, 4, b"S", b"s"),
        (Activity.OTHER, NO_FUNCTION, b"", b""),
        (Activity.HUB, NO_FUNCTION, b"", b""),
    ]
