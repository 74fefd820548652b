"""Connecting, and each way in which it fails: clear and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import gevent
import gevent.socket
import pytest
import trustme

from gearpool import AsyncClient
from gearpool.client import Client
from gearpool.errors import ConnectFailed, NoServersAvailable
from gearpool.net import async_dialing, dialing, greenlets
from gearpool.net.addresses import parse_server
from gearpool.net.dialing import standard
from gearpool.net.modules import Modules
from gearpool.settings import ServerSettings, TlsSettings
from gearpool.testing import job_server, working
from gearpool.timing import Deadline
from tests.client.workers import ThreadWorker
from tests.net.servers import stunnel, tcp_server
from tests.processes import Gearmand, free_port, wait_for


class Loop(Modules):
    """An asyncio loop connects."""


def connect(server: ServerSettings, deadline: Deadline, *, modules: Modules) -> socket.socket:
    """Connect in threads, greenlets or asyncio; the socket, of which a TLS connection's is the TCP one in asyncio."""
    if not isinstance(modules, Loop):
        return dialing.connect(server, deadline, modules=modules)

    async def use() -> socket.socket:
        transport, _ = await async_dialing.connect(server, deadline, modules=modules)
        sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        transport.abort()
        await asyncio.sleep(0)
        sock.settimeout(None)
        return sock

    return asyncio.run(use())


def loop() -> Modules:
    """The standard library's modules, for asyncio."""
    return Loop(socket)


@pytest.fixture(params=[standard, greenlets.modules, loop], ids=["threads", "greenlets", "asyncio"])
def modules(request: pytest.FixtureRequest) -> Modules:
    """Sockets of the standard library and of gevent, and an asyncio loop."""
    made: Modules = request.param()
    return made


def reason(server: str | ServerSettings, modules: Modules, seconds: float = 10.0) -> str:
    """Why connecting fails."""
    with pytest.raises(ConnectFailed) as failed:
        connect(parse_server(server), Deadline.after(seconds), modules=modules)
    assert failed.value.server in str(failed.value)
    return failed.value.reason


