"""What one connection asks for costs the others little: counted in units of work, never timed."""

from __future__ import annotations

import sys

import pytest

from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from gearpool.server.core import Core
from gearpool.server.ledger import KEEP_IDLE, Ledger, TooManyFunctionsError
from gearpool.server.pacing import PIECE
from gearpool.server.records import BULKY, Peer
from gearpool.server.workers import MAX_ABILITIES
from tests.server.law import check
from tests.server.talk import T, Talker, worker

BUDGET = 200


def serve(core: Core, peer: Peer, data: bytes, slack: int) -> list[int]:
    """Feed ``data`` with a small budget and then advance until all is served; the work of each step."""
    steps = []
    before = core.work
    core.receive(peer, data, BUDGET)
    while True:
        steps.append(core.work - before)
        assert steps[-1] <= BUDGET + slack, steps
        if not peer.behind:
            return steps
        before = core.work
        core.advance(peer, BUDGET)


def fill(core: Core, jobs: int, kind: PacketType = T.SUBMIT_JOB_BG) -> Talker:
    client = Talker(core)
    data = b"".join(request(kind, b"f", b"%d" % number, b"") for number in range(jobs))
    serve(core, client.peer, data, 0)
    client.raw()
    return client


def test_pipelined_packets_beyond_the_budget_wait_and_others_are_served_between() -> None:
    core = Core()
    greedy, other = Talker(core), Talker(core)
    core.receive(greedy.peer, request(T.ECHO_REQ, b"x") * 1000, BUDGET)
    assert greedy.peer.behind
    assert len(greedy.heard()) == BUDGET
    assert other.say(T.ECHO_REQ, b"mine") == [(T.ECHO_RES, b"mine")]
    core.advance(greedy.peer, 10_000)
    assert not greedy.peer.behind
    assert len(greedy.heard()) == 1000 - BUDGET


def test_a_fault_in_the_stream_is_told_once_the_good_packets_have_been_served() -> None:
    core = Core()
    talker = Talker(core)
    assert core.receive(talker.peer, request(T.ECHO_REQ, b"x") * 300 + b"rubbish beyond", BUDGET) is None
    assert core.advance(talker.peer, BUDGET) is not None
    assert len(talker.heard()) == 300


@pytest.mark.parametrize("command", [b"show jobs\n", b"show unique jobs\n", b"status\n", b"workers\n"])
def test_pipelined_lists_are_made_piece_by_piece(command: bytes) -> None:
    core = Core()
    fill(core, 2000)
    for _ in range(200):
        Talker(core)
    attacker = Talker(core)
    for number in range(2000):
        core.ledger.function(b"g%d" % number)
    serve(core, attacker.peer, command * 50, PIECE)
    text = attacker.raw()
    assert text.count(b".\n") == 50
    assert text.count(b"\n") in {50 * (rows + 1) for rows in (2000, 2001, 202)}


def test_a_list_tells_nothing_of_jobs_that_end_while_it_is_made() -> None:
    core = Core()
    client = fill(core, 200, T.SUBMIT_JOB)
    reader = Talker(core)
    core.receive(reader.peer, b"show jobs\n", 1)
    client.leave()
    while core.leaving:
        core.advance_leaving()
    while reader.peer.behind:
        core.advance(reader.peer, 1)
    text = reader.raw()
    assert text.endswith(b".\n")
    assert text.count(b"\n") - 1 < 200


def test_one_unique_id_submitted_many_times_costs_one_entry() -> None:
    core = Core()
    client = Talker(core)
    count = 5000
    serve(core, client.peer, request(T.SUBMIT_JOB, b"f", b"u", b"") * count, 0)
    created = client.heard()
    (job,) = core.ledger.jobs.values()
    assert job.waiting() == {client.peer: count}
    assert len(job.clients or ()) == 1
    runner = worker(core)
    runner.grab()
    before = core.work
    runner.say(T.WORK_COMPLETE, job.handle, b"r")
    assert core.work - before >= count // 8, "what is sent so often is accounted for"
    assert client.heard() == [(T.WORK_COMPLETE, job.handle, b"r")] * count
    assert len(created) == count


def test_many_clients_of_one_job_leave_one_by_one_without_walking_over_the_others() -> None:
    core = Core()
    clients = [Talker(core) for _ in range(300)]
    for client in clients:
        client.submit(unique=b"u")
    (job,) = core.ledger.jobs.values()
    assert isinstance(job.clients, dict), "leaving is one deletion"
    for client in clients[:-1]:
        client.leave()
    assert job.waiting() == {clients[-1].peer: 1}
    clients[-1].leave()
    assert core.ledger.jobs == {}


def test_a_client_with_many_waiting_jobs_is_forgotten_piece_by_piece() -> None:
    core = Core()
    client = fill(core, 3000, T.SUBMIT_JOB)
    before = core.work
    core.disconnect(client.peer, BUDGET)
    assert core.work - before <= BUDGET + PIECE
    assert core.leaving
    check(core.ledger)
    while core.leaving:
        before = core.work
        core.advance_leaving(BUDGET)
        assert core.work - before <= BUDGET + PIECE
        check(core.ledger)
    assert core.ledger.jobs == {}
    assert client.peer.alone == ()


