"""A site with a supervisor that a test scripts, and a server for it in a thread of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import falcon.testing
import gevent
import gevent.socket

from gearpool.metrics import BOUNDS, STALL_BOUNDS
from gearpool.settings import FunctionSettings, HttpSettings, ServerSettings, Settings
from gearpool.web.app import make_app
from gearpool.web.connections import Connections
from gearpool.web.server import Server
from gearpool.web.site import Site
from gearpool.web.supervisor import Supervisor

TOKEN = "change"
READ_TOKEN = "look"
CHANGE = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
READ = {"Authorization": f"Bearer {READ_TOKEN}"}

Answer = dict[str, Any]


def plain_settings(**http: Any) -> Settings:
    return Settings(
        servers=(ServerSettings(host="127.0.0.1"),),
        functions=(FunctionSettings(name="work", handler="a.b"),),
        http=HttpSettings(**({"token": TOKEN} | http)),
    )


def function(**changes: Any) -> Answer:
    """A row of a function that has run nothing."""
    return {
        "outcomes": {}, "duration_buckets": [0] * (len(BOUNDS) + 1), "duration_sum_s": 0.0, "stalls": 0,
        "in_progress": 0, "slots": None, "waiting_retry": 0, "paused": False, "breaker_open": False, "age_s": None,
    } | changes  # fmt: skip


def status(**changes: Any) -> Answer:
    """What a daemon that runs publishes."""
    return {
        "time": 1000.0, "version": "1", "host": "h", "state": "running", "problem": None, "pid": 1, "config": "w.yaml",
        "started": 900.0, "uptime_s": 100.0, "generation": 1, "processes": 1, "paused": [], "in_progress": 0,
        "workers": [], "jobserver": None, "web": {"pid": 2, "state": "ready", "listen": "127.0.0.1:8730"},
        "restarts": {}, "reloads": {"ok": 0, "failed": 0}, "functions": {}, "servers": {"127.0.0.1:4730": True},
        "slots": {"limit": 100, "used": 0}, "stalls": {}, "stall_buckets": [0] * (len(STALL_BOUNDS) + 1),
        "stall_sum_s": 0.0, "stall_bounds": list(STALL_BOUNDS), "duration_bounds": list(BOUNDS), "reconnects": 0,
    } | changes  # fmt: skip


class ScriptedSite:
    """A site whose supervisor answers what ``answer`` returns, or never if that is None; ``asked`` has its requests."""

    def __init__(self, answer: Callable[[Answer], Answer | None] | None = None, **http: Any) -> None:
        self.asked: list[Answer] = []
        self._answer = answer or (lambda _: {"ok": True, "result": None})
        self.supervisor = Supervisor(self._serve)
        self.site = Site(plain_settings(**http), self.supervisor)
        self.published = self.site.published
        self.poller = self.site.poller
        self.app = make_app(self.site)
        self.client = falcon.testing.TestClient(self.app)

    def _serve(self, number: int, request: Answer) -> None:
        self.asked.append(request)
        answer = self._answer(request)
        if answer is not None:
            gevent.spawn(self.supervisor.answered, number, answer)

    def get(self, path: str, **options: Any) -> Any:
        return self.client.simulate_get(path, **options)

    def post(self, path: str, body: Any, **options: Any) -> Any:
        options.setdefault("headers", CHANGE)
        return self.client.simulate_post(path, body=body if isinstance(body, str) else json.dumps(body), **options)


class Served:
    """A server with an application in a thread of its own."""

    def __init__(self, application: Any, limit: int = 256) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.connections = Connections(limit)
        self._application = application
        self._started, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._started.wait()

    def _run(self) -> None:
        listener = gevent.socket.socket(fileno=self._listener.detach())
        server = Server([listener], self._application, self.connections)
        server.start()
        self._started.set()
        while not self._stop.is_set():
            gevent.sleep(0.005)
        server.stop(1.0)
        gevent.get_hub().destroy()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def http(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def raw(self, *pieces: bytes) -> bytes:
        """Send these bytes, and no more; everything that is answered until the end of the connection."""
        with self.connect() as stream:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    stream.sendall(piece)
                stream.shutdown(socket.SHUT_WR)
            return read_all(stream)


def read_all(stream: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := stream.recv(1 << 16):
            found += data
    return found


@contextlib.contextmanager
def served(application: Any, limit: int = 256) -> Iterator[Served]:
    server = Served(application, limit)
    try:
        yield server
    finally:
        server.close()
