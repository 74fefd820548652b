"""Workers that disconnect while running jobs: every job still completes."""

from __future__ import annotations

import random

from gearpool.protocol import admin
from gearpool.protocol.admin import Command
from gearpool.protocol.codec import request
from tests.conformance.conftest import Server
from tests.conformance.wire import T, Wire, ask_text, eventually


def test_every_job_ends_although_workers_disconnect_while_running_jobs(server: Server) -> None:
    rng, jobs = random.Random(7), 400
    done: set[bytes] = set()
    client = server.connect()
    for number in range(jobs):
        client.submit(
            b"f", b"%d" % number, b"", rng.choice([T.SUBMIT_JOB_HIGH_BG, T.SUBMIT_JOB_BG, T.SUBMIT_JOB_LOW_BG])
        )
    for round_ in range(1000):
        if len(done) == jobs:
            break
        assert round_ < 999, f"only {len(done)} of {jobs} ended"
        with Wire(server.port) as worker:
            worker.register(b"f")
            asked = rng.randrange(1, 40)
            worker.send(request(T.GRAB_JOB_UNIQ) * asked)
            held = [reply for reply in (worker.receive() for _ in range(asked)) if reply[0] is T.JOB_ASSIGN_UNIQ]
            for _, handle, _, unique, _ in held[: rng.randrange(len(held) + 1)]:
                worker.send_packet(T.WORK_COMPLETE, handle, b"")
                done.add(unique)
            assert worker.sync() == []
            if rng.random() < 0.5:
                worker.reset()
        eventually(lambda: _running(server) == 0, "the hand-back")
    assert _row(server) == admin.FunctionRow("f", 0, 0, 0)


def _row(server: Server) -> admin.FunctionRow:
    (row,) = admin.parse_status(ask_text(server.port, Command.STATUS))
    return row


def _running(server: Server) -> int:
    return _row(server).running


def test_waiting_clients_get_their_results_although_workers_disconnect(server: Server) -> None:
    clients = [server.connect() for _ in range(5)]
    handles = [
        [client.submit(b"f", b"%d-%d" % (index, number)) for number in range(20)]
        for index, client in enumerate(clients)
    ]
    with Wire(server.port) as vanishing:
        vanishing.register(b"f").send(request(T.GRAB_JOB_UNIQ) * 60)
        for _ in range(60):
            vanishing.receive()
    eventually(lambda: _running(server) == 0, "the hand-back")
    worker = server.connect().register(b"f")
    for _ in range(100):
        reply = worker.grab()
        worker.send_packet(T.WORK_COMPLETE, reply[1], reply[3])
    assert worker.grab() == (T.NO_JOB,)
    for index, client in enumerate(clients):
        heard = {client.receive() for _ in range(20)}
        assert heard == {(T.WORK_COMPLETE, handle, b"%d-%d" % (index, n)) for n, handle in enumerate(handles[index])}
        assert client.sync() == []