def mute(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def test_a_connection_is_tuned_for_speed_and_dead_peers(modules: Modules, gearmand: Gearmand) -> None:
    sock = connect(parse_server(gearmand.address), Deadline.after(10), modules=modules)
    try:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        probes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        interval = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        assert idle + probes * interval <= 30
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 30_000
        assert sock.gettimeout() is None
    finally:
        dialing.close(sock)


def test_a_name_is_resolved_and_each_address_tried(modules: Modules, gearmand: Gearmand) -> None:
    dialing.close(connect(parse_server(f"localhost:{gearmand.port}"), Deadline.after(10), modules=modules))

    def two_addresses(module: Any, host: str, port: int, deadline: Deadline) -> list[Any]:
        kind = (module.AF_INET, module.SOCK_STREAM, 6, "")
        return [(*kind, ("127.0.0.1", dead)), (*kind, ("127.0.0.1", gearmand.port))]

    dead = free_port()
    both = type(modules)(modules.socket, modules.ssl, two_addresses)
    dialing.close(connect(parse_server("both.example"), Deadline.after(10), modules=both))


def test_the_name_is_looked_up_afresh_each_time(modules: Modules, gearmand: Gearmand) -> None:
    answers = [free_port(), gearmand.port]

    def moving(module: Any, host: str, port: int, deadline: Deadline) -> list[Any]:
        return [(module.AF_INET, module.SOCK_STREAM, 6, "", ("127.0.0.1", answers.pop(0)))]

    moved = type(modules)(modules.socket, modules.ssl, moving)
    assert "refused" in reason("moving.example", moved)
    dialing.close(connect(parse_server("moving.example"), Deadline.after(10), modules=moved))


def test_refused(modules: Modules) -> None:
    assert reason(f"127.0.0.1:{free_port()}", modules) == "connection refused: nothing listens there"


def test_a_name_that_does_not_exist(modules: Modules) -> None:
    assert reason("nosuchhost.invalid:4730", modules).startswith("the name does not resolve")


@pytest.mark.parametrize("kind", [Modules, Loop])
def test_a_name_server_that_does_not_answer(kind: type[Modules]) -> None:
    release = threading.Event()

    class Stuck:
        def __getattr__(self, name: str) -> Any:
            return getattr(socket, name)

        def getaddrinfo(self, host: str, port: int, *rest: Any) -> Any:
            if rest[-1] == socket.AI_NUMERICHOST:
                raise socket.gaierror(socket.EAI_NONAME, "no address")
            release.wait(30)
            return []

    assert "did not answer in time" in reason("slow.example", kind(Stuck()), 0.2)
    release.set()


def test_gevents_look_up_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(greenlets, "look_up", lambda *_: release.wait(30))
    assert "did not answer in time" in reason("slow.example", greenlets.modules(), 0.2)
    release.set()


def test_those_who_look_up_one_name_share_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    release = threading.Event()

    def slow(module: Any, host: str, port: int) -> list[Any]:
        asked.append(host)
        release.wait(30)
        return [host]

    monkeypatch.setattr(greenlets, "look_up", slow)
    looking = [gevent.spawn(greenlets.resolve, gevent.socket, "one.example", 1, Deadline.after(30)) for _ in range(50)]
    wait_for(lambda: gevent.sleep(0) or asked, "the first look-up")
    release.set()
    gevent.joinall(looking, timeout=30)
    assert [each.value for each in looking] == [["one.example"]] * 50
    assert asked == ["one.example"]
    # Afresh each time: nothing is remembered.
    assert greenlets.resolve(gevent.socket, "one.example", 1, Deadline.after(30)) == ["one.example"]
    assert len(asked) == 2


@pytest.fixture
def hub_threads_taken() -> Iterator[None]:
    """Handlers use all threads of the hub's pool."""
    release = threading.Event()
    pool = gevent.get_hub().threadpool
    taken = [pool.spawn(release.wait, 60) for _ in range(pool.maxsize)]
    yield
    release.set()
    gevent.joinall(taken, timeout=60)


@pytest.mark.usefixtures("hub_threads_taken")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_is_reached_while_handlers_use_all_of_gevents_threads(host: str, gearmand: Gearmand) -> None:
    made = greenlets.modules()
    dialing.close(connect(parse_server(f"{host}:{gearmand.port}"), Deadline.after(20), modules=made))


def test_an_address_needs_no_look_up(modules: Modules, gearmand: Gearmand) -> None:
    def refuse(*_: object) -> list[Any]:
        raise AssertionError("an address was looked up")

    modules.resolve = refuse
    dialing.close(connect(parse_server(gearmand.address), Deadline.after(10), modules=modules))


def test_a_client_in_a_patched_process_does_not_wait_for_gevents_threads(gearmand: Gearmand) -> None:
    program = f"""
        from gevent import monkey
        monkey.patch_all()
        import gevent, threading
        from gevent.event import Event
        from gearpool import Client
        pool = gevent.get_hub().threadpool
        release = monkey.get_original("threading", "Event")()
        taken = [pool.spawn(release.wait, 60) for _ in range(pool.maxsize)]
        with Client("localhost:{gearmand.port}") as client:
            print(client.echo(b"reached"))
        release.set()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("b'reached'", "")


def test_a_server_that_never_accepts(modules: Modules) -> None:
    # A full backlog drops the packets, as a firewall does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            assert "no answer from the host in time" in reason(f"127.0.0.1:{port}", modules, 0.5)
        finally:
            for filler in fillers:
                filler.close()


def test_a_server_that_accepts_and_is_silent(modules: Modules) -> None:
    with tcp_server(mute) as port:
        assert "does not answer" in reason(f"127.0.0.1:{port}", modules, 0.3)


def test_a_server_that_closes_at_once(modules: Modules) -> None:
    with tcp_server(lambda sock: None) as port:
        assert "closed the connection at once" in reason(f"127.0.0.1:{port}", modules)


@pytest.mark.parametrize("banner", [b"220 mail.example ESMTP\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_port_that_belongs_to_something_else(modules: Modules, banner: bytes) -> None:
    def script(sock: socket.socket) -> None:
        sock.sendall(banner)
        sock.recv(100)

    with tcp_server(script) as port:
        assert reason(f"127.0.0.1:{port}", modules).startswith("not a job server")


# TLS


class Certificates:
    """A certificate authority and what it signed, as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)
        self.server = self.issue("server", "localhost", "127.0.0.1")
        self.expired = self.issue("expired", "localhost", expires=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        self.client = self.issue("client", "client@example.org")

    def issue(self, name: str, *identities: str, expires: dt.datetime | None = None) -> Path:
        """Key and certificate in one PEM file."""
        path = self._folder / f"{name}.pem"
        not_before = dt.datetime(2019, 1, 1, tzinfo=dt.UTC) if expires else None
        issued = self._authority.issue_cert(*identities, not_after=expires, not_before=not_before)
        issued.private_key_and_cert_chain_pem.write_to_path(path)
        return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of another authority."""
    return Certificates(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def tls(port: int, **options: Any) -> ServerSettings:
    return ServerSettings(
        host="localhost",
        port=port,
        tls=TlsSettings(**{key: None if value is None else str(value) for key, value in options.items()}),
    )


class Front(Protocol):
    """A server that speaks TLS with this certificate, and demands one of its clients if there is a ``client_ca``."""

    def __call__(
        self, certificate: Path, *, client_ca: Path | None = None
    ) -> contextlib.AbstractContextManager[int]: ...


@pytest.fixture(params=["stunnel in front of gearmand", "our own server"])
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Front:
    """The two that speak TLS (Debian builds gearmand without)."""
    if request.param == "our own server":
        return ours
    gearmand: Gearmand = request.getfixturevalue("gearmand")
    return functools.partial(stunnel, tmp_path, gearmand.port)


@contextlib.contextmanager
def ours(certificate: Path, *, client_ca: Path | None = None) -> Iterator[int]:
    settings = TlsSettings(cert=str(certificate), ca=None if client_ca is None else str(client_ca))
    with job_server(tls=settings) as server:
        yield server.port


def test_tls(modules: Modules, front: Front, certificates: Certificates) -> None:
    with front(certificates.server) as port:
        sock = connect(tls(port, ca=certificates.ca), Deadline.after(10), modules=modules)
        assert sock.getsockname()
        dialing.close(sock)


def test_a_client_works_over_tls(gearmand: Gearmand, certificates: Certificates, tmp_path: Path) -> None:
    worker = ThreadWorker(gearmand.address, {"echo": lambda job: job.data})
    with stunnel(tmp_path, gearmand.port, certificates.server) as port:
        url = f"gear+tls://localhost:{port}?ca={certificates.ca}"
        with Client(url) as client:
            large = bytes(range(256)) * 20_000
            assert client.submit_job("echo", large) == large
            items = [str(number) for number in range(3000)]
            assert list(client.map("echo", items)) == [item.encode() for item in items]
            futures = [client.submit("echo", large) for _ in range(4)]
            assert client.gather(*futures) == [large] * 4
            assert client.admin.version()
    worker.stop()


def test_a_client_works_over_tls_with_our_server(certificates: Certificates) -> None:
    settings = TlsSettings(cert=str(certificates.server), key=str(certificates.server), ca=str(certificates.ca))
    with job_server(tls=settings) as ours:
        with_certificate = tls(ours.port, ca=certificates.ca, cert=certificates.client, key=certificates.client)
        with Client(with_certificate) as client:
            assert client.echo(b"x" * 100_000) == b"x" * 100_000
        assert "client certificate" in reason(tls(ours.port, ca=certificates.ca), standard())


def test_an_asyncio_client_works_over_tls(front: Front, gearmand: Gearmand, certificates: Certificates) -> None:
    async def use(server: ServerSettings) -> None:
        async with asyncio.timeout(60), AsyncClient(server) as client:
            large = bytes(range(256)) * 20_000
            assert await client.submit_job("echo", large) == large
            jobs = [await client.submit("echo", large) for _ in range(4)]
            assert await asyncio.gather(*jobs) == [large] * 4
            items = [str(number) for number in range(2000)]
            assert [result async for result in client.map("echo", items)] == [item.encode() for item in items]
            assert await client.admin.version()

    with front(certificates.server, client_ca=certificates.ca) as port:
        server = tls(port, ca=certificates.ca, cert=certificates.client, key=certificates.client)
        with working(server, echo=lambda arg: arg):
            asyncio.run(use(server))


def test_our_worker_serves_over_tls_with_a_client_certificate(front: Front, certificates: Certificates) -> None:
    with front(certificates.server, client_ca=certificates.ca) as port:
        server = tls(port, ca=certificates.ca, cert=certificates.client, key=certificates.client)
        with working(server, echo=lambda arg: arg), Client(server, job_timeout=30) as client:
            large = bytes(range(256)) * 20_000
            futures = [client.submit("echo", large) for _ in range(4)]
            assert client.gather(*futures) == [large] * 4
            items = [str(number) for number in range(2000)]
            assert list(client.map("echo", items)) == [item.encode() for item in items]


def test_a_client_certificate_is_shown(modules: Modules, front: Front, certificates: Certificates) -> None:
    with front(certificates.server, client_ca=certificates.ca) as port:
        with_it = tls(port, ca=certificates.ca, cert=certificates.client, key=certificates.client)
        dialing.close(connect(with_it, Deadline.after(10), modules=modules))
        assert "client certificate" in reason(tls(port, ca=certificates.ca), modules)


def test_a_client_certificate_of_another_authority_is_refused(
    modules: Modules, front: Front, certificates: Certificates, other: Certificates
) -> None:
    with front(certificates.server, client_ca=certificates.ca) as port:
        wrong = tls(port, ca=certificates.ca, cert=other.client, key=other.client)
        assert "refuses our client certificate" in reason(wrong, modules)


def test_a_certificate_of_an_unknown_authority(
    modules: Modules, front: Front, certificates: Certificates, other: Certificates
) -> None:
    with front(certificates.server) as port:
        for server in (tls(port, ca=other.ca), tls(port)):
            assert "not signed by a trusted authority" in reason(server, modules)


def test_an_expired_certificate(modules: Modules, front: Front, certificates: Certificates) -> None:
    with front(certificates.expired) as port:
        assert reason(tls(port, ca=certificates.ca), modules) == "TLS: the server's certificate has expired"


def test_a_certificate_for_another_name(modules: Modules, front: Front, certificates: Certificates) -> None:
    with front(certificates.issue("elsewhere", "mail.example.org")) as port:
        assert "for another name" in reason(tls(port, ca=certificates.ca), modules)
        named = tls(port, ca=certificates.ca, server_name="mail.example.org")
        dialing.close(connect(named, Deadline.after(10), modules=modules))


def test_debians_gearmand_speaks_plain_text_on_its_tls_port(modules: Modules, gearmand: Gearmand) -> None:
    assert "speaks plain text" in reason(tls(gearmand.port), modules)


def test_a_plain_client_on_a_tls_port_is_told_to_use_tls(
    modules: Modules, front: Front, certificates: Certificates
) -> None:
    with front(certificates.server) as port:
        assert "gear+tls" in reason(f"127.0.0.1:{port}", modules)


def test_a_handshake_that_never_ends(modules: Modules) -> None:
    with tcp_server(mute) as port:
        assert "the handshake did not finish in time" in reason(tls(port), modules, 0.3)


def test_files_that_are_not_there_are_named(modules: Modules, tmp_path: Path) -> None:
    with tcp_server(mute) as port:
        why = reason(tls(port, ca=tmp_path / "missing.pem"), modules)
        assert "missing.pem" in why
        broken = tmp_path / "broken.pem"
        broken.write_text("no certificate\n")
        assert "broken.pem" in reason(tls(port, cert=broken), modules)


@pytest.mark.parametrize(
    ("certificate", "authority", "words"),
    [
        ("expired", "certificates", "expired"),
        ("server", "other", "not signed by a trusted authority"),
        ("client", "certificates", "for another name"),
    ],
)
def test_a_client_reports_the_reason_too(
    front: Front, certificates: Certificates, other: Certificates, certificate: str, authority: str, words: str
) -> None:
    ca = {"certificates": certificates, "other": other}[authority].ca
    with front(getattr(certificates, certificate)) as port, Client(tls(port, ca=ca), connect_timeout=10) as client:
        with pytest.raises(NoServersAvailable, match=words):
            client.submit_job("f", "x")
        with pytest.raises(NoServersAvailable, match=words):
            client.admin.status()


def test_a_client_reports_plain_text_either_way_and_a_handshake_that_never_ends(
    gearmand: Gearmand, certificates: Certificates
) -> None:
    with Client(tls(gearmand.port)) as client, pytest.raises(NoServersAvailable, match="plain text"):
        client.submit_job("f", "x")
    with ours(certificates.server) as port, Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(NoServersAvailable, match=r"gear\+tls"):
            client.submit_job("f", "x")
    with tcp_server(mute) as port, Client(tls(port), connect_timeout=0.3) as client:
        with pytest.raises(NoServersAvailable, match="handshake did not finish in time"):
            client.submit_job("f", "x")


def test_a_greenlet_that_is_killed_in_the_handshake_leaves_no_open_socket() -> None:
    began = threading.Event()

    def silent(sock: socket.socket) -> None:
        sock.recv(1)
        began.set()
        while sock.recv(4096):
            pass

    with tcp_server(silent) as port:
        settings = ServerSettings(host="127.0.0.1", port=port, tls=TlsSettings())
        dialing_it = gevent.spawn(dialing.connect, settings, Deadline.after(60), modules=greenlets.modules())
        while not began.is_set():
            gevent.sleep(0.01)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            dialing_it.kill()
            gevent.sleep(0)
            del dialing_it
            gc.collect()
    assert [str(each.message) for each in warned if each.category is ResourceWarning] == []
