"""A real job server inside the test process, on a port of its own. Floor 5.

It runs in a native thread with a gevent hub of its own, so tests may block, use threads, or be greenlets themselves.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gevent.event import Event
from gevent.monkey import get_original

from gearpool.net.hub_calls import HubCalls
from gearpool.net.hub_thread import HubThread
from gearpool.server.shell import JobServer
from gearpool.testing.faults import Faults
from gearpool.timing import Deadline

_T = TypeVar("_T")
_LIMIT_S = 30.0


class ThreadedJobServer:
    """A `JobServer` in a thread.

    Args:
        options: those of `JobServer`.

    Attributes:
        server: the server itself; touch it only through `call`.
        port: where it listens, on 127.0.0.1; stays the same over `stop` and `start`.
        faults: scripted faults; see `gearpool.testing.faults`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.server: JobServer | None = None
        self.host: str
        self.port: int
        self.host, self.port = options.get("listen", ("127.0.0.1", 0))
        self.faults: Faults = Faults(self.call)
        self._thread: HubThread | None = None
        self._calls: HubCalls
        self._stopping: Event

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Start it, on the port it had before if it had one. Raises what `JobServer.start` raises."""
        if self.server is not None:
            return
        # A native queue, since the starting thread may be monkey-patched and the server's is not.
        started = get_original("queue", "SimpleQueue")()
        self._thread = HubThread(lambda: self._main(started))
        try:
            problem = started.get(timeout=_LIMIT_S)
        except queue.Empty:
            raise TimeoutError("the job server did not start") from None
        if problem is not None:
            raise problem

    def stop(self, seconds: float = 0.0) -> None:
        """Close everything; running jobs may end within ``seconds``. Waiting jobs are lost."""
        server, thread = self.server, self._thread
        if server is None or thread is None:
            return
        self.server = None

        def end() -> None:
            server.stop(Deadline.after(seconds))
            self._stopping.set()

        self._calls.post(end)
        if not thread.join(_LIMIT_S + seconds):
            raise TimeoutError("the job server did not stop")

    def restart(self) -> None:
        """All connections end, all jobs are forgotten, and it is back on the same port."""
        self.stop()
        self.start()

    def call(self, function: Callable[[JobServer], _T]) -> _T:
        """Run ``function(server)`` in the server's thread and return its result; it must not wait."""
        server = self.server
        if server is None:
            raise RuntimeError("the job server is not running")
        return self._calls.call(lambda: function(server), _LIMIT_S)

    def drop_connections(self) -> None:
        """End every connection, as a network fault would; the server keeps running."""
        self.call(lambda server: server.drop_connections())

    def _main(self, started: Any) -> None:
        try:
            server = JobServer(**{**self._options, "listen": (self.host, self.port)})
            server.wrap = self.faults.wrap
            server.start()
        except BaseException as error:  # noqa: BLE001 - raised again in the starter's thread
            started.put(error)
            return
        self._calls, self._stopping = HubCalls(), Event()
        self.port = server.port
        self.server = server
        started.put(None)
        self._stopping.wait()
        self._calls.close()


@contextlib.contextmanager
def job_server(**options: Any) -> Iterator[ThreadedJobServer]:
    """A running job server for the duration of a block: ``.port``, ``.address``, ``.stop()``, ``.start()``.

    Args:
        options: those of `gearpool.server.JobServer`.
    """
    server = ThreadedJobServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
