"""The pure core: bytes in, calls answered."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpool.client.session import Call, Session
from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType

T = PacketType


class Log(Call):
    """Writes down what it is told."""

    def __init__(self, answer: PacketType, follows: bool = False) -> None:
        self._answer = answer
        self._follows = follows
        self.heard: list[tuple[str, PacketType, list[bytes] | bytes]] = []

    def _answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        self.heard.append(("answered", kind, arguments))

    def _told(self, kind: PacketType, arguments: list[bytes]) -> None:
        self.heard.append(("told", kind, arguments))

    def _ended(self, kind: PacketType, payload: bytes) -> None:
        self.heard.append(("ended", kind, payload))


def job() -> Log:
    return Log(T.JOB_CREATED, follows=True)


def session_with(*calls: Call) -> Session:
    session = Session()
    session.pending.extend(calls)
    return session


def test_answers_go_to_calls_in_the_order_they_were_asked() -> None:
    first, second, third = Log(T.ECHO_RES), job(), Log(T.STATUS_RES)
    session = session_with(first, second, third)
    session.feed(
        response(T.ECHO_RES, b"x")
        + response(T.JOB_CREATED, b"H:1")
        + response(T.STATUS_RES, b"H:9", b"0", b"0", b"0", b"0")
    )
    assert [call.heard[0][1] for call in (first, second, third)] == [T.ECHO_RES, T.JOB_CREATED, T.STATUS_RES]


def test_work_packets_between_answers_find_their_job_by_handle() -> None:
    one, two, question = job(), job(), Log(T.ECHO_RES)
    session = session_with(one, two, question)
    session.feed(response(T.JOB_CREATED, b"H:1") + response(T.JOB_CREATED, b"H:2"))
    session.feed(
        response(T.WORK_DATA, b"H:2", b"part")
        + response(T.WORK_COMPLETE, b"H:1", b"done\0x")
        + response(T.ECHO_RES, b"")
        + response(T.WORK_STATUS, b"H:2", b"1", b"2")
        + response(T.WORK_FAIL, b"H:2")
    )
    assert one.heard[1:] == [("ended", T.WORK_COMPLETE, b"done\0x")]
    assert two.heard[1:] == [
        ("told", T.WORK_DATA, [b"H:2", b"part"]),
        ("told", T.WORK_STATUS, [b"H:2", b"1", b"2"]),
        ("ended", T.WORK_FAIL, b""),
    ]
    assert not session.pending
    assert not session.busy


def test_a_result_in_the_same_buffer_as_its_job_created_is_not_missed() -> None:
    one = job()
    session_with(one).feed(response(T.JOB_CREATED, b"H:1") + response(T.WORK_COMPLETE, b"H:1", b"r"))
    assert one.heard[-1] == ("ended", T.WORK_COMPLETE, b"r")


def test_coalesced_jobs_of_one_connection_share_the_copies_in_turn() -> None:
    one, two = job(), job()
    session = session_with(one, two)
    session.feed(response(T.JOB_CREATED, b"H:1") * 2)
    session.feed(response(T.WORK_DATA, b"H:1", b"a") * 2 + response(T.WORK_DATA, b"H:1", b"b") * 2)
    session.feed(response(T.WORK_COMPLETE, b"H:1", b"r") * 2)
    for each in (one, two):
        assert each.heard[1:] == [
            ("told", T.WORK_DATA, [b"H:1", b"a"]),
            ("told", T.WORK_DATA, [b"H:1", b"b"]),
            ("ended", T.WORK_COMPLETE, b"r"),
        ]
    assert not session.pending
    assert not session.busy


def test_a_job_coalesced_midway_hears_only_what_comes_after() -> None:
    one, two = job(), job()
    session = session_with(one)
    session.feed(response(T.JOB_CREATED, b"H:1") + response(T.WORK_DATA, b"H:1", b"a"))
    session.pending.append(two)
    session.feed(response(T.JOB_CREATED, b"H:1") + response(T.WORK_DATA, b"H:1", b"b") * 2)
    session.feed(response(T.WORK_EXCEPTION, b"H:1", b"why") * 2)
    assert [heard[2] for heard in one.heard[1:]] == [[b"H:1", b"a"], [b"H:1", b"b"], b"why"]
    assert [heard[2] for heard in two.heard[1:]] == [[b"H:1", b"b"], b"why"]


def test_a_fail_that_was_an_exception_has_a_nul_after_its_handle() -> None:
    one = job()
    session_with(one).feed(response(T.JOB_CREATED, b"H:1") + response(T.WORK_FAIL, b"H:1\0"))
    assert one.heard[-1] == ("ended", T.WORK_FAIL, b"")


def test_a_background_job_is_over_when_it_is_acknowledged() -> None:
    one = Log(T.JOB_CREATED)
    session = session_with(one)
    session.feed(response(T.JOB_CREATED, b"H:1") + response(T.WORK_COMPLETE, b"H:1", b"nobody waits"))
    assert one.heard == [("answered", T.JOB_CREATED, [b"H:1"])]
    assert not session.pending
    assert not session.busy


def test_an_error_answers_the_call_whose_turn_it_is() -> None:
    one, two = job(), job()
    session = session_with(one, two)
    session.feed(response(T.ERROR, b"QUEUE_ERROR", b"full") + response(T.JOB_CREATED, b"H:2"))
    assert one.heard == [("answered", T.ERROR, [b"QUEUE_ERROR", b"full"])]
    assert two.heard == [("answered", T.JOB_CREATED, [b"H:2"])]


@pytest.mark.parametrize(
    ("calls", "data"),
    [
        ([], response(T.JOB_CREATED, b"H:1")),
        ([], response(T.ERROR, b"CODE", b"text")),
        ([Log(T.ECHO_RES)], response(T.JOB_CREATED, b"H:1")),
        ([job()], response(T.STATUS_RES, b"H:1", b"0", b"0", b"0", b"0")),
        ([], response(T.NOOP)),
        ([], response(T.JOB_ASSIGN, b"H:1", b"f", b"")),
        ([], b"OK 1.1.20\r\n"),
        ([], b"\0REQ" + bytes(8)),
    ],
)
def test_what_answers_nothing_breaks_the_connection(calls: list[Call], data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        session_with(*calls).feed(data)


def test_good_packets_before_a_bad_one_are_served() -> None:
    one = job()
    with pytest.raises(RemoteProtocolError):
        session_with(one).feed(response(T.JOB_CREATED, b"H:1") + response(T.WORK_COMPLETE, b"H:1", b"r") + b"\0XXX" * 3)
    assert one.heard[-1] == ("ended", T.WORK_COMPLETE, b"r")


def test_leftovers_are_every_call_that_still_waits() -> None:
    running, shared, twin, unanswered = job(), job(), job(), job()
    session = session_with(running, shared, twin, unanswered)
    session.feed(response(T.JOB_CREATED, b"H:1") + response(T.JOB_CREATED, b"H:2") * 2)
    assert session.leftovers() == [running, shared, twin, unanswered]
    assert not session.pending
    assert not session.busy


@settings(deadline=None)  # a busy machine is no failure
@given(st.data(), st.binary(max_size=200))
def test_any_cut_of_the_stream_tells_the_same(data: st.DataObject, payload: bytes) -> None:
    stream = (
        response(T.JOB_CREATED, b"H:1")
        + response(T.WORK_WARNING, b"H:1", payload)
        + response(T.WORK_STATUS, b"H:1", b"3", b"4")
        + response(T.WORK_COMPLETE, b"H:1", payload)
    )
    whole, pieces = job(), job()
    session_with(whole).feed(stream)
    session, rest = session_with(pieces), stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        session.feed(rest[:size])
        rest = rest[size:]
    assert pieces.heard == whole.heard
