"""TLS: real handshakes against the server, with and without client certificates."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from gearpool.errors import ConfigurationError
from gearpool.protocol.codec import Decoder, request
from gearpool.protocol.packets import RESPONSE_MAGIC
from gearpool.server import connections
from gearpool.server.streams import server_context
from gearpool.settings import TlsSettings
from gearpool.testing.servers import ThreadedJobServer, job_server
from tests.conformance.wire import T, Wire, eventually


class Files(NamedTuple):
    """Paths of PEM files, and the authority behind them."""

    ca: str
    cert: str
    key: str
    authority: trustme.CA


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(folder / "cert.pem"), append=number > 0)
    return Files(str(folder / "ca.pem"), str(folder / "cert.pem"), str(folder / "key.pem"), authority)


def settings(files: Files, *, clients: bool = False) -> TlsSettings:
    return TlsSettings(cert=files.cert, key=files.key, ca=files.ca if clients else None)


def tls_connect(server: ThreadedJobServer, files: Files, *, certificate: bool = False) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=files.ca)
    if certificate:
        files.authority.issue_cert("client").configure_cert(context)
    sock = socket.create_connection(("127.0.0.1", server.port), 10)
    return context.wrap_socket(sock, server_hostname="localhost")


def echo(sock: ssl.SSLSocket, data: bytes) -> bytes:
    sock.sendall(request(T.ECHO_REQ, data))
    decoder = Decoder(RESPONSE_MAGIC)
    while True:
        received = sock.recv(65536)
        if not received:
            raise EOFError
        for _, arguments in decoder.feed(received):
            return arguments[0]


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 300_000, 5_000_000])
def test_payloads_of_any_size_pass_through_tls(files: Files, size: int) -> None:
    with job_server(tls=settings(files)) as server, tls_connect(server, files) as sock:
        assert echo(sock, b"x" * size) == b"x" * size


def test_many_small_records_in_one_segment_are_all_served(files: Files) -> None:
    with job_server(tls=settings(files)) as server, tls_connect(server, files) as sock:
        for _ in range(2000):
            sock.sendall(request(T.ECHO_REQ, b"x"))
        decoder, heard = Decoder(RESPONSE_MAGIC), 0
        while heard < 2000:
            heard += len(decoder.feed(sock.recv(65536)))


def test_a_client_certificate_of_the_authority_is_let_in(files: Files) -> None:
    with (
        job_server(tls=settings(files, clients=True)) as server,
        tls_connect(server, files, certificate=True) as sock,
    ):
        assert echo(sock, b"x") == b"x"


def test_without_a_client_certificate_nobody_is_let_in(files: Files) -> None:
    with job_server(tls=settings(files, clients=True)) as server:
        with pytest.raises((ssl.SSLError, OSError, EOFError)), tls_connect(server, files) as sock:
            echo(sock, b"x")
        eventually(lambda: server.call(lambda each: each.connections) == 0, "the refused to be gone")


def test_a_client_certificate_of_another_authority_is_refused(files: Files) -> None:
    other = Files(files.ca, files.cert, files.key, trustme.CA())
    with job_server(tls=settings(files, clients=True)) as server:
        with pytest.raises((ssl.SSLError, OSError, EOFError)), tls_connect(server, other, certificate=True) as sock:
            echo(sock, b"x")


def test_plain_text_on_a_tls_port_is_closed(files: Files) -> None:
    with job_server(tls=settings(files)) as server, Wire(server.port) as wire:
        wire.send(request(T.ECHO_REQ, b"x"))
        assert wire.closed()


def test_a_handshake_that_does_not_finish_is_ended(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_LIMIT_S", 0.05)
    with job_server(tls=settings(files)) as server, Wire(server.port) as wire:
        assert wire.closed()


def test_jobs_pass_between_a_tls_client_and_a_tls_worker(files: Files) -> None:
    with (
        job_server(tls=settings(files)) as server,
        tls_connect(server, files) as client,
        tls_connect(server, files) as worker,
    ):
        client.sendall(request(T.SUBMIT_JOB, b"f", b"u", b"in"))
        handle = Decoder(RESPONSE_MAGIC).feed(client.recv(65536))[0][1][0]
        worker.sendall(request(T.CAN_DO, b"f") + request(T.GRAB_JOB_UNIQ))
        assert Decoder(RESPONSE_MAGIC).feed(worker.recv(65536)) == [(T.JOB_ASSIGN_UNIQ, [handle, b"f", b"u", b"in"])]
        worker.sendall(request(T.WORK_COMPLETE, handle, b"out"))
        assert Decoder(RESPONSE_MAGIC).feed(client.recv(65536)) == [(T.WORK_COMPLETE, [handle, b"out"])]


def test_files_that_cannot_be_used_are_configuration_errors(files: Files, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for tls, words in (
        (TlsSettings(), "a server needs cert"),
        (TlsSettings(cert=str(tmp_path / "none.pem")), "cannot use cert"),
        (TlsSettings(cert=files.cert, key=str(bad)), "cannot use cert"),
        (TlsSettings(cert=files.cert, key=files.key, ca=str(bad)), "cannot use ca"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            server_context(tls)
