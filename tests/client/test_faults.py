"""Servers that misbehave: every call ends, with the error that tells what is known."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from gearpool import JobTimedOut, NoServersAvailable, SubmitUnknown
from gearpool.client import Client
from gearpool.errors import ConnectionLost, GearpoolError, ServerError, TimedOut
from gearpool.protocol.packets import PacketType
from gearpool.testing import job_server, working
from tests.client.conftest import Server
from tests.client.scripted import Peer, ScriptedServer
from tests.client.workers import Assigned, ExplodeError, ThreadWorker
from tests.processes import Gearmand, free_port, wait_for

T = PacketType


def client_of(server: ScriptedServer | Gearmand, request_timeout: float = 0.5, connect_timeout: float = 2.0) -> Client:
    return Client(server.address, request_timeout=request_timeout, connect_timeout=connect_timeout)


def wait_silently(peer: Peer) -> None:
    while peer.next() is not None:
        pass


def read_one(peer: Peer) -> None:
    peer.next()


def test_a_submission_that_is_never_acknowledged_is_unknown() -> None:
    with ScriptedServer(wait_silently) as server, client_of(server) as client:
        with pytest.raises(SubmitUnknown) as raised:
            client.submit_job("f", "x", timeout=None)
        assert raised.value.server == server.address
        with pytest.raises(SubmitUnknown):
            client.submit_background_job("f", "x")


def test_after_an_unanswered_request_the_next_goes_over_a_new_connection() -> None:
    def forgetful(peer: Peer) -> None:
        peer.next()
        if server.connections > 1:
            peer.send(T.JOB_CREATED, b"H:1")
        wait_silently(peer)

    with ScriptedServer(forgetful) as server, client_of(server) as client:
        with pytest.raises(SubmitUnknown):
            client.submit_job("f", "x", timeout=None)
        assert client.submit_background_job("f", "x").handle == "H:1"
        assert server.connections == 2
        wait_for(lambda: len(client._dispatch.pool._all) == 1, "the end of the first connection")


def test_a_connection_that_left_a_request_unanswered_still_brings_the_results_under_way() -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        first = peer.next()
        if server.connections > 1:
            peer.send(T.JOB_CREATED, b"H:2")
        elif first is not None:
            peer.send(T.JOB_CREATED, b"H:1")
            peer.next()  # never answered
            go.wait(30)
            peer.send(T.WORK_COMPLETE, b"H:1", b"late")
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server) as client:
        early = client.submit("f", "x")
        early.job()
        with pytest.raises(TimedOut):
            client.get_job_status("H:9")
        assert client.submit_background_job("f", "x").handle == "H:2"
        go.set()
        assert early.result(10) == b"late"


def test_a_job_that_is_unknown_is_not_submitted_again_behind_its_callers_back() -> None:
    with ScriptedServer(wait_silently) as server, client_of(server, request_timeout=0.2) as client:
        future = client.submit("f", "x", unique="u", retry=3, timeout=30)
        with pytest.raises(SubmitUnknown):
            future.result()
        for name in (f"gearpool-client-{server.address}", "gearpool-resubmit"):
            for thread in threading.enumerate():
                if thread.name == name:
                    thread.join(30)
        assert future._tries == 1


def test_a_connection_that_was_given_up_was_not_closed_by_the_server() -> None:
    with ScriptedServer(wait_silently) as server, client_of(server, request_timeout=0.2) as client:
        client.submit("f", "x")
        with pytest.raises(ConnectionLost, match="left a request unanswered"):
            client.get_job_status("H:1", timeout=30)


def test_a_status_that_is_never_answered_times_out() -> None:
    with ScriptedServer(wait_silently) as server, client_of(server) as client, pytest.raises(TimedOut):
        client.get_job_status("H:1")


def test_a_server_that_is_silent_from_the_start_is_no_server() -> None:
    def mute(peer: Peer) -> None:
        peer.sock.recv(65536)
        peer.sock.recv(65536)

    with ScriptedServer(mute) as server, client_of(server, connect_timeout=0.3) as client:
        with pytest.raises(NoServersAvailable) as raised:
            client.submit_job("f", "x")
        assert "does not answer" in raised.value.reasons[server.address]


def test_a_server_that_closes_instead_of_acknowledging_leaves_the_submission_unknown() -> None:
    with ScriptedServer(read_one) as server, client_of(server) as client:
        with pytest.raises(SubmitUnknown):
            client.submit_job("f", "x")


def test_a_server_that_closes_while_the_job_runs_is_a_lost_connection() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")

    with ScriptedServer(script) as server, client_of(server) as client:
        with pytest.raises(ConnectionLost) as raised:
            client.submit_job("f", "x")
        assert not isinstance(raised.value, SubmitUnknown)


@pytest.mark.parametrize(
    "garbage",
    [b"garbage that is no packet", b"\0RES" + b"\xff" * 8, b"\0RES\0\0\0\x0d\0\0\0\x01x", b"\0RES\0\0\0\x08\xff\0\0\0"],
    ids=["text", "unknown type", "too few arguments", "too large"],
)
def test_garbage_ends_the_connection_and_all_that_waited_on_it(garbage: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        peer.next()
        peer.raw(garbage)
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server, request_timeout=10.0) as client:
        running = client.submit("f", "x")
        running.job()
        unanswered = client.submit("f", "y")
        assert isinstance(running.exception(10), ConnectionLost)
        assert isinstance(unanswered.exception(10), SubmitUnknown)


def test_an_answer_to_nothing_ends_the_connection() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.STATUS_RES, b"H:1", b"0", b"0", b"0", b"0")
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server, request_timeout=10.0) as client:
        assert isinstance(client.submit("f", "x").exception(10), SubmitUnknown)


def test_a_refusal_is_an_error_of_that_submission_only() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.ERROR, b"QUEUE_ERROR", b"Job queue is full")
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server) as client:
        with pytest.raises(ServerError) as raised:
            client.submit_background_job("f", "x")
        assert (raised.value.code, raised.value.text) == ("QUEUE_ERROR", "Job queue is full")
        assert client.submit_background_job("f", "x").handle == "H:1"
        assert server.connections == 1


def test_numbers_that_are_none_do_not_disturb() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        peer.send(T.WORK_STATUS, b"H:1", b"many", b"0.5")
        peer.send(T.WORK_STATUS, b"H:1", b"1e999", b"")
        peer.send(T.WORK_COMPLETE, b"H:1", b"r")
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server) as client:
        future = client.submit("f", "x")
        assert future.result() == b"r"


def test_a_packet_over_the_clients_limit_ends_the_connection() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        peer.send(T.WORK_COMPLETE, b"H:1", bytes(2000))
        wait_silently(peer)

    with ScriptedServer(script) as server, Client(server.address, max_packet=1000) as client:
        with pytest.raises(ConnectionLost, match="limit"):
            client.submit_job("f", "x", timeout=10)


def test_a_server_that_reads_nothing_does_not_hold_up_a_caller_past_its_deadline() -> None:
    release = threading.Event()

    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        release.wait(30)

    with ScriptedServer(script) as server, client_of(server) as client:
        client.submit_background_job("f", "x")
        futures = [client.submit("f", bytes(8 * 1024 * 1024), timeout=0.2) for _ in range(3)]
        for future in futures:
            assert isinstance(future.exception(), SubmitUnknown)
        release.set()


def test_a_reconnected_client_asks_for_exceptions_again(gearmand: Gearmand) -> None:
    def explode(job: object) -> bytes:
        raise ExplodeError(b"why")

    with Client(gearmand.address) as client:
        client.echo()
        gearmand.restart()
        wait_for(lambda: client._dispatch.pool.current(gearmand.address) is None, "the client to notice")
        worker = ThreadWorker(gearmand.address, {"explode": explode})
        error = client.submit("explode", "x").exception()
        worker.stop()
        assert type(error).__name__ == "JobException"


def test_a_server_that_comes_back_is_used_again(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        client.submit_background_job("f", "x")
        gearmand.kill()
        wait_for(lambda: client._dispatch.pool.current(gearmand.address) is None, "the client to notice")
        with pytest.raises(NoServersAvailable):
            client.submit_background_job("f", "x")
        gearmand.start()
        assert client.submit_background_job("f", "x").handle


def test_a_job_is_submitted_again_by_its_unique_id_and_runs_once(gearmand: Gearmand) -> None:
    runs: list[bytes] = []
    go = threading.Event()

    def slow(job: object) -> bytes:
        runs.append(b"x")
        assert go.wait(30)
        return b"done"

    with Client(gearmand.address) as client, Client(gearmand.address) as other:
        worker = ThreadWorker(gearmand.address, {"slow": slow})
        other.submit("slow", "x", unique="mine").job()
        future = client.submit("slow", "x", unique="mine", retry=3)
        handle = future.job().handle
        wait_for(lambda: len(runs) == 1, "the job to run")
        connection = client._dispatch.pool.current(gearmand.address)
        assert connection is not None
        connection.shut()  # what a fault of the network does
        wait_for(lambda: future._tries == 2 and future.handle, "the second submission to be acknowledged")
        assert future.retries == 2
        assert future.job().handle == handle
        go.set()
        assert future.result() == b"done"
        worker.stop()
    assert runs == [b"x"]


def test_ten_thousand_jobs_submitted_again_by_their_unique_ids_run_once_each(server: Server) -> None:
    runs: Counter[bytes] = Counter()

    def note(job: Assigned) -> bytes:
        runs[job.data] += 1
        return job.data

    with Client(server.address) as client:
        futures = []
        for number in range(10_000):
            futures.append(client.submit("note", b"%d" % number, unique=f"u{number}", retry=5, timeout=90))
            if number % 3000 == 2999:
                connection = client._dispatch.pool.current(server.address)
                assert connection is not None
                connection.shut()  # what a fault of the network does; the server lives
        worker = ThreadWorker(server.address, {"note": note})
        results = client.gather(*futures)
        worker.stop()
    assert results == [b"%d" % number for number in range(10_000)]
    assert len(runs) == 10_000
    assert set(runs.values()) == {1}


def test_a_server_that_drops_each_connection_does_not_use_up_all_retries_at_once() -> None:
    with job_server() as server, working(server, echo=lambda arg: arg) as worker, Client(server.address) as client:
        worker.remove("echo")
        future = client.submit("echo", "x", unique="mine", retry=8, timeout=60)
        server.faults.drop_after(packets=2)  # the answer to the greeting, and no JOB_CREATED
        server.faults.drop()
        wait_for(lambda: future._tries >= 4, "a few tries")
        assert not future.done()
        server.faults.clear()
        worker.add("echo", lambda arg: arg)
        assert future.result() == b"x"
        assert future.retries > 0


def test_closing_the_client_ends_what_was_to_be_submitted_again() -> None:
    with job_server() as server:
        client = Client(server.address)
        future = client.submit("nobody", "x", unique="mine", retry=1000, timeout=60)
        future.job()
        server.faults.refuse()
        server.faults.drop()
        wait_for(lambda: future.retries < 1000, "the first try")
        client.close()
        assert isinstance(future.exception(30), GearpoolError)


def test_without_retry_a_lost_connection_is_the_callers_to_judge(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        future = client.submit("nobody", "x", unique="mine")
        future.job()
        gearmand.kill()
        assert type(future.exception(10)) is ConnectionLost


def test_when_no_server_is_left_a_retry_ends_as_an_error(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as client:
        futures = [client.submit("nobody", "x", unique=f"mine-{number}", retry=2) for number in range(50)]
        client.gather(*futures[:0])
        futures[-1].job()
        gearmand.kill()
        assert all(isinstance(future.exception(30), NoServersAvailable) for future in futures)


def test_a_discarded_job_does_not_keep_a_new_client_waiting_for_ever(gearmand: Gearmand) -> None:
    # gearmand discards a waiting job whose last client leaves, yet gives its handle to later submissions.
    with Client(gearmand.address) as leaving:
        handle = leaving.submit("later", "x", unique="mine").job().handle
    with Client(gearmand.address) as client:
        future = client.submit("later", "x", unique="mine", retry=3)
        assert future.job().handle == handle
        worker = ThreadWorker(gearmand.address, {"later": lambda job: b"done"})
        assert future.result(30) == b"done"
        worker.stop()


def test_without_retry_a_discarded_job_is_an_error_in_time(gearmand: Gearmand) -> None:
    with Client(gearmand.address) as leaving:
        leaving.submit("later", "x", unique="mine").job()
    with Client(gearmand.address) as client:
        future = client.submit("later", "x", unique="mine")
        future.job()
        worker = ThreadWorker(gearmand.address, {"later": lambda job: b"done"})
        assert isinstance(future.exception(30), ConnectionLost)
        worker.stop()


def test_nobody_listening_is_said_at_once() -> None:
    with Client(f"127.0.0.1:{free_port()}") as client, pytest.raises(NoServersAvailable, match="refused"):
        client.submit_job("f", "x")


def test_a_job_timeout_is_not_an_unacknowledged_submission() -> None:
    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, b"H:1")
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server) as client, pytest.raises(JobTimedOut):
        client.submit_job("f", "x", timeout=0.1)


@pytest.mark.parametrize("handle", [b"H:\n1", b"H: 1", b"\xff" * 100], ids=["line end", "space", "long"])
def test_a_job_with_a_handle_that_may_not_be_asked_for_ends_at_its_limit_and_the_connection_lives_on(
    handle: bytes,
) -> None:
    given_up = threading.Event()

    def script(peer: Peer) -> None:
        peer.next()
        peer.send(T.JOB_CREATED, handle)
        peer.next()
        peer.send(T.JOB_CREATED, b"H:2")
        assert given_up.wait(30)
        peer.send(T.WORK_COMPLETE, handle, b"late")
        peer.send(T.WORK_COMPLETE, b"H:2", b"done")
        wait_silently(peer)

    with ScriptedServer(script) as server, client_of(server) as client:
        odd = client.submit("f", timeout=0.3)
        other = client.submit("f", timeout=60.0)
        # Nobody waits for it: the client's own thread ends it.
        wait_for(odd.done, "the job to end")
        assert isinstance(odd.exception(), JobTimedOut)
        given_up.set()
        assert other.result() == b"done"
