"""Many time limits, few timers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from gearpool.client.aio.time_limits import TICK_S, TimeLimits
from gearpool.timing import Deadline


@dataclass(eq=False)
class Job:
    deadline: Deadline


@dataclass(eq=False)
class Timer:
    at: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Clock:
    """A clock that a test moves, with the timers on it."""

    now: float = 1000.0
    late: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[int], None], tick: int) -> Timer:
        timer = Timer(self.now + delay - self.late, lambda: call(tick))
        self.timers.append(timer)
        return timer

    @property
    def waiting(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def advance(self, to: float) -> None:
        while due := [timer for timer in self.waiting if timer.at <= to]:
            first = min(due, key=lambda timer: timer.at)
            self.now = max(self.now, first.at)
            self.timers.remove(first)
            first.call()
        self.now = to


def test_each_limit_is_met_within_a_tick_and_never_before() -> None:
    clock, expired = Clock(), list[tuple[float, Job]]()
    limits = TimeLimits[Job](clock.call_later, lambda job: expired.append((clock.now, job)), clock=clock)
    rng = random.Random(7)
    jobs = [Job(Deadline(clock.now + rng.uniform(0.0, 3.0))) for _ in range(500)]
    for job in jobs:
        limits.add(job, job.deadline)
    clock.advance(clock.now + 4.0)
    assert {id(job) for _, job in expired} == {id(job) for job in jobs}
    for at, ended in expired:
        assert ended.deadline.at <= at <= ended.deadline.at + TICK_S + 1e-9
    assert not limits
    assert not clock.waiting


def test_jobs_of_one_limit_share_a_timer_which_ends_with_the_last_of_them() -> None:
    clock = Clock()
    limits = TimeLimits[Job](clock.call_later, lambda job: None, clock=clock)
    jobs = [Job(Deadline(clock.now + 300.0)) for _ in range(1000)]
    for job in jobs:
        limits.add(job, job.deadline)
        limits.add(job, job.deadline)
    assert len(limits) == 1000
    assert len(clock.waiting) == 1
    for job in jobs:
        limits.discard(job, job.deadline)
    assert not limits
    assert not clock.waiting


def test_what_has_ended_does_not_expire_and_what_has_no_limit_is_not_kept() -> None:
    clock, expired = Clock(), list[Job]()
    limits = TimeLimits[Job](clock.call_later, expired.append, clock=clock)
    ended, endless, other = Job(Deadline(clock.now + 1.0)), Job(Deadline.never()), Job(Deadline(clock.now + 1.0))
    for job in (ended, endless, other):
        limits.add(job, job.deadline)
    limits.discard(ended, ended.deadline)
    limits.discard(endless, endless.deadline)
    limits.discard(Job(Deadline(clock.now + 9.0)), Deadline(clock.now + 9.0))
    clock.advance(clock.now + 2.0)
    assert expired == [other]


def test_a_timer_that_comes_early_expires_nothing_before_its_time() -> None:
    clock, expired = Clock(late=0.005), list[float]()  # uvloop counts in whole milliseconds
    limits = TimeLimits[Job](clock.call_later, lambda job: expired.append(clock.now), clock=clock)
    job = Job(Deadline(clock.now + 1.0))
    limits.add(job, job.deadline)
    clock.late = 0.0
    clock.advance(job.deadline.at - 0.001)
    assert not expired
    clock.advance(clock.now + 1.0)
    assert expired
    assert expired[0] >= job.deadline.at


def test_one_that_expires_may_end_another() -> None:
    clock, expired = Clock(), list[Job]()
    first, second = Job(Deadline(clock.now + 1.0)), Job(Deadline(clock.now + 1.0))

    def end(job: Job) -> None:
        expired.append(job)
        for other in (first, second):
            limits.discard(other, other.deadline)

    limits = TimeLimits[Job](clock.call_later, end, clock=clock)
    limits.add(first, first.deadline)
    limits.add(second, second.deadline)
    clock.advance(clock.now + 2.0)
    assert set(map(id, expired)) == {id(first), id(second)}


def test_after_the_loop_was_blocked_nothing_expires_before_everything_is_read() -> None:
    clock, expired = Clock(), list[Job]()
    reads = [True, True, False]  # whether bytes came since the last look
    limits = TimeLimits[Job](clock.call_later, expired.append, lambda: not reads.pop(0), clock)
    answered, silent = Job(Deadline(clock.now + 1.0)), Job(Deadline(clock.now + 1.0))
    limits.add(answered, answered.deadline)
    limits.add(silent, silent.deadline)
    timer = clock.timers.pop()
    clock.now += 12.0
    timer.call()
    assert not expired
    limits.discard(answered, answered.deadline)  # its answer lay in the socket
    clock.advance(clock.now)
    assert expired == [silent]
    assert not reads
