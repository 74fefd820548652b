"""The poller of job servers, against gearmand, the embedded server, and servers that misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from gearpool.client import Client
from gearpool.net.addresses import parse_server, parse_servers
from gearpool.web import queues
from gearpool.web.exposition import expose
from gearpool.web.queues import QueuePoller, ServerQueues
from tests.client.scripted import Peer, ScriptedServer
from tests.client.workers import Assigned, ThreadWorker
from tests.net.servers import stunnel
from tests.processes import Gearmand, free_port, running_server

Start = Callable[..., QueuePoller]


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Let greenlets run until the condition holds."""
    with gevent.Timeout(seconds, AssertionError("the condition did not come true")):
        while not condition():
            gevent.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a poller of these servers, which ends with the test."""
    pollers: list[QueuePoller] = []

    def begin(*servers: str, interval_s: float = 0.05, timeout_s: float = 10.0) -> QueuePoller:
        poller = QueuePoller(parse_servers(servers), interval_s=interval_s, timeout_s=timeout_s)
        poller.start()
        pollers.append(poller)
        return poller

    yield begin
    for poller in pollers:
        poller.close()


@pytest.fixture(params=["gearmand", "gearpool server"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A real job server, gearmand and ours."""
    with running_server(request.param) as found:
        yield found


def one(poller: QueuePoller) -> ServerQueues:
    """The only server."""
    (server,) = poller.snapshot()["servers"].values()
    return server


def exposition(poller: QueuePoller) -> list[str]:
    """The samples as Prometheus reads them."""

    body, _ = expose(poller.families, "")
    samples = [sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples]
    assert len(samples) == sum(not line.startswith("#") for line in body.decode().splitlines())
    return [line for line in body.decode().splitlines() if not line.startswith("#")]


def test_queues_of_a_real_server_are_told_by_priority(address: str, start: Start) -> None:
    with Client(address) as client:
        for priority in ("high", "low", "low"):
            client.submit_background_job("later", priority, priority=priority)
        poller = start(address)
        until(lambda: poller.asked)
    server = one(poller)
    assert (server["up"], server["error"], server["more"]) == (True, None, 0)
    assert server["age_s"] is not None
    assert server["functions"]["later"] == {
        "jobs": 3,
        "running": 0,
        "workers": 0,
        "waiting": {"high": 1, "normal": 0, "low": 2},
    }
    lines = exposition(poller)
    assert f'gearman_up{{server="{address}"}} 1.0' in lines
    assert f'gearman_jobs{{function="later",server="{address}"}} 3.0' in lines
    assert f'gearman_jobs_waiting{{function="later",priority="low",server="{address}"}} 2.0' in lines
    assert f'gearman_jobs_waiting{{function="later",priority="normal",server="{address}"}} 0.0' in lines


def test_running_jobs_and_workers_are_counted_and_a_function_stays_when_its_work_is_done(
    address: str, start: Start
) -> None:
    release = threading.Event()

    def hold(job: Assigned) -> bytes:
        release.wait(60)
        return job.data

    worker = ThreadWorker(address, {"held": hold})
    with Client(address) as client:
        client.submit_background_job("held", b"x")
        poller = start(address)
        until(lambda: "held" in one(poller)["functions"] and one(poller)["functions"]["held"]["running"] == 1)
    lines = exposition(poller)
    assert f'gearman_jobs_running{{function="held",server="{address}"}} 1.0' in lines
    assert f'gearman_workers{{function="held",server="{address}"}} 1.0' in lines
    assert f'gearman_jobs_waiting{{function="held",priority="normal",server="{address}"}} 0.0' in lines
    release.set()
    until(lambda: one(poller)["functions"]["held"]["jobs"] == 0)
    worker.stop()
    until(lambda: one(poller)["functions"]["held"]["workers"] == 0)


