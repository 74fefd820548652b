"""Bytes in, bytes out: framing, malformed input, both protocols on one port."""

from __future__ import annotations

import gc
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gearpool.protocol.codec import request
from gearpool.protocol.packets import SPECS, PacketType
from gearpool.server.core import Core
from gearpool.server.records import Job, Peer
from tests.processes import unmeasured
from tests.server.law import check
from tests.server.talk import T, Talker, worker

SERVED = [T(number) for number in range(1, 43)]


def test_echo_comes_back() -> None:
    assert Talker(Core()).say(T.ECHO_REQ, b"\0any\0thing") == [(T.ECHO_RES, b"\0any\0thing")]


def test_packets_may_arrive_byte_by_byte() -> None:
    client = Talker(Core(host="h"))
    heard = []
    for byte in request(T.SUBMIT_JOB, b"f", b"u", b"d") + request(T.ECHO_REQ, b"x"):
        heard += client.send(bytes([byte]))
    assert heard == [(T.JOB_CREATED, b"H:h:1"), (T.ECHO_RES, b"x")]


@pytest.mark.parametrize(
    "kind",
    [
        T.UNUSED,
        T.NOOP,
        T.JOB_CREATED,
        T.NO_JOB,
        T.JOB_ASSIGN,
        T.ECHO_RES,
        T.ERROR,
        T.STATUS_RES,
        T.ALL_YOURS,
        T.OPTION_RES,
        T.JOB_ASSIGN_UNIQ,
        T.SUBMIT_JOB_SCHED,
        T.JOB_ASSIGN_ALL,
        T.STATUS_RES_UNIQUE,
    ],
)
def test_what_is_not_for_the_server_gets_an_error_and_the_connection_goes_on(kind: T) -> None:
    client = Talker(Core())
    arguments = [b"1"] * len(SPECS[kind].arguments)
    assert client.say(kind, *arguments) == [(T.ERROR, b"INVALID_COMMAND", b"Command not expected")]
    assert client.closed_because is None
    assert client.say(T.ECHO_REQ, b"x") == [(T.ECHO_RES, b"x")]


@pytest.mark.parametrize(
    "data",
    [
        b"\0BAD" + bytes(8),
        b"\0REQ" + bytes(8),
        b"\0REQ\0\0\0\x2b\0\0\0\0",
        b"\0REQ\0\0\0\x07\0\0\0\x01f",
        b"\0REQ\0\0\0\x0d\0\0\0\x05H:x:1",
        b"\0REQ\0\0\0\x0c\0\0\0\x07H:x:1\x001",
        b"\0REQ\0\0\0\x10\xff\xff\xff\xff",
    ],
    ids=["magic", "type 0", "type 43", "two arguments missing", "no separator", "one number", "4 GiB"],
)
def test_malformed_packets_close_the_connection_after_what_came_before_them(data: bytes) -> None:
    client = Talker(Core())
    assert client.send(request(T.ECHO_REQ, b"before") + data) == [(T.ECHO_RES, b"before")]
    assert client.closed_because


def test_a_connection_that_begins_as_a_server_gets_an_error_and_is_closed() -> None:
    client = Talker(Core())
    assert client.send(b"\0RES\0\0\0\x10\0\0\0\x01x") == [(T.ERROR, b"INVALID_MAGIC", b"Request magic expected")]
    assert client.closed_because


def test_text_is_answered_on_the_same_port() -> None:
    client = Talker(Core(version="v1"))
    assert client.ask("version") == "OK v1\n"
    assert client.ask("status") == ".\n"


def test_text_may_arrive_byte_by_byte_and_several_lines_at_once() -> None:
    core = Core(version="v1", pid=42)
    client = Talker(core)
    heard = b""
    for byte in b"version\r\ngetpid\n":
        core.receive(client.peer, bytes([byte]))
        heard += client.raw()
    assert heard == b"OK v1\nOK 42\n"
    core.receive(client.peer, b"version\ngetpid\r\nver")
    assert client.raw() == b"OK v1\nOK 42\n"


