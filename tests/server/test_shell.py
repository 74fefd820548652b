"""The shell: real sockets, one process, one server."""

from __future__ import annotations

import random
import socket
import time
from types import SimpleNamespace
from typing import cast

import gevent
import pytest
from gevent import socket as cooperative

from gearpool.protocol.admin import Command
from gearpool.protocol.codec import request
from gearpool.server import JobServer
from gearpool.server.connections import Connection
from gearpool.server.pacing import PASS_WORK
from gearpool.testing.servers import ThreadedJobServer, job_server
from gearpool.timing import Deadline
from tests.conformance.wire import T, Wire, ask_text, eventually
from tests.processes import free_port


def connect(server: ThreadedJobServer) -> Wire:
    return Wire(server.port)


def test_port_0_is_any_free_port() -> None:
    with job_server() as one, job_server() as two:
        assert one.port != two.port
        assert one.address == f"127.0.0.1:{one.port}"
        for server in (one, two):
            with connect(server) as client:
                assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


def test_it_serves_inside_a_process_of_greenlets() -> None:
    with JobServer() as server:
        client = cooperative.create_connection(("127.0.0.1", server.port))
        client.sendall(request(T.ECHO_REQ, b"x"))
        assert client.recv(100) == b"\0RES\0\0\0\x11\0\0\0\x01x"
        client.close()


def test_an_address_in_use_is_an_os_error_and_leaves_nothing_behind() -> None:
    with job_server() as server, pytest.raises(OSError, match="in use"):
        JobServer(("127.0.0.1", server.port)).start()


def test_localhost_is_both_families() -> None:
    with job_server(listen=("localhost", 0)) as server:
        for host in {entry[4][0] for entry in socket.getaddrinfo("localhost", 0, 0, socket.SOCK_STREAM)}:
            socket.create_connection((str(host), server.port), 10).close()


def test_start_quiet_and_stop_may_come_in_any_order_and_number() -> None:
    server = JobServer()
    server.stop()
    server.quiet()
    server.start()
    port = server.port
    server.start()
    assert server.port == port
    server.quiet()
    server.quiet()
    server.stop(Deadline.after(0))
    server.stop()
    server.start()
    assert server.port
    server.stop()


def test_quiet_takes_no_more_connections_and_serves_those_that_are() -> None:
    with job_server() as server, connect(server) as client:
        client.sync()
        server.call(lambda each: each.quiet())
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")


def test_stop_lets_running_jobs_end_hands_out_no_more_and_refuses_new_ones() -> None:
    server = ThreadedJobServer()
    server.start()
    with connect(server) as client, connect(server).register(b"f") as worker, connect(server) as late:
        late.sync()
        running = client.submit(b"f", b"1")
        worker.grab()
        client.submit(b"f", b"2")
        stopping = gevent.get_hub().threadpool.spawn(server.stop, 20.0)
        eventually(lambda: late.ask(T.SUBMIT_JOB_BG, b"f", b"", b"")[0] is T.ERROR, "the drain")
        assert worker.grab() == (T.NO_JOB,)
        worker.send_packet(T.WORK_COMPLETE, running, b"r")
        assert client.receive() == (T.WORK_COMPLETE, running, b"r")
        assert client.closed()
        assert worker.closed()
        stopping.get(timeout=20)


def test_stop_closes_everything_at_its_deadline() -> None:
    with job_server() as server, connect(server) as client, connect(server).register(b"f") as worker:
        client.submit(b"f")
        worker.grab()
        server.stop(0.05)
        assert client.closed()
        assert worker.closed()


def test_a_restarted_server_has_forgotten_all_and_never_uses_a_handle_again() -> None:
    with job_server() as server:
        with connect(server) as client:
            first = client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
        server.restart()
        with connect(server) as client:
            assert client.status(first) == (b"0", b"0", b"0", b"0")
            assert client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG) > first


def test_a_dropped_connection_s_jobs_wait_again() -> None:
    with job_server() as server:
        with connect(server) as client, connect(server).register(b"f") as worker:
            handle = client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
            worker.grab()
            server.drop_connections()
            assert worker.closed()
        with connect(server).register(b"f") as worker:
            assert worker.grab()[1] == handle


def test_an_epoch_job_wakes_a_sleeping_worker_when_its_time_comes() -> None:
    with job_server() as server, connect(server) as client, connect(server).register(b"f") as worker:
        worker.send_packet(T.PRE_SLEEP)
        soon = int(time.time()) + 1
        handle = client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"%d" % soon, b"x")[1]
        client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"v", b"%d" % (soon + 10_000), b"y")
        assert worker.receive() == (T.NOOP,)
        assert time.time() >= soon
        assert worker.grab()[1] == handle
        assert worker.grab() == (T.NO_JOB,)


