"""A real worker inside the test process, beside the job server of `servers`. Floor 5.

It runs in a native thread with a gevent hub of its own, so tests may block or be greenlets themselves. Its handlers run
in that thread: what waits with gevent waits together, what blocks holds up the others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from gevent.hub import get_hub
from gevent.monkey import get_original

from gearpool.client import Client
from gearpool.errors import GearpoolError
from gearpool.timing import Deadline
from gearpool.worker import Worker

_LIMIT_S = 30.0


class ThreadedWorker:
    """A `gearpool.Worker` in a thread. Use it as a context manager, or call `start` and `stop`.

    Args:
        servers: those of `Worker`.
        options: likewise.
    """

    def __init__(self, servers: Any, **options: Any) -> None:
        self._servers = servers
        self._options = options
        self._start_thread = get_original("_thread", "start_new_thread")
        self._lock_class = get_original("_thread", "allocate_lock")
        self._worker: Worker | None = None
        self._wanted: list[Callable[[], None]] = []
        self._doorbell: Any = None
        self._ended: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread. Raises what `Worker` raises."""
        if self._worker is not None:
            return
        problems: list[BaseException] = []
        ready = self._lock_class()
        ready.acquire()
        self._ended = self._lock_class()
        self._ended.acquire()
        self._start_thread(self._main, (problems, ready))
        if not ready.acquire(timeout=_LIMIT_S):
            raise TimeoutError("the worker did not start")
        if problems:
            raise problems[0]

    def add(self, name: str, handler: Callable[..., Any], *, wait: float = 10.0, **options: Any) -> None:
        """Serve ``name``.

        Args:
            name: the function's name.
            handler: the handler.
            wait: return when the job servers know it, and give up after so many seconds; 0: return at once.
            options: those of `Worker.add_ability`.

        Raises:
            TimeoutError: the job servers do not know it in time.
        """
        self._call(lambda worker: worker.add_ability(name, handler, **options))
        if wait:
            self._await(name, wait)

    def remove(self, name: str) -> None:
        """Serve ``name`` no more."""
        self._call(lambda worker: worker.remove_ability(name))

    def stop(self) -> None:
        """Finish what runs, and end the thread."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self._ask(worker.stop)
        if not self._ended.acquire(timeout=2 * _LIMIT_S):
            raise TimeoutError("the worker did not stop")

    def _ask(self, what: Callable[[], None]) -> None:
        self._wanted.append(what)
        self._doorbell.send()

    def _call(self, function: Callable[[Worker], object]) -> None:
        """Run ``function(worker)`` in the worker's thread; what it raises is raised here."""
        worker = self._worker
        if worker is None:
            raise RuntimeError("the worker is not running")
        problems: list[BaseException] = []
        done = self._lock_class()
        done.acquire()

        def run() -> None:
            try:
                function(worker)
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                problems.append(error)
            done.release()

        self._ask(run)
        if not done.acquire(timeout=_LIMIT_S):
            raise TimeoutError("the worker did not answer")
        if problems:
            raise problems[0]

    def _await(self, name: str, seconds: float) -> None:
        """Until every server that answers has a worker for ``name``."""
        deadline = Deadline.after(seconds)
        with Client(self._servers) as client:
            while True:
                with contextlib.suppress(GearpoolError):
                    status = client.admin.status()
                    if all(any(row.function == name and row.workers for row in rows) for rows in status.values()):
                        return
                if deadline.expired():
                    raise TimeoutError(f"no job server knows a worker of {name} after {seconds:g} s")
                time.sleep(0.005)

    def _main(self, problems: list[BaseException], ready: Any) -> None:
        hub = get_hub()
        try:
            try:
                worker = Worker(self._servers, **self._options)
            except BaseException as error:  # noqa: BLE001 - raised again in the starter's thread
                problems.append(error)
                ready.release()
                return
            self._doorbell = hub.loop.async_()
            self._doorbell.start(self._answer)
            self._worker = worker
            ready.release()
            worker.run()
            self._doorbell.close()
        finally:
            hub.destroy(destroy_loop=True)
            self._ended.release()

    def _answer(self) -> None:
        while self._wanted:
            self._wanted.pop(0)()


@contextlib.contextmanager
def working(servers: Any, **handlers: Callable[..., Any]) -> Iterator[ThreadedWorker]:
    """A worker of these handlers for the duration of a block; `ThreadedWorker.add` adds others, with options.

    Args:
        servers: an address, or a `ThreadedJobServer`.
        handlers: by the functions' names.
    """
    with ThreadedWorker(getattr(servers, "address", servers)) as worker:
        for name, handler in handlers.items():
            worker.add(name, handler)
        yield worker