def test_a_text_line_without_an_end_closes_the_connection() -> None:
    core = Core()
    client = Talker(core)
    assert core.receive(client.peer, b"x" * 8000) is None
    assert core.receive(client.peer, b"x" * 8000)


def test_text_of_six_words_closes_the_connection() -> None:
    core = Core()
    client = Talker(core)
    assert core.receive(client.peer, b"a b c d e f\r\n")


def test_disconnecting_twice_is_nothing() -> None:
    core = Core()
    client = worker(core)
    client.leave()
    client.leave()
    assert core.peers == {}


def alive() -> int:
    return sum(isinstance(each, Peer | Job) for each in gc.get_objects())


def test_connections_and_jobs_are_freed_without_the_cycle_collector() -> None:
    # `gearpool.server.running.tune_collector` relies on it.
    gc.collect()
    before = alive()
    gc.disable()
    try:
        core = Core()
        client, runner = Talker(core), worker(core)
        handle = client.submit(unique=b"u")
        client.submit(unique=b"v")
        runner.grab()
        assert alive() == before + 4
        runner.say(T.WORK_COMPLETE, handle, b"")
        client.heard()
        client.leave()
        runner.leave()
        del client, runner
        # The job that was abandoned in its lane is a tombstone until a worker comes.
        assert alive() == before + 1
        worker(core).grab()
        del core
        assert alive() <= before + 1
    finally:
        gc.enable()


def test_totals_tell_each_function() -> None:
    core = Core()
    client = Talker(core)
    client.submit(b"f")
    client.submit(b"f")
    worker(core, b"f").grab()
    assert {name: tuple(totals) for name, totals in core.totals().items()} == {"f": (2, 1, 1)}


# Scripts of several connections that mostly make sense: (who, what).
_names = st.sampled_from([b"f", b"g"])
_uniques = st.sampled_from([b"", b"u", b"v", b"-"])
_data = st.binary(max_size=8)
_step = st.one_of(
    st.tuples(
        st.sampled_from([T.SUBMIT_JOB, T.SUBMIT_JOB_HIGH, T.SUBMIT_JOB_LOW, T.SUBMIT_JOB_BG, T.SUBMIT_JOB_HIGH_BG]),
        _names,
        _uniques,
        _data,
    ),
    st.tuples(st.just(T.SUBMIT_JOB_EPOCH), _names, _uniques, st.integers(0, 50).map(lambda n: b"%d" % n), _data),
    st.tuples(st.sampled_from([T.CAN_DO, T.CANT_DO]), _names),
    st.tuples(st.sampled_from([T.GRAB_JOB, T.GRAB_JOB_UNIQ, T.GRAB_JOB_ALL, T.PRE_SLEEP, T.RESET_ABILITIES])),
    st.tuples(st.sampled_from([T.WORK_COMPLETE, T.WORK_DATA, T.WORK_EXCEPTION]), st.integers(1, 30), _data),
    st.tuples(st.sampled_from([T.WORK_FAIL, T.GET_STATUS]), st.integers(1, 30)),
    st.tuples(st.just("cancel"), st.integers(1, 30)),
    st.tuples(st.just("drop"), _names),
    st.tuples(st.just("leave")),
    st.tuples(st.just("time"), st.integers(0, 60)),
)