def test_an_earlier_epoch_job_is_not_kept_waiting_by_a_later_one() -> None:
    with job_server() as server, connect(server) as client, connect(server).register(b"f") as worker:
        worker.send_packet(T.PRE_SLEEP)
        client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"v", b"%d" % (time.time() + 10_000), b"y")
        client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1", b"x")
        assert worker.receive() == (T.NOOP,)


def test_a_client_that_does_not_read_its_results_is_disconnected_and_others_are_served() -> None:
    with job_server(max_unsent=4 * 1024 * 1024) as server, connect(server).register(b"f") as worker:
        deaf = connect(server)
        handle = deaf.submit(b"f")
        worker.grab()
        for _ in range(20):
            worker.send_packet(T.WORK_DATA, handle, bytes(1024 * 1024))
        eventually(lambda: server.call(lambda each: each.connections) == 1, "the client to be let go")
        assert worker.sync() == []
        worker.send_packet(T.WORK_COMPLETE, handle, b"")
        assert worker.sync() == []
        deaf.close()


def test_who_asks_and_does_not_read_is_not_read_until_it_does() -> None:
    with job_server() as server, connect(server) as client:
        size, count = 100_000, 200
        question = request(T.ECHO_REQ, bytes(size))
        asking = gevent.get_hub().threadpool.spawn(client.send, question * count)
        eventually(
            lambda: server.call(lambda each: any(not c._reading for c in each._connections.values())), "the pause"
        )
        waiting = server.call(lambda each: sum(c._out_bytes for c in each._connections.values()))
        assert waiting < size * count / 2, "what is not read in does not pile up"
        for _ in range(count):
            assert len(client.receive()[1]) == size
        asking.get(timeout=20)
        assert client.sync() == []


def test_a_worker_may_grab_more_than_it_reads() -> None:
    with (
        job_server(max_unsent=1024 * 1024) as server,
        connect(server) as client,
        connect(server).register(b"f") as worker,
    ):
        for number in range(20):
            client.submit(b"f", b"%d" % number, bytes(1024 * 1024))
        worker.send(request(T.GRAB_JOB_UNIQ) * 20)
        client.sync()
        assert [worker.receive()[3] for _ in range(20)] == [b"%d" % number for number in range(20)]


def test_an_answer_reaches_who_has_finished_asking() -> None:
    with job_server() as server, connect(server) as client:
        for number in range(3000):
            client.send_packet(T.CAN_DO, b"%d" % number + b"x" * 200)
        client.sync()
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            sock.sendall(b"status\n" * 20)
            sock.shutdown(socket.SHUT_WR)
            received = b""
            while data := sock.recv(65536):
                received += data
        assert received.count(b"\n.\n") == 20


def test_noise_hurts_nobody_else() -> None:
    rng = random.Random(1)
    with job_server() as server:
        for round_ in range(60):
            with connect(server) as victim:
                beginning = (b"", b"\0REQ", b"\0REQ\0\0\0" + bytes([rng.randrange(45)]))[round_ % 3]
                victim.send(beginning + rng.randbytes(rng.randrange(1, 400)))
        with connect(server) as client:
            assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")
        eventually(lambda: server.call(lambda each: each.connections) == 0, "the noise to be gone")


def test_a_fault_of_the_server_costs_one_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    with job_server() as server:

        def break_echo(each: JobServer) -> None:
            def fail(*_: object) -> None:
                raise RuntimeError("a bug")

            each.core._handlers[T.ECHO_REQ] = fail

        server.call(break_echo)
        with connect(server) as victim:
            victim.send_packet(T.ECHO_REQ, b"x")
            assert victim.closed()
        with connect(server) as other:
            assert other.submit(b"f", kind=T.SUBMIT_JOB_BG)
    assert any("failed to serve" in record.getMessage() for record in caplog.records)


def test_two_hundred_connections_at_once() -> None:
    with job_server() as server:
        wires = [connect(server) for _ in range(200)]
        for wire in wires:
            wire.send_packet(T.ECHO_REQ, b"x")
        assert all(wire.receive() == (T.ECHO_RES, b"x") for wire in wires)
        assert len(ask_text(server.port, Command.WORKERS).splitlines()) == 202
        for wire in wires:
            wire.close()
        eventually(lambda: server.call(lambda each: each.connections) == 0, "all to be gone")


def test_it_may_listen_where_it_listened_before() -> None:
    port = free_port()
    for _ in range(3):
        with job_server(listen=("127.0.0.1", port)) as server, connect(server) as client:
            client.sync()


