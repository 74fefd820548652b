"""The reports of one session, and the jobs that it still owes."""

from __future__ import annotations

from typing import Any

import pytest

from gearpool.protocol.packets import PacketType as T
from gearpool.worker.functions import Note
from gearpool.worker.replies import complete_head
from tests.worker.plain import Owed


@pytest.fixture
def owed() -> Owed:
    return Owed()


def test_a_job_is_ended_by_one_packet(owed: Owed) -> None:
    job = owed.job()
    assert owed.replies.complete(job, b"result")
    assert owed.replies.complete(job, b"")
    assert owed.replies.fail(job)
    assert owed.replies.exception(job, b"why")
    assert owed.sent() == [
        (T.WORK_COMPLETE, [b"H:1", b"result"]), (T.WORK_COMPLETE, [b"H:1", b""]), (T.WORK_FAIL, [b"H:1"]),
        (T.WORK_EXCEPTION, [b"H:1", b"why"]),
    ]  # fmt: skip
    assert owed.flushes == 4, "the session is asked to flush"


def test_nothing_is_reported_once_the_connection_is_closed(owed: Owed) -> None:
    owed.outbox.close()
    assert owed.replies.closed
    assert not owed.replies.complete(owed.job(), b"")
    assert not owed.replies.fail(owed.job())
    assert not owed.replies.submit_dead_letter(b"f", b"u", b"p", None)


def test_status_packets_are_throttled_except_for_the_last(owed: Owed) -> None:
    job = owed.job()
    for done in (1, 2, 3, 4):
        owed.replies.send_status(job, done, 4)
    assert owed.sent() == [(T.WORK_STATUS, [b"H:1", b"1", b"4"]), (T.WORK_STATUS, [b"H:1", b"4", b"4"])]


def test_an_abandoned_handler_sends_nothing(owed: Owed) -> None:
    job = owed.job()
    owed.abandoned.add(job)
    owed.replies.send_data(job, b"part")
    owed.replies.send_warning(job, b"careful")
    assert (owed.sent(), owed.replies.streamed) == ([], 0)


def test_a_job_that_is_handed_back_need_not_be_reported_before_the_session_ends(owed: Owed) -> None:
    owed.replies.unreported = 2
    owed.replies.hand_back()
    assert owed.hand_backs == 1
    assert not owed.replies.all_reported
    owed.replies.unreported -= 1
    assert owed.replies.all_reported


def test_the_report_of_a_job_is_passed_on_if_there_are_notes(owed: Owed) -> None:
    job = owed.job()
    owed.replies.complete(job, b"")
    owed.replies.notes[b"hH:1"] = Note(0, 1)
    owed.replies.complete(job, b"")
    assert owed.reported == [job]


def test_dead_letters_are_acknowledged_in_order_and_fail_when_the_connection_ends(owed: Owed) -> None:
    answers: list[Any] = []

    class Answer:
        def set(self, value: Any) -> None:
            answers.append(value)

    for _ in range(3):
        assert owed.replies.submit_dead_letter(b"dead", b"u", b"p", Answer())
    assert owed.replies.dead_letter_answered(None)
    assert owed.replies.dead_letter_answered(ValueError("full"))
    owed.replies.close("lost")
    assert [type(answer) for answer in answers] == [type(None), ValueError, ConnectionError]
    assert not owed.replies.dead_letter_answered(None)
    assert [kind for kind, _ in owed.sent()] == [T.SUBMIT_JOB_BG] * 3


def test_the_head_of_a_completion_states_the_size_of_its_body() -> None:
    assert complete_head(7) == b"\0REQ" + (13).to_bytes(4) + (7).to_bytes(4)