def test_a_server_that_never_answers_or_refuses_delays_no_other(gearmand: Gearmand, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts in the kernel only
        hole = f"127.0.0.1:{silent.getsockname()[1]}"
        dead = f"127.0.0.1:{free_port()}"
        poller = start(hole, dead, gearmand.address, timeout_s=60.0)
        servers = poller.snapshot()["servers"]
        assert servers[gearmand.address] == {
            "up": False,
            "error": "not asked yet",
            "age_s": None,
            "functions": {},
            "more": 0,
        }
        until(lambda: poller.snapshot()["servers"][gearmand.address]["up"])
        until(lambda: "refused" in str(poller.snapshot()["servers"][dead]["error"]))
        assert not poller.asked
        assert exposition(poller) == [
            f'gearman_up{{server="{dead}"}} 0.0',
            f'gearman_up{{server="{gearmand.address}"}} 1.0',
        ]


def test_a_silent_server_is_down_when_its_time_is_up(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        poller = start(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.1)
        until(lambda: poller.asked)
        assert not one(poller)["up"]
        assert "did not answer status in time" in str(one(poller)["error"])


def test_a_server_that_sends_bytes_without_end_is_down_when_its_time_is_up(start: Start) -> None:
    def trickle(peer: Peer) -> None:
        while True:
            peer.raw(b"x")
            time.sleep(0.01)

    with ScriptedServer(trickle) as server:
        poller = start(server.address, timeout_s=0.2)
        until(lambda: poller.asked)
        assert "did not answer status in time" in str(one(poller)["error"])


def test_a_lost_server_keeps_its_last_queues_with_their_age_but_not_in_the_metrics(
    gearmand: Gearmand, start: Start
) -> None:
    with Client(gearmand.address) as client:
        client.submit_background_job("later", b"x")
    poller = start(gearmand.address)
    until(lambda: one(poller)["up"])
    gearmand.kill()
    until(lambda: not one(poller)["up"])
    lost = one(poller)
    assert lost["functions"]["later"]["jobs"] == 1
    assert lost["error"]
    assert exposition(poller) == [f'gearman_up{{server="{gearmand.address}"}} 0.0']
    age_s = lost["age_s"]
    assert age_s is not None
    until(lambda: (one(poller)["age_s"] or 0) > age_s)
    gearmand.start()
    until(lambda: one(poller)["up"])
    assert one(poller)["functions"] == {}


def answering(**replies: bytes) -> Callable[[Peer], None]:
    """A server that answers each command with these bytes, and one that it does not know with an error."""

    def script(peer: Peer) -> None:
        line = peer.sock.recv(1024).strip().decode()
        peer.raw(replies.get(line, b"ERR UNKNOWN_COMMAND Unknown+server+command\r\n"))
        peer.sock.recv(1)

    return script


def test_a_server_that_cannot_tell_priorities_has_the_priority_unknown_and_is_not_asked_each_time(
    start: Start,
) -> None:
    with ScriptedServer(answering(status=b"old\t5\t2\t1\n.\n")) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        assert one(poller)["functions"]["old"] == {"jobs": 5, "running": 2, "workers": 1, "waiting": None}
        (line,) = [line for line in exposition(poller) if line.startswith("gearman_jobs_waiting")]
        assert line == f'gearman_jobs_waiting{{function="old",priority="unknown",server="{server.address}"}} 3.0'
        seen = server.connections
        until(lambda: server.connections >= seen + 4)
        poller.close()
    assert poller.snapshot()["servers"][server.address]["up"]


def test_a_server_is_asked_for_priorities_again_after_a_while(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    monkeypatch.setattr(queues, "NO_PRIORITIES_S", 0.0)
    known: dict[str, bytes] = {"status": b"f\t5\t2\t1\n.\n"}

    def script(peer: Peer) -> None:
        answering(**known)(peer)

    with ScriptedServer(script) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        known["prioritystatus"] = b"f\t1\t1\t1\t1\n.\n"
        until(lambda: one(poller)["functions"]["f"]["waiting"] == {"high": 1, "normal": 1, "low": 1})
        poller.close()


def test_a_function_without_a_row_of_priorities_has_the_priority_unknown(start: Start) -> None:
    replies = {"status": b"a\t1\t0\t0\nb\t2\t0\t0\n.\n", "prioritystatus": b"a\t1\t0\t0\t0\n.\n"}
    with ScriptedServer(answering(**replies)) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        functions = one(poller)["functions"]
        assert functions["a"]["waiting"] == {"high": 1, "normal": 0, "low": 0}
        assert functions["b"]["waiting"] is None
        poller.close()


def test_of_too_many_functions_the_busiest_are_kept_and_the_others_counted(start: Start) -> None:
    rows = [b"idle%d\t0\t0\t0\n" % index for index in range(queues.MAX_FUNCTIONS)] + [b"busy\t9\t0\t0\n"]
    rows.append(b"n" * (queues.MAX_NAME + 1) + b"\t99\t0\t0\n")
    with ScriptedServer(answering(status=b"".join(rows) + b".\n")) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        found = one(poller)
        assert len(found["functions"]) == queues.MAX_FUNCTIONS
        assert found["functions"]["busy"]["jobs"] == 9
        assert found["more"] == 2
        poller.close()


def test_an_answer_that_is_too_long_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    monkeypatch.setattr(queues, "MAX_REPLY", 100_000)
    with ScriptedServer(answering(status=b"f\t1\t1\t1\n" * 100_000)) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        assert "has no end within 97 KiB" in str(one(poller)["error"])
        poller.close()


def test_odd_names_and_errors_can_be_written_as_json_and_as_metrics(start: Start) -> None:
    with ScriptedServer(answering(status=b'caf\xe9 "\\\x01\t1\t0\t0\nM\xc3\xbcnz\t0\t0\t0\n.\n')) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        assert set(one(poller)["functions"]) == {'caf\\xe9 "\\\x01', "Münz"}
        json.dumps(poller.snapshot(), ensure_ascii=False).encode()
        assert any("caf\\\\xe9" in line for line in exposition(poller))
        poller.close()
    with ScriptedServer(answering(status=b"\xff" * 300 + b"\n.\n")) as server:
        poller = start(server.address)
        until(lambda: poller.asked)
        error = one(poller)["error"]
        assert error is not None
        error.encode()
        assert len(error) <= queues.MAX_ERROR
        poller.close()


def test_an_unforeseen_error_is_told_and_the_server_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, gearmand: Gearmand, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(queues, "_kept", lambda rows, priorities: 1 / 0)
        poller = start(gearmand.address)
        until(lambda: poller.asked)
        assert one(poller)["error"] == "ZeroDivisionError: division by zero"
    until(lambda: one(poller)["up"])
    assert "could not be read" in caplog.text


def test_servers_are_asked_over_tls(tmp_path: Path, gearmand: Gearmand, start: Start) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    with stunnel(tmp_path, gearmand.port, tmp_path / "server.pem") as port:
        poller = start(f"gear+tls://127.0.0.1:{port}?ca={tmp_path}/ca.pem", f"gear+tls://localhost:{port}")
        until(lambda: poller.asked)
        servers = poller.snapshot()["servers"]
        assert servers[f"127.0.0.1:{port}"]["error"] is None
        assert "certificate" in str(servers[f"localhost:{port}"]["error"])


def test_after_a_reload_new_servers_are_asked_and_what_is_known_of_others_is_kept(
    gearmand: Gearmand, start: Start
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hole = f"127.0.0.1:{silent.getsockname()[1]}"
        dead = f"127.0.0.1:{free_port()}"
        poller = start(gearmand.address, hole, timeout_s=60.0)
        until(lambda: poller.snapshot()["servers"][gearmand.address]["up"])
        poller.follow([parse_server(gearmand.address), parse_server(dead)])
        assert list(poller.snapshot()["servers"]) == [gearmand.address, dead]
        assert poller.snapshot()["servers"][gearmand.address]["up"]
        until(lambda: poller.asked)
        poller.close()
        poller.follow([parse_server(dead)])
        assert list(poller.snapshot()["servers"]) == [dead]
