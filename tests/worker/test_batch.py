"""How the leader of a session runs the jobs that were received."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent import getcurrent

from gearpool import Job
from gearpool.protocol.packets import PacketType
from gearpool.worker.batch import Batch
from gearpool.worker.functions import Note
from gearpool.worker.pool import WorkerPool
from tests.worker.plain import Owed, until
from tests.worker.serving import function


class Led:
    """A batch without a session: it counts how often a new leader is started and results are sent."""

    def __init__(self, handler: Callable[..., Any]) -> None:
        self.owed = Owed(function("work", handler, max_slots=10))
        self.pool = WorkerPool([self.owed.function], [], concurrency=10)
        self.pool.greenlets.start()
        self.leaders = self.sends = 0
        self.batch = Batch(self.pool.engine, self.owed.replies, self._lead, self._send)

    def receive(self, *payloads: bytes, name: bytes = b"work") -> None:
        """Receive jobs, each with a slot."""
        for payload in payloads:
            self.batch.pending.append([b"H:" + payload, name, b"", payload])
        self.pool.admission.used += len(payloads)
        self.owed.function.slots.used += len(payloads)

    def run(self) -> bool:
        """Run the pending jobs in a new leader; whether it is still the leader afterwards."""

        def lead() -> bool:
            self.batch.begin(getcurrent())
            return self.batch.run(getcurrent())

        leader = gevent.spawn(lead)
        still_leads: bool = leader.get(timeout=20)
        self.pool.running.leaders.pop(leader, None)
        return still_leads

    def outcomes(self) -> dict[str, int]:
        counts: dict[str, int] = self.owed.function.counters.snapshot()["outcomes"]
        return {name: count for name, count in counts.items() if count}

    def _lead(self) -> None:
        self.leaders += 1

    def _send(self) -> None:
        self.sends += 1
        self.owed.outbox.flush()


@pytest.fixture
def make() -> Iterator[Callable[[Callable[..., Any]], Led]]:
    made: list[Led] = []

    def make_one(handler: Callable[..., Any]) -> Led:
        made.append(Led(handler))
        return made[-1]

    yield make_one
    for led in made:
        led.pool.close()
    gevent.idle()


Make = Callable[[Callable[..., Any]], Led]


def completed(*results: bytes) -> list[Any]:
    return [(PacketType.WORK_COMPLETE, [b"H:" + result, result]) for result in results]


def test_handlers_that_do_not_yield_run_in_one_greenlet_and_release_their_slots(make: Make) -> None:
    ran: list[Any] = []

    def echo(arg: bytes) -> bytes:
        ran.append(getcurrent())
        return arg

    led = make(echo)
    led.receive(b"1", b"2", b"3")
    assert led.batch.busy
    assert led.run()
    assert len(set(ran)) == 1
    assert led.owed.sent() == completed(b"1", b"2", b"3")
    assert (led.pool.admission.used, led.batch.size, led.leaders, led.batch.busy) == (0, 0, 0, False)
    assert led.outcomes() == {"complete": 3}


def test_a_handler_that_yields_becomes_a_run_and_another_leader_is_started(make: Make) -> None:
    def echo(arg: bytes, job: Job) -> bytes:
        if arg == b"2":
            gevent.sleep(0.001)
        return arg

    led = make(echo)
    led.receive(b"1", b"2", b"3")
    assert not led.run()
    assert led.leaders == 1
    assert [arguments[0] for arguments in led.batch.pending] == [b"H:3"], "it is left for the next leader"
    assert led.pool.running.runs == {}
    assert led.owed.sent() == completed(b"1", b"2")
    assert led.pool.admission.used == 1
    assert led.run()
    assert led.owed.sent() == completed(b"1", b"2", b"3")
    assert led.owed.replies.unreported == 0


def test_a_handler_that_raises_fails_its_job_and_the_batch_continues(make: Make) -> None:
    def fail(arg: bytes) -> bytes:
        if arg == b"2":
            raise SystemExit(1)
        return arg

    led = make(fail)
    led.receive(b"1", b"2", b"3")
    assert led.run()
    one, three = completed(b"1", b"3")
    assert led.owed.sent() == [one, (PacketType.WORK_FAIL, [b"H:2"]), three]
    assert led.outcomes() == {"complete": 2, "failed": 1}
    assert led.pool.admission.used == 0


def test_a_job_of_another_function_or_with_a_note_is_not_simply_run(make: Make) -> None:
    ran: list[bytes] = []
    led = make(ran.append)
    led.owed.replies.notes[b"hH:noted"] = Note(kills=100, suspected=0)
    led.receive(b"noted")
    led.receive(b"foreign", name=b"other")
    assert led.run()
    assert ran == []
    assert led.owed.sent() == [(PacketType.WORK_FAIL, [b"H:noted"]), (PacketType.WORK_FAIL, [b"H:foreign"])]
    assert led.pool.admission.used == 0


def test_results_are_sent_before_a_long_batch_ends(make: Make) -> None:
    def compute(arg: bytes) -> bytes:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return arg

    led = make(compute)
    led.receive(b"1", b"2", b"3")
    assert led.run()
    assert led.sends >= 2
    assert led.owed.sent() == completed(b"1", b"2", b"3")


def test_the_current_job_can_be_singled_out_while_its_handler_runs(make: Make) -> None:
    seen: list[Any] = []

    def single_out(arg: bytes) -> bytes:
        on_cpu = led.batch.on_cpu
        run = led.batch.single_out()
        seen.extend([on_cpu, run.job if run else None])
        return arg

    led = make(single_out)
    assert led.batch.single_out() is None
    led.receive(b"1")
    assert not led.run()
    assert seen[0] is seen[1]
    until(lambda: led.leaders == 1)
    assert led.owed.sent() == completed(b"1")


def test_close_drops_the_pending_jobs_and_returns_their_number(make: Make) -> None:
    led = make(lambda arg: arg)
    led.receive(b"1", b"2")
    led.batch.size = 2
    assert led.batch.close() == 2
    assert (led.batch.busy, led.batch.size) == (False, 0)
    assert led.pool.admission.used == 2, "the session releases the slots"


@pytest.mark.parametrize("closed", [False, True])
def test_a_job_that_is_run_again_is_reported_unless_the_connection_is_closed(make: Make, closed: bool) -> None:
    led = make(lambda arg: arg)
    led.receive(b"1")
    led.batch.pending.clear()
    job = Job(led.owed.replies, "work", b"H:1", b"", b"1")
    led.owed.replies.unreported = 1
    if closed:
        led.owed.outbox.close()
    gevent.spawn(led.batch.run_again, job).get(timeout=20)
    assert led.owed.sent() == ([] if closed else completed(b"1"))
    assert led.pool.admission.used == 0