@settings(max_examples=150, deadline=None)
@given(script=st.lists(st.tuples(st.integers(0, 3), _step), max_size=60), retries=st.sampled_from([0, 2]))
def test_whatever_four_connections_do_the_ledger_stays_true(
    script: list[tuple[int, tuple[object, ...]]], retries: int
) -> None:
    core = Core(host="h", job_retries=retries)
    talkers = [Talker(core) for _ in range(4)]
    submitted = ended = 0
    for who, (what, *arguments) in script:
        talker = talkers[who]
        if what == "leave":
            talker.leave()
            talkers[who] = Talker(core)
        elif what == "time":
            core.ledger.release_due(float(arguments[0]))  # type: ignore[arg-type]
            check(core.ledger)
        elif what == "cancel":
            Talker(core).ask(f"cancel job H:h:{arguments[0]}")
        elif what == "drop":
            Talker(core).ask(f"drop function {arguments[0].decode()}")  # type: ignore[attr-defined]
        else:
            words = [b"H:h:%d" % word if isinstance(word, int) else word for word in arguments]
            replies = talker.say(what, *words)  # type: ignore[arg-type]
            submitted += sum(reply[0] is T.JOB_CREATED for reply in replies)
            ended += sum(reply[0] in (T.WORK_COMPLETE, T.WORK_FAIL, T.WORK_EXCEPTION) for reply in replies)
    for talker in talkers:
        talker.leave()
    # Whatever is left must be reachable by a new worker, once its time has come.
    core.ledger.release_due(1000.0)
    last = worker(core, b"f", b"g")
    left = {handle for handle, job in core.ledger.jobs.items() if job.worker is None}
    assert left == set(core.ledger.jobs)
    assert {last.grab()[1] for _ in left} == left
    assert last.grab() == (T.NO_JOB,)
    assert ended <= submitted * 2


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda kind, body: b"\0REQ" + int(kind).to_bytes(4, "big") + len(body).to_bytes(4, "big") + body,
                st.sampled_from(SERVED),
                st.binary(max_size=60),
            ),
        ),
        max_size=12,
    )
)
def test_any_bytes_are_survived_and_the_next_connection_is_served(pieces: list[bytes]) -> None:
    core = Core()
    victim = Talker(core)
    for piece in pieces:
        if piece and core.receive(victim.peer, piece):
            break
        check(core.ledger)
    victim.leave()
    assert Talker(core).say(T.ECHO_REQ, b"x") == [(T.ECHO_RES, b"x")]


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(st.binary(max_size=60), max_size=8))
def test_any_text_is_survived(lines: list[bytes]) -> None:
    core = Core()
    victim = Talker(core)
    for line in lines:
        if core.receive(victim.peer, b"x" + line + b"\n"):
            break
    check(core.ledger)
    assert Talker(core).ask("getpid") == "OK 0\n"


_bits = st.sampled_from(
    [
        request(T.GRAB_JOB_UNIQ),
        request(T.GRAB_JOB_UNIQ) * 5,
        request(T.GRAB_JOB_UNIQ) * 5 + request(T.PRE_SLEEP),
        request(T.PRE_SLEEP),
        request(T.SUBMIT_JOB_BG, b"f", b"", request(T.GRAB_JOB_UNIQ) * 6),
        request(T.SUBMIT_JOB_BG, b"g", b"", b"x" + request(T.PRE_SLEEP)),
        request(T.ECHO_REQ, request(T.GRAB_JOB_UNIQ) * 7 + request(T.PRE_SLEEP)),
    ]
)


@settings(max_examples=200, deadline=None)
@given(bits=st.lists(_bits, max_size=12), cuts=st.lists(st.integers(0, 2000), max_size=6), drained=st.booleans())
def test_however_a_stream_is_cut_its_answers_are_the_same(bits: list[bytes], cuts: list[int], drained: bool) -> None:
    # Runs of grabs are served without being decoded; a payload may look like one.
    data = b"".join(bits)
    answers = []
    for edges in ([*range(len(data) + 1)], sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})):
        core = Core()
        talker = worker(core, b"f", b"g")
        if drained:
            core.drain()
        answers.append([said for a, b in pairwise(edges) for said in talker.send(data[a:b])])
    assert answers[0] == answers[1]


def test_every_type_is_in_the_fuzzed_set() -> None:
    assert set(SERVED) == set(PacketType)


def test_the_core_loads_neither_gevent_nor_sockets() -> None:
    program = "import sys, gearpool.server.core; print(sorted({'gevent', 'socket', 'ssl'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=unmeasured(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
