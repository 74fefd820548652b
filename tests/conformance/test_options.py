"""Options that gearmand and the embedded server both have."""

from __future__ import annotations

import socket

from tests.conformance.conftest import serving
from tests.conformance.wire import T


def test_with_exceptions_a_client_gets_work_exception_without_asking(kind: str) -> None:
    with (
        serving(kind, exceptions=True) as server,
        server.connect() as client,
        server.connect().register(b"f") as worker,
    ):
        handle = client.submit(b"f")
        worker.grab()
        worker.send_packet(T.WORK_EXCEPTION, handle, b"why")
        assert client.receive() == (T.WORK_EXCEPTION, handle, b"why")


def test_without_exceptions_a_client_that_did_not_ask_gets_work_fail(kind: str) -> None:
    with serving(kind) as server, server.connect() as client, server.connect().register(b"f") as worker:
        handle = client.submit(b"f")
        worker.grab()
        worker.send_packet(T.WORK_EXCEPTION, handle, b"why")
        reply, name = client.receive()
        assert reply is T.WORK_FAIL
        assert name.rstrip(b"\0") == handle


def test_worker_wakeup_limits_how_many_sleeping_workers_are_woken(kind: str) -> None:
    with serving(kind, worker_wakeup=2) as server, server.connect() as client:
        workers = [server.connect().register(b"f") for _ in range(5)]
        for worker in workers:
            worker.send_packet(T.PRE_SLEEP)
            assert worker.sync() == []
        client.submit(b"f", b"1")
        woken = [worker for worker in workers if worker.sync() == [(T.NOOP,)]]
        assert len(woken) == 2
        client.submit(b"f", b"2")
        assert sum(worker.sync() == [(T.NOOP,)] for worker in workers if worker not in woken) == 2


def test_by_default_all_sleeping_workers_are_woken(kind: str) -> None:
    with serving(kind) as server, server.connect() as client:
        workers = [server.connect().register(b"f") for _ in range(5)]
        for worker in workers:
            worker.send_packet(T.PRE_SLEEP)
            assert worker.sync() == []
        client.submit(b"f", b"1")
        assert [worker.sync() for worker in workers] == [[(T.NOOP,)]] * 5


def test_handles_begin_with_the_prefix(kind: str) -> None:
    with serving(kind, handle_prefix="X:site") as server, server.connect() as client:
        handle = client.submit(b"f")
        assert handle.startswith(b"X:site:")
        assert handle[7:].isdigit()
        assert client.status(handle)[0] == b"1"
    with serving(kind) as server, server.connect() as client:
        assert client.submit(b"f").startswith(b"H:" + socket.gethostname().encode()[:30])
