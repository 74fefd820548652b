"""When a session grabs jobs, and how many; the test plays the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import Decoder
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.settings import BreakerSettings
from gearpool.worker import grabs
from gearpool.worker.admission import Admission
from gearpool.worker.functions import Function
from gearpool.worker.grabs import SPIN_S, Grabs
from tests.processes import wait_for
from tests.worker.serving import function

REGRAB_S = 5.0
LATER = SPIN_S + 1.0
"""A NOOP this long after a grab is not fruitless."""


class Session:
    """The grabs of one function, without a connection."""

    def __init__(self, concurrency: int = 100, **settings: Any) -> None:
        self.function: Function = function("work", lambda arg: arg, max_slots=concurrency, **settings)
        self.admission = Admission(concurrency)
        self.notified = 0
        self.now = 1000.0
        self.grabs = Grabs(self.admission, self.function, self.on_soon)

    def on_soon(self) -> None:
        self.notified += 1

    def grab(self, pending: int = 0) -> int:
        """How many jobs are grabbed; checks the packets."""
        packets = self.grabs.grab(self.now, pending)
        kinds = [kind for kind, _ in Decoder(REQUEST_MAGIC).feed(packets)]
        if kinds:
            assert kinds == [PacketType.GRAB_JOB_UNIQ] * (len(kinds) - 1) + [PacketType.PRE_SLEEP]
        return max(0, len(kinds) - 1)

    def noop(self, after_s: float = LATER) -> None:
        self.now += after_s
        self.grabs.noop(self.now, 0)

    def ended(self, jobs: int) -> None:
        self.admission.release(self.function.slots, jobs)


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.grabs.close()


def test_the_first_grab_is_for_one_job(session: Session) -> None:
    assert session.grab() == 1
    assert session.admission.used == 1


def test_after_no_job_nothing_is_grabbed_until_a_noop(session: Session) -> None:
    session.grab()
    session.grabs.answered(0, 1)
    assert session.grab() == 0
    session.noop()
    assert session.grab() == 1


def test_the_window_doubles_while_every_grab_brings_a_job(session: Session) -> None:
    sizes = []
    for _ in range(9):
        grabbed = session.grab()
        sizes.append(grabbed)
        session.grabs.answered(grabbed, 0)
        session.ended(grabbed)
        session.noop()
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 100, 100]


def test_the_window_decreases_slowly_when_few_grabs_bring_a_job(session: Session) -> None:
    for _ in range(8):
        grabbed = session.grab()
        session.grabs.answered(grabbed, 0)
        session.ended(grabbed)
        session.noop()
    sizes = []
    for _ in range(4):
        grabbed = session.grab()
        sizes.append(grabbed)
        session.grabs.answered(1, grabbed - 1)
        session.ended(1)
        session.noop()
    assert sizes == [100, 88, 77, 68]


def test_jobs_that_have_not_started_count_towards_the_window(session: Session) -> None:
    assert session.grab(pending=1) == 0
    assert session.grab(pending=0) == 1


def test_the_slot_of_a_grab_without_a_job_is_released(session: Session) -> None:
    session.grab()
    session.grabs.answered(0, 1)
    assert session.admission.used == 0


def test_more_jobs_than_grabs_are_a_protocol_error(session: Session) -> None:
    session.grab()
    with pytest.raises(RemoteProtocolError, match="more jobs than were grabbed"):
        session.grabs.answered(2, 0)


def test_without_a_free_slot_nothing_is_grabbed_until_one_is_released() -> None:
    session = Session(concurrency=1)
    assert session.grab() == 1
    session.grabs.answered(1, 0)
    session.noop()
    assert session.grab() == 0
    session.ended(1)
    session.admission.offer()
    assert session.notified == 1
    assert session.grab() == 1


def test_close_returns_the_number_of_slots_of_unanswered_grabs(session: Session) -> None:
    session.grab()
    assert session.grabs.close() == 1
    assert session.grabs.under_way == 0


def test_a_quiet_pool_grabs_nothing(session: Session) -> None:
    session.admission.quiet = True
    assert session.grab() == 0
    session.admission.quiet = False
    session.grabs.resume()
    assert session.notified == 1
    assert session.grab() == 1


def test_nothing_is_grabbed_for_a_paused_function_until_it_is_resumed(session: Session) -> None:
    session.function.paused = True
    assert session.grab() == 0
    session.function.paused = False
    session.grabs.resume()
    assert session.grab() == 1


def test_a_rate_limits_the_grabs_and_allows_more_later() -> None:
    session = Session(rate_per_s=20.0)
    session.now = time.monotonic()
    total = 0
    while (grabbed := session.grab()) > 0:
        total += grabbed
        session.grabs.answered(grabbed, 0)
        session.ended(grabbed)
        session.grabs.noop(session.now, 0)
    assert 1 <= total <= 21

    def grabs_again() -> bool:
        gevent.sleep(0.01)
        session.now = time.monotonic()
        # The loop's clock may be a little ahead: then it waits again.
        return session.notified > 0 and session.grab() > 0

    wait_for(grabs_again, "the rate to allow a job")
    session.grabs.close()


def test_nothing_is_grabbed_while_the_breaker_is_open() -> None:
    session = Session(breaker=BreakerSettings(failures=1, within_s=60.0, pause_s=60.0))
    assert session.function.breaker is not None
    session.function.breaker.failed(session.now)
    assert session.grab() == 0
    session.grabs.close()


def test_a_budget_limits_the_grabs_and_is_refunded_for_grabs_without_a_job(session: Session) -> None:
    session.admission.budget = 1
    assert session.grab() == 1
    assert session.admission.budget == 0
    other = Grabs(session.admission, session.function, session.on_soon)
    assert other.grab(session.now, 0) == b""
    session.grabs.answered(0, 1)
    assert session.admission.budget == 1
    assert session.notified == 1


def test_an_idle_session_grabs_again_after_a_while(session: Session) -> None:
    session.grab()
    session.grabs.answered(0, 1)
    assert not session.grabs.regrab_due(session.now + REGRAB_S / 2, REGRAB_S)
    assert session.grabs.regrab_due(session.now + REGRAB_S, REGRAB_S)
    assert session.grab() == 1


def test_an_unanswered_grab_is_not_repeated(session: Session) -> None:
    session.grab()
    assert not session.grabs.regrab_due(session.now + REGRAB_S, REGRAB_S)


def test_grabs_are_delayed_after_many_fruitless_wake_ups(session: Session) -> None:
    grabbed = 0
    for _ in range(100):
        if not session.grab():
            break
        grabbed += 1
        session.grabs.answered(0, 1)
        session.noop(after_s=SPIN_S / 10)
    assert grabbed == 9
    wait_for(lambda: gevent.sleep(0.001) or session.notified, "the delay to end")
    assert session.grab() == 1


def test_the_delay_is_bounded_after_thousands_of_fruitless_wake_ups(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As gearmand 1.1 causes them with a future EPOCH job and a LOW one; after 1032 of them a power of two overflowed."""
    delays: list[float] = []

    class Timer:
        """Expires at once."""

        def __init__(self, seconds: float) -> None:
            delays.append(seconds)

        def start(self, expired: Callable[[], None]) -> None:
            expired()

        def stop(self) -> None:
            pass

        close = stop

    monkeypatch.setattr(grabs, "get_hub", lambda: SimpleNamespace(loop=SimpleNamespace(timer=Timer)))
    for _ in range(3000):
        assert session.grab()
        session.grabs.answered(0, 1)
        session.noop(after_s=SPIN_S / 10)
    assert max(delays) <= 1.5
    assert min(delays[20:]) >= 0.5


def test_the_first_job_resets_the_count_of_fruitless_wake_ups(session: Session) -> None:
    for number in range(40):
        grabbed = session.grab()
        assert grabbed
        if number % 8 == 7:
            session.grabs.answered(1, grabbed - 1)
            session.ended(1)
        else:
            session.grabs.answered(0, grabbed)
        session.noop(after_s=SPIN_S / 10)
