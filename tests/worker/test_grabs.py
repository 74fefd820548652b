"""When is asked for jobs, and for how many; the server is the test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import Decoder
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.settings import BreakerSettings
from gearpool.worker.functions import Function
from gearpool.worker.grabs import SPIN_S, Grabs
from gearpool.worker.pool import Pool
from tests.processes import wait_for
from tests.worker.serving import function

REGRAB_S = 5.0
LATER = SPIN_S + 1.0
"""Long enough after a grab for a NOOP to be an ordinary one."""


class Asker:
    """Grabs of one function in a pool without servers; counts what is asked for."""

    def __init__(self, concurrency: int = 100, **settings: Any) -> None:
        self.function: Function = function("work", lambda arg: arg, most=concurrency, **settings)
        self.pool = Pool([self.function], [], concurrency=concurrency)
        self.spoken = 0
        self.now = 1000.0
        self.grabs = Grabs(self.pool, self.function, self._speak)

    def _speak(self) -> None:
        self.spoken += 1

    def ask(self, pending: int = 0) -> int:
        """How many jobs are asked for; the packets are as they should be."""
        packets = self.grabs.ask(self.now, pending)
        kinds = [kind for kind, _ in Decoder(REQUEST_MAGIC).feed(packets)]
        if kinds:
            assert kinds == [PacketType.GRAB_JOB_UNIQ] * (len(kinds) - 1) + [PacketType.PRE_SLEEP]
        return max(0, len(kinds) - 1)

    def noop(self, after_s: float = LATER) -> None:
        self.now += after_s
        self.grabs.noop(self.now, 0)

    def ended(self, jobs: int) -> None:
        self.pool.slots.release(self.function.slots, jobs)


@pytest.fixture
def asker() -> Iterator[Asker]:
    made = Asker()
    yield made
    made.grabs.close()


def test_the_first_question_is_for_one_job(asker: Asker) -> None:
    assert asker.ask() == 1
    assert asker.pool.slots.used == 1


def test_nothing_is_asked_again_before_the_server_says_that_there_is_more(asker: Asker) -> None:
    asker.ask()
    asker.grabs.answered(0, 1)
    assert asker.ask() == 0
    asker.noop()
    assert asker.ask() == 1


def test_the_window_doubles_while_everything_that_is_asked_for_comes(asker: Asker) -> None:
    sizes = []
    for _ in range(9):
        asked = asker.ask()
        sizes.append(asked)
        asker.grabs.answered(asked, 0)
        asker.ended(asked)
        asker.noop()
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 100, 100]


def test_the_window_comes_down_slowly_when_little_comes(asker: Asker) -> None:
    for _ in range(8):
        asked = asker.ask()
        asker.grabs.answered(asked, 0)
        asker.ended(asked)
        asker.noop()
    sizes = []
    for _ in range(4):
        asked = asker.ask()
        sizes.append(asked)
        asker.grabs.answered(1, asked - 1)
        asker.ended(1)
        asker.noop()
    assert sizes == [100, 88, 77, 68]


def test_jobs_that_are_not_begun_count_as_asked_for(asker: Asker) -> None:
    assert asker.ask(pending=1) == 0
    assert asker.ask(pending=0) == 1


def test_a_reserved_slot_is_given_back_for_each_job_that_does_not_come(asker: Asker) -> None:
    asker.ask()
    asker.grabs.answered(0, 1)
    assert asker.pool.slots.used == 0


def test_more_jobs_than_were_asked_for_break_the_protocol(asker: Asker) -> None:
    asker.ask()
    with pytest.raises(RemoteProtocolError, match="more jobs than were asked for"):
        asker.grabs.answered(2, 0)


def test_without_a_free_slot_nothing_is_asked_and_the_next_free_one_is_told() -> None:
    asker = Asker(concurrency=1)
    assert asker.ask() == 1
    asker.grabs.answered(1, 0)
    asker.noop()
    assert asker.ask() == 0
    asker.ended(1)
    asker.pool.slots.feed()
    assert asker.spoken == 1
    assert asker.ask() == 1


def test_slots_of_what_was_under_way_when_the_connection_was_lost_are_told(asker: Asker) -> None:
    asker.ask()
    assert asker.grabs.close() == 1
    assert asker.grabs.under_way == 0


def test_a_quiet_pool_asks_for_nothing(asker: Asker) -> None:
    asker.pool.hush()
    assert asker.ask() == 0
    asker.pool.quiet = False
    asker.grabs.resume()
    assert asker.spoken == 1
    assert asker.ask() == 1


def test_a_paused_function_asks_for_nothing_until_it_is_resumed(asker: Asker) -> None:
    asker.function.paused = True
    assert asker.ask() == 0
    asker.function.paused = False
    asker.grabs.resume()
    assert asker.ask() == 1


def test_a_rate_limits_what_is_asked_for_and_asks_again_when_it_has_more() -> None:
    asker = Asker(rate_per_s=20.0)
    asker.now = time.monotonic()
    total = 0
    while (asked := asker.ask()) > 0:
        total += asked
        asker.grabs.answered(asked, 0)
        asker.ended(asked)
        asker.grabs.noop(asker.now, 0)
    assert 1 <= total <= 21

    def asked_again() -> bool:
        gevent.sleep(0.01)
        asker.now = time.monotonic()
        # The loop's clock may be a little ahead of ours: then it rests again, as here.
        return asker.spoken > 0 and asker.ask() > 0

    wait_for(asked_again, "the rate to allow a job")
    asker.grabs.close()


def test_an_open_breaker_lets_nothing_through() -> None:
    asker = Asker(breaker=BreakerSettings(failures=1, within_s=60.0, pause_s=60.0))
    assert asker.function.breaker is not None
    asker.function.breaker.failed(asker.now)
    assert asker.ask() == 0
    asker.grabs.close()


def test_a_budget_is_what_may_still_be_asked_for_and_comes_back_with_what_does_not_come(asker: Asker) -> None:
    asker.pool.budget = 1
    assert asker.ask() == 1
    assert asker.pool.budget == 0
    other = Grabs(asker.pool, asker.function, asker._speak)
    assert other.ask(asker.now, 0) == b""
    asker.grabs.answered(0, 1)
    assert asker.pool.budget == 1
    assert asker.spoken == 1


def test_an_idle_session_asks_again_after_a_while(asker: Asker) -> None:
    asker.ask()
    asker.grabs.answered(0, 1)
    assert not asker.grabs.ask_again(asker.now + REGRAB_S / 2, REGRAB_S)
    assert asker.grabs.ask_again(asker.now + REGRAB_S, REGRAB_S)
    assert asker.ask() == 1


def test_a_question_that_is_not_answered_is_not_asked_again(asker: Asker) -> None:
    asker.ask()
    assert not asker.grabs.ask_again(asker.now + REGRAB_S, REGRAB_S)


def test_a_server_that_wakes_for_nothing_again_and_again_is_asked_more_slowly(asker: Asker) -> None:
    questions = 0
    for _ in range(100):
        if not asker.ask():
            break
        questions += 1
        asker.grabs.answered(0, 1)
        asker.noop(after_s=SPIN_S / 10)
    assert questions == 9
    wait_for(lambda: gevent.sleep(0.001) or asker.spoken, "the rest to end")
    assert asker.ask() == 1


def test_fruitless_wake_ups_without_end_are_only_rests_without_end(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a future EPOCH job and a LOW one on gearmand 1.1 make; after 1032 of them a power of two overflowed."""
    rests: list[float] = []
    monkeypatch.setattr(asker.grabs, "_rest", rests.append)
    for _ in range(3000):
        assert asker.ask()
        asker.grabs.answered(0, 1)
        asker.noop(after_s=SPIN_S / 10)
    assert max(rests) <= 1.5
    assert min(rests[20:]) >= 0.5


def test_fruitless_wake_ups_are_forgotten_with_the_first_job(asker: Asker) -> None:
    for turn in range(40):
        asked = asker.ask()
        assert asked
        if turn % 8 == 7:
            asker.grabs.answered(1, asked - 1)
            asker.ended(1)
        else:
            asker.grabs.answered(0, asked)
        asker.noop(after_s=SPIN_S / 10)