@pytest.mark.parametrize("how", ["leave", "CANT_DO", "RESET_ABILITIES"])
def test_a_worker_s_many_jobs_are_handed_back_piece_by_piece_in_order(how: str) -> None:
    core = Core()
    fill(core, 3000)
    runner = worker(core)
    serve(core, runner.peer, request(T.GRAB_JOB_UNIQ) * 3000, 3000)
    order = [handle for _, handle, *_ in runner.heard()]
    assert len(order) == 3000
    if how == "leave":
        core.disconnect(runner.peer, BUDGET)
        assert core.leaving
        while core.leaving:
            core.advance_leaving(BUDGET)
            check(core.ledger)
    else:
        steps = serve(core, runner.peer, request(PacketType[how], *([b"f"] if how == "CANT_DO" else [])), 3000 // 8)
        assert len(steps) > 5
    check(core.ledger)
    other = worker(core)
    assert [other.grab()[1] for _ in range(3)] == order[:3]
    assert core.ledger.functions[b"f"].total == 3000


def test_jobs_due_at_the_same_second_are_queued_piece_by_piece() -> None:
    core = Core()
    client = Talker(core)
    for number in range(3000):
        core.receive(client.peer, request(T.SUBMIT_JOB_EPOCH, b"f", b"%d" % number, b"5", b""))
    core.ledger.release_due(10.0)
    assert 0 < core.ledger.functions[b"f"].scheduled < 3000
    assert core.ledger.next_due == 5.0, "it is called again at once"
    while core.ledger.next_due is not None:
        core.ledger.release_due(10.0)
    assert core.ledger.functions[b"f"].scheduled == 0
    check(core.ledger)


def test_a_connection_can_do_so_many_functions_and_no_more() -> None:
    core = Core()
    runner = Talker(core)
    names = [b"%d" % number for number in range(MAX_ABILITIES + 1)]
    serve(core, runner.peer, b"".join(request(T.CAN_DO, name) for name in names), 0)
    assert len(runner.peer.queues) == MAX_ABILITIES
    ((kind, code, _),) = runner.heard()
    assert (kind, code) == (T.ERROR, b"QUEUE_ERROR")


@pytest.mark.parametrize("kind", [T.PRE_SLEEP, T.GRAB_JOB, T.GRAB_JOB_UNIQ, T.GRAB_JOB_ALL])
def test_walking_over_many_functions_is_accounted_for(kind: PacketType) -> None:
    core = Core()
    runner = Talker(core)
    core.receive(runner.peer, b"".join(request(T.CAN_DO, b"%d" % number) for number in range(1000)))
    steps = serve(core, runner.peer, request(kind) * 50, 1000 // 16)
    assert sum(steps) >= 50 * 1000 // 16


def test_forgetting_one_of_many_functions_is_accounted_for() -> None:
    core = Core()
    runner = Talker(core)
    core.receive(runner.peer, b"".join(request(T.CAN_DO, b"%d" % number) for number in range(1000)))
    # The last one stands last again, after a walk over all.
    steps = serve(core, runner.peer, (request(T.CANT_DO, b"999") + request(T.CAN_DO, b"999")) * 50, 1000 // 16)
    assert sum(steps) >= 50 * 1000 // 16


@pytest.mark.parametrize("command", [b"show jobs\n", b"show unique jobs\n"])
def test_a_list_of_very_many_jobs_begins_in_a_pass_that_has_room_for_it(command: bytes) -> None:
    core = Core()
    fill(core, 5000)
    readers = [Talker(core) for _ in range(3)]
    before = core.work
    for reader in readers:
        core.receive(reader.peer, command, BUDGET)
    assert [reader.peer.listing for reader in readers] == [0, 0, 0], "nobody has walked over the jobs"
    assert core.work - before <= len(readers)
    before = core.work
    core.advance(readers[0].peer, 1)
    assert readers[0].peer.listing == 5000
    assert core.work - before >= 5000 // 128
    assert readers[0].peer.unserved >= 5000 * 8, "the references that it holds are memory"
    serve(core, readers[0].peer, b"", PIECE)
    assert readers[0].raw().count(b"\n") == 5001
    assert readers[0].peer.unserved == 0


def test_a_list_that_is_not_read_keeps_no_payload() -> None:
    core = Core()
    client, reader = Talker(core), Talker(core)
    for _ in range(2 * PIECE):
        client.submit()
    payload = bytes(bytearray(100))
    core.ledger.submit(core.ledger.function(b"f"), b"", payload, 1, client.peer)
    core.receive(reader.peer, b"show jobs\n", 1)
    assert reader.peer.behind
    client.leave()
    while core.leaving:
        core.advance_leaving()
    alone = bytes(len(payload))
    assert sys.getrefcount(payload) == sys.getrefcount(alone), "only this function refers to it"


def test_lines_beyond_a_command_of_too_many_words_are_not_served() -> None:
    core = Core()
    talker = Talker(core)
    assert core.receive(talker.peer, b"version\na b c d e f\nversion\n" + b"version\n" * 1000)
    assert not talker.peer.behind
    assert talker.raw().count(b"OK") == 1


def test_a_status_by_unique_id_is_accounted_for_by_functions() -> None:
    core = Core()
    for number in range(1600):
        core.ledger.function(b"%d" % number)
    asker = Talker(core)
    assert sum(serve(core, asker.peer, request(T.GET_STATUS_UNIQUE, b"u") * 20, 100)) >= 20 * 100


def test_functions_that_nobody_uses_are_forgotten_the_oldest_first() -> None:
    core = Core()
    admin = Talker(core)
    assert admin.ask("create function wanted") == "OK\r\n"
    assert admin.ask("maxqueue limited 3") == "OK\r\n"
    runner = worker(core, b"served")
    waiting = Talker(core)
    waiting.submit(b"queued")
    for number in range(10 * KEEP_IDLE):
        talker = Talker(core)
        core.receive(talker.peer, request(T.CAN_DO, b"%d" % number))
        core.disconnect(talker.peer)
    functions = core.ledger.functions
    assert len(functions) <= 2 * KEEP_IDLE
    assert {b"wanted", b"limited", b"served", b"queued"} <= set(functions)
    assert b"%d" % (10 * KEEP_IDLE - 1) in functions
    assert b"0" not in functions
    assert runner.grab() == (T.NO_JOB,)


def test_a_few_functions_that_nobody_uses_stay_listed_as_with_gearmand() -> None:
    core = Core()
    for number in range(100):
        talker = worker(core, b"%d" % number)
        talker.leave()
    assert len(core.ledger.functions) == 100


def test_more_functions_in_use_than_there_may_be_are_refused_until_some_are_free() -> None:
    ledger = Ledger(b"H:", 1, 0, lambda queue: None, max_functions=100)
    for number in range(100):
        ledger.function(b"%d" % number).created = True
    for _ in range(5):
        with pytest.raises(TooManyFunctionsError):
            ledger.function(b"more")
    for number in range(90):
        ledger.functions[b"%d" % number].created = False
    ledger.left_by_worker(90)
    assert ledger.function(b"more").name == b"more"
    assert ledger.function(b"99").created


def test_a_refused_function_is_answered_with_an_error_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Core()

    def refuse(_name: bytes) -> None:
        raise TooManyFunctionsError

    monkeypatch.setattr(core.ledger, "function", refuse)
    talker = Talker(core)
    for packet in ((T.CAN_DO, b"f"), (T.SUBMIT_JOB, b"f", b"", b""), (T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1", b"")):
        ((kind, code, _),) = talker.say(*packet)
        assert (kind, code) == (T.ERROR, b"QUEUE_ERROR")
    assert Talker(core).ask("create function f") == "ERR TOO_MANY_FUNCTIONS\r\n"


def test_a_run_of_grabs_hands_out_so_many_bytes_and_the_rest_later() -> None:
    core = Core()
    client = Talker(core)
    for number in range(100):
        client.submit(unique=b"%d" % number, data=bytes(BULKY), kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    core.receive(runner.peer, request(T.GRAB_JOB_UNIQ) * 100 + request(T.PRE_SLEEP))
    assert runner.peer.behind
    assert 10 < len(runner.peer.running) < 30
    assert runner.peer.lent == len(runner.peer.running) * BULKY
    while runner.peer.behind:
        core.advance(runner.peer, BUDGET)
    assert len(runner.peer.running) == 100
    assert runner.peer.asleep
    for handle in list(runner.peer.running):
        runner.say(T.WORK_COMPLETE, handle, b"")
    assert runner.peer.lent == 0


def test_bytes_lent_are_none_after_jobs_were_handed_back() -> None:
    core = Core()
    Talker(core).submit(data=bytes(BULKY), kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    runner.grab()
    assert runner.peer.lent == BULKY
    runner.say(T.CANT_DO, b"f")
    assert runner.peer.lent == 0


def test_of_a_progress_only_its_first_digits_are_kept() -> None:
    core = Core()
    Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    handle = runner.grab()[1]
    runner.say(T.WORK_STATUS, handle, b"7" * 100_000, b"8" * 100_000)
    assert max(map(len, core.ledger.jobs[handle].progress or ())) <= 20


def test_a_packet_that_comes_in_single_bytes_is_counted_by_what_it_costs() -> None:
    core = Core()
    talker = Talker(core)
    packet = request(T.ECHO_REQ, bytes(1000))
    for at in range(500):
        core.receive(talker.peer, packet[at : at + 1])
    assert talker.peer.decoder.buffered > 10 * 500
    core.receive(talker.peer, packet[500:])
    assert talker.peer.decoder.buffered == 0
