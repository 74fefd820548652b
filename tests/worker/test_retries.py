"""Jobs that wait for their next attempt."""

from __future__ import annotations

import pytest

from gearpool.worker.admission import Admission
from gearpool.worker.retries import Retries
from tests.worker.plain import Owed, at_once, until


@pytest.fixture
def owed() -> Owed:
    return Owed()


def test_a_due_job_takes_a_slot_and_is_run_as_the_next_attempt(owed: Owed) -> None:
    admission = Admission(10)
    retries = Retries(admission, at_once)
    job = owed.job()
    retries.add(owed.replies, job, 0.0, holds_slot=False)
    assert (len(retries), owed.function.waiting, admission.used) == (1, 1, 0)
    until(lambda: owed.ran)
    assert owed.ran == [job]
    assert (job.attempt, len(retries), owed.function.waiting, admission.used) == (2, 0, 0, 1)


def test_a_due_job_waits_for_a_free_slot(owed: Owed) -> None:
    admission = Admission(1)
    retries = Retries(admission, at_once)
    retries.add(owed.replies, owed.job(b"H:1"), 0.0, holds_slot=False)
    retries.add(owed.replies, owed.job(b"H:2"), 0.0, holds_slot=False)
    until(lambda: owed.ran)
    assert [job.handle for job, _ in retries.jobs()] == ["H:2"]
    admission.release(owed.function.slots)
    admission.offer()
    assert [job.handle for job in owed.ran] == ["H:1", "H:2"]


def test_jobs_are_run_in_the_order_in_which_they_are_due(owed: Owed) -> None:
    retries = Retries(Admission(10), at_once)
    retries.add(owed.replies, owed.job(b"later"), 0.05, holds_slot=False)
    retries.add(owed.replies, owed.job(b"sooner"), 0.0, holds_slot=False)
    until(lambda: len(owed.ran) == 2)
    assert [job.handle for job in owed.ran] == ["sooner", "later"]


def test_a_drain_hands_back_all_jobs_and_releases_the_slots_they_kept(owed: Owed) -> None:
    admission = Admission(10)
    retries = Retries(admission, at_once)
    admission.used = owed.function.slots.used = 1
    retries.add(owed.replies, owed.job(b"H:1"), 3600.0, holds_slot=True)
    retries.add(owed.replies, owed.job(b"H:2"), 3600.0, holds_slot=False)
    retries.hand_back()
    assert (len(retries), owed.hand_backs, owed.function.waiting, admission.used) == (0, 2, 0, 0)


def test_only_the_jobs_of_a_lost_connection_are_forgotten(owed: Owed) -> None:
    admission, other = Admission(10), Owed()
    ended: list[int] = []
    admission.on_job_ended = ended.append
    retries = Retries(admission, at_once)
    retries.add(owed.replies, owed.job(), 3600.0, holds_slot=False)
    retries.add(other.replies, other.job(b"H:other"), 3600.0, holds_slot=False)
    retries.forget(owed.replies)
    assert [job.handle for job, _ in retries.jobs()] == ["H:other"]
    assert ended == [1]
    retries.hand_back()


@pytest.mark.parametrize("name", ["H:7", "server:4730/H:7"])
def test_a_job_can_be_taken_out_by_its_name(owed: Owed, name: str) -> None:
    retries = Retries(Admission(10), at_once)
    job = owed.job(b"H:7")
    retries.add(owed.replies, job, 3600.0, holds_slot=False)
    assert retries.take("H:8") is None
    taken = retries.take(name)
    assert taken is not None
    assert taken.job is job
    assert len(retries) == 0