def test_a_client_that_also_runs_a_job_is_disconnected_like_any_other() -> None:
    with job_server(max_unsent=4 * 1024 * 1024) as server, connect(server).register(b"f") as worker:
        deaf = connect(server).register(b"g")
        deaf.submit(b"g", kind=T.SUBMIT_JOB_BG)
        deaf.grab()
        handle = deaf.submit(b"f")
        worker.grab()
        for _ in range(20):
            worker.send_packet(T.WORK_DATA, handle, bytes(1024 * 1024))
        eventually(lambda: server.call(lambda each: each.connections) == 1, "the client to be let go")
        assert worker.sync() == []
        deaf.close()


def test_above_the_limit_of_all_connections_the_one_counted_longest_is_closed() -> None:
    mebibyte = 1024 * 1024
    with job_server(max_buffered=30 * mebibyte) as server, connect(server).register(b"f") as worker:
        clients = [connect(server) for _ in range(3)]
        handles = [client.submit(b"f") for client in clients]
        for _ in handles:
            worker.grab()
        for handle in handles:
            # Each alone is far below its own limit.
            for _ in range(16):
                worker.send_packet(T.WORK_DATA, handle, bytes(mebibyte))
            assert worker.sync() == []
        eventually(lambda: server.call(lambda each: each.memory_use.total) <= 30 * mebibyte, "room")
        assert server.call(lambda each: each.connections) < 4
        assert clients[0].closed(), "it was counted longest"
        for client in clients:
            client.close()


def test_unfinished_packets_are_counted_too() -> None:
    with job_server(max_buffered=5 * 1024 * 1024) as server, connect(server) as bystander:
        bystander.sync()
        wires = [connect(server) for _ in range(3)]
        half = 2 * 1024 * 1024
        for number, wire in enumerate(wires, 1):
            wire.send(request(T.ECHO_REQ, bytes(2 * half))[:half])
            if number < 3:
                eventually(lambda: server.call(lambda each: each.memory_use.total) >= number * half, "it to be counted")  # noqa: B023
        eventually(lambda: server.call(lambda each: each.connections) == 3, "the oldest to be let go")
        assert wires[0].closed()
        assert bystander.sync() == []
        for wire in wires:
            wire.close()


def test_who_reads_its_lists_late_gets_them_all() -> None:
    with job_server() as server, connect(server) as client:
        for number in range(2000):
            client.send_packet(T.SUBMIT_JOB_BG, b"f", b"%d" % number, b"")
        client.sync()
        with socket.socket() as sock:
            sock.settimeout(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"show jobs\n" * 150)
            eventually(
                lambda: server.call(lambda each: any(c.blocked for c in each._connections.values())), "the pause"
            )
            assert client.ask(T.ECHO_REQ, b"x") == (T.ECHO_RES, b"x")
            received = bytearray()
            while received.count(b"\n.\n") < 150:
                data = sock.recv(1024 * 1024)
                assert data
                received += data
        assert received.count(b"\n") == 150 * 2001


def test_a_pass_serves_so_many_that_are_behind_and_the_others_first_in_the_next() -> None:
    served: list[int] = []

    class Behind:
        blocked = False
        peer = SimpleNamespace(closed=False)

        def __init__(self, number: int) -> None:
            self.number = number

        def advance(self) -> None:
            served.append(self.number)
            server.pacing.served(PASS_WORK // 3, 0)
            server.put_behind(cast("Connection", self))

    with JobServer() as server:
        for number in range(7):
            server.put_behind(cast("Connection", Behind(number)))
        for _ in range(3):
            server.pacing.next_pass()
            server._advance()
        assert served == [0, 1, 2, 3, 4, 5, 6, 0, 1]
        server._behind.clear()


def test_an_idle_connection_makes_room_for_a_newcomer_and_those_with_jobs_stay() -> None:
    with job_server(max_connections=4) as server:
        client, worker = connect(server), connect(server).register(b"f")
        client.submit(b"f")
        idle = [connect(server), connect(server)]
        for each in idle:
            each.sync()
        with connect(server) as newcomer:
            assert newcomer.sync() == []
            newcomer.submit(b"f")
            assert idle[0].closed()
            assert worker.grab()[0] is T.JOB_ASSIGN_UNIQ
        for each in (client, worker, *idle):
            each.close()


def test_at_the_limit_a_newcomer_is_turned_away_at_once(caplog: pytest.LogCaptureFixture) -> None:
    with job_server(max_connections=2) as server:
        workers = [connect(server).register(b"f") for _ in range(2)]
        for _ in range(100):
            with connect(server) as newcomer:
                assert newcomer.closed()
        workers[0].close()
        eventually(lambda: server.call(lambda each: each.connections) == 1, "one to leave")
        with connect(server) as newcomer:
            assert newcomer.sync() == []
        workers[1].close()
        lines = [record for record in caplog.records if "refused a connection" in record.getMessage()]
        assert 0 < len(lines) < 20, "the log is limited"
