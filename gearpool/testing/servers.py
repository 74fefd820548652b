"""A real job server inside the test process, on a port of its own. Floor 5.

It runs in a native thread with a gevent hub of its own, so tests may block, use threads, or be greenlets themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gevent.hub import get_hub
from gevent.monkey import get_original

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
        faults: what it is to do wrong; see `gearpool.testing.faults`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._start_thread = get_original("_thread", "start_new_thread")
        self._lock_class = get_original("_thread", "allocate_lock")
        self.server: JobServer | None = None
        self.host: str = options.get("listen", ("127.0.0.1", 0))[0]
        self.port: int = options.get("listen", ("127.0.0.1", 0))[1]
        self.faults: Faults = Faults(self.call)
        self._hub: Any = None
        self._wanted: list[Callable[[], None]] = []
        self._doorbell: Any = None
        self._ended: Any = None

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT``."""
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Start it, on the port it had before if it had one. Raises what `JobServer.start` raises."""
        if self.server is not None:
            return
        problems: list[BaseException] = []
        ready, ended = self._lock_class(), self._lock_class()
        ready.acquire()
        ended.acquire()

        def main() -> None:
            try:
                self._main(problems, ready)
            finally:
                ended.release()

        self._ended = ended
        self._start_thread(main, ())
        if not ready.acquire(timeout=_LIMIT_S):
            raise TimeoutError("the job server did not start")
        if problems:
            raise problems[0]

    def stop(self, seconds: float = 0.0) -> None:
        """Close everything; jobs that run may end within ``seconds``. What waited is lost."""
        server = self.server
        if server is None:
            return
        self.server = None
        self._ask(lambda: self._finish(server, seconds))
        if not self._ended.acquire(timeout=_LIMIT_S + seconds):
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
        answer: list[_T] = []
        errors: list[BaseException] = []
        done = self._lock_class()
        done.acquire()

        def run() -> None:
            try:
                answer.append(function(server))
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                errors.append(error)
            done.release()

        self._ask(run)
        if not done.acquire(timeout=_LIMIT_S):
            raise TimeoutError("the job server did not answer")
        if errors:
            raise errors[0]
        return answer[0]

    def drop_connections(self) -> None:
        """End every connection, as a network fault would; the server goes on."""
        self.call(lambda server: server.drop_connections())

    def _ask(self, what: Callable[[], None]) -> None:
        self._wanted.append(what)
        self._doorbell.send()

    def _main(self, problems: list[BaseException], ready: Any) -> None:
        hub = self._hub = get_hub()
        options = {**self._options, "listen": (self.host, self.port)}
        try:
            server = JobServer(**options)
            server.wrap = self.faults.wrap
            server.start()
        except BaseException as error:  # noqa: BLE001 - raised again in the starter's thread
            problems.append(error)
            ready.release()
            hub.destroy(destroy_loop=True)
            return
        self._doorbell = hub.loop.async_()
        self._doorbell.start(self._answer)
        self.port = server.port
        self.server = server
        self._over = hub.loop.async_()
        ready.release()
        hub.wait(self._over)
        self._doorbell.close()
        self._over.close()
        hub.destroy(destroy_loop=True)

    def _answer(self) -> None:
        while self._wanted:
            self._wanted.pop(0)()

    def _finish(self, server: JobServer, seconds: float) -> None:
        import gevent

        def stop() -> None:
            server.stop(Deadline.after(seconds))
            self._over.send()

        gevent.spawn(stop)


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
