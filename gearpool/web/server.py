"""The HTTP server: pywsgi with limits of size, number and time on all that a client can do. Floor 3.

A request is read whole before the application sees it, so a slow or hostile client occupies a connection and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
from collections.abc import Iterable
from http import HTTPStatus
from http.client import HTTPException
from types import TracebackType
from typing import Any, cast

import gevent
import gevent.socket
from gevent import pywsgi

from gearpool import logs
from gearpool.web.connections import Connections
from gearpool.web.heads import MAX_BODY, MAX_HEAD, BadRequestError, Head, check

HEAD_S = 10.0
"""From the first byte of a request to the end of its headers, and again to the end of its body."""
IDLE_S = 60.0
"""How long a connection may wait for its next request."""
WRITE_S = 30.0
"""How long a client may take to accept a piece of the response."""
LINGER_S = 2.0
"""How long what a refused client still sends is read, so that it can read the refusal."""
HEAD_ONLY = "gearpool.head"
"""In the environment of a request: it was HEAD, and the application sees GET."""

log = logging.getLogger("gearpool.web")


class Handler(pywsgi.WSGIHandler):  # type: ignore[misc] # gevent has no types
    """One connection."""

    server: _Listener
    socket: Any
    rfile: Any
    _head_only = False
    _is_first = True

    def handle(self) -> None:
        """Serve requests until the connection ends."""
        connections = self.server.connections
        if not connections.add(self, self._shut_down):
            self._refuse(BadRequestError(503, "too many connections"))
            self._close()
            return
        try:
            while self._handle_request():
                connections.wait(self)
                gevent.sleep(0)  # a client that sends many requests at once takes turns with the others
        except OSError:
            pass  # the client is gone, or too slow
        finally:
            connections.remove(self)
            self._close()

    def _handle_request(self) -> bool:
        """Serve one request; whether another may follow."""
        self._head_only = False
        self.requestline = ""
        self.time_start, self.response_length = time.time(), 0
        try:
            head = self._read_head()
            if head is None:
                return False
            self.time_start = time.time()
            body = self._read_body(head)
        except BadRequestError as refusal:
            self._refuse(refusal)
            return False
        if not self.server.connections.serve(self):
            return False
        self.environ = self._environ(head, body)
        self.application = self.server.application
        self.handle_one_response()
        return not self.close_connection and not self.server.is_stopping

    def _read_head(self) -> Head | None:
        """The next request's head; None if there is none to come."""
        self.socket.settimeout(None)
        begins = False
        with gevent.Timeout(HEAD_S if self._is_first else IDLE_S, False):
            begins = bool(self.rfile.peek(1))
        if not begins:
            return None
        self._is_first = False
        with gevent.Timeout(HEAD_S, BadRequestError(408, f"the request was not complete after {HEAD_S:g} s")):
            return self._parse()

    def _parse(self) -> Head | None:
        data = bytearray()
        while not data.endswith(b"\r\n\r\n"):
            line = self.rfile.readline(MAX_HEAD + 1 - len(data))
            if not line:
                return None
            if not data and line == b"\r\n":
                continue  # some clients send an empty line after a body
            data += line
            if not line.endswith(b"\r\n") and line.endswith(b"\n"):
                raise BadRequestError(400, "a line must end with CR LF")
            if len(data) > MAX_HEAD:
                status = 431 if b"\r\n" in data else 414
                raise BadRequestError(status, f"request line and headers may have at most {MAX_HEAD} bytes")
        head = check(bytes(data))
        rfile, self.rfile = self.rfile, io.BytesIO(head.headers)
        try:
            self.read_request(head.line)
        except (ValueError, HTTPException) as error:
            raise BadRequestError(400, str(error)) from error
        finally:
            self.rfile = rfile
        return head

    def _read_body(self, head: Head) -> bytes:
        if not head.length and not head.is_chunked:
            return b""
        waits = self.headers.get("expect", "").lower() == "100-continue"
        body = pywsgi.Input(self.rfile, head.length, self.socket if waits else None, chunked_input=head.is_chunked)
        with gevent.Timeout(HEAD_S, BadRequestError(408, f"the body was not complete after {HEAD_S:g} s")):
            try:
                data = cast("bytes", body.read(MAX_BODY + 1))
            except OSError as error:
                raise BadRequestError(400, "the body is malformed or cut short") from error
        if len(data) > MAX_BODY:
            raise BadRequestError(413, f"a body may have at most {MAX_BODY} bytes")
        return data

    def _environ(self, head: Head, body: bytes) -> dict[str, Any]:
        self._head_only = self.command == "HEAD"
        connection = {each.strip() for each in self.headers.get("connection", "").lower().split(",")}
        self.close_connection = "close" in connection or (
            self.request_version == "HTTP/1.0" and "keep-alive" not in connection
        )
        environ = cast("dict[str, Any]", self.get_environ())
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        self.wsgi_input = pywsgi.Input(io.BytesIO(body), len(body))
        environ["wsgi.input"] = self.wsgi_input
        environ["CONTENT_LENGTH"] = str(len(body)) if body or head.is_chunked else ""
        environ[HEAD_ONLY] = self._head_only
        if self._head_only:
            environ["REQUEST_METHOD"] = "GET"
        return environ

    def process_result(self) -> None:
        """Write the response; for HEAD its headers only."""
        if self._head_only:
            self.write(b"")
        else:
            super().process_result()

    def _sendall(self, data: bytes) -> None:
        self.socket.settimeout(WRITE_S)
        super()._sendall(data)

    def _write(self, data: bytes) -> None:
        if not self._head_only:
            super()._write(data)

    def _refuse(self, refusal: BadRequestError) -> None:
        body = json.dumps({"ok": False, "error": str(refusal)}).encode()
        head = (
            f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        try:
            self.socket.settimeout(WRITE_S)
            self.socket.sendall(head.encode() + body)
            self.socket.shutdown(gevent.socket.SHUT_WR)
            with gevent.Timeout(LINGER_S, False):
                left = 16 * MAX_BODY
                while left > 0 and (data := self.socket.recv(MAX_BODY)):
                    left -= len(data)
        except OSError:
            pass  # it does not wait for the answer
        self.code = refusal.status
        self.log_request()

    def _shut_down(self) -> None:
        """Make room for another connection: this one's greenlet sees its end."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(gevent.socket.SHUT_RDWR)

    def _close(self) -> None:
        for each in (self.rfile, self.socket):
            with contextlib.suppress(OSError):
                each.close()

    def log_request(self) -> None:
        """Log the request at debug level; a polling client would write a line per second."""
        if logs.is_enabled(log, logging.DEBUG):
            address = self.client_address
            logs.emit(
                log,
                logging.DEBUG,
                "http.request",
                method=self.command,
                path=(self.path or "").partition("?")[0][:200],
                status=abs(self.code) if self.code is not None else None,
                bytes=self.response_length,
                duration_s=round(time.time() - self.time_start, 6),
                client=address[0] if isinstance(address, tuple) else None,
            )

    def log_error(self, msg: str, *args: Any) -> None:
        """Log what a client did wrong."""
        logs.emit(log, logging.DEBUG, "http.bad_request", msg % args if args else msg)

    def handle_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception left the application while the response was being written."""
        del kind, trace
        self.close_connection = True
        if isinstance(error, OSError | gevent.GreenletExit):
            return
        logs.emit(log, logging.ERROR, "http.failed", f"a request failed: {error!r}", path=self.path, exc_info=error)
        if not self.response_length:
            self._send_error_response_if_possible(500)


class Server:
    """Serves an application on listening sockets, which it owns.

    Attributes:
        application: the WSGI application.
        connections: all connections.
        is_stopping: no further request is read from any connection.
    """

    def __init__(self, sockets: Iterable[Any], application: Any, connections: Connections | None = None) -> None:
        self.application = application
        self.connections = connections if connections is not None else Connections()
        self.is_stopping = False
        # Names in the environment, so that pywsgi does not look up a name in the DNS.
        environ = {"SERVER_NAME": "gearpool", "SERVER_PORT": "80"}
        self._servers = [
            _Listener(each, application, handler_class=Handler, log=None, error_log=None, environ=dict(environ))
            for each in sockets
        ]
        for each in self._servers:
            each.owner = self

    def start(self) -> None:
        """Begin to accept connections."""
        for each in self._servers:
            each.start()

    def stop(self, within_s: float) -> None:
        """Accept no more, let requests that are being served end within ``within_s`` seconds."""
        self.is_stopping = True
        for each in self._servers:
            each.close()
        self.connections.close_waiting()
        end = time.monotonic() + within_s
        while self.connections.serving and time.monotonic() < end:
            gevent.sleep(0.01)


class _Listener(pywsgi.WSGIServer):  # type: ignore[misc] # gevent has no types
    """pywsgi's server for one socket; its handlers see the `Server`."""

    owner: Server

    @property
    def connections(self) -> Connections:
        """Those of all listening sockets together."""
        return self.owner.connections

    @property
    def is_stopping(self) -> bool:
        """See `Server`."""
        return self.owner.is_stopping
