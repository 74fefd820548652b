"""A real worker inside the test process, beside the job server of `servers`. Floor 5.

It runs in a native thread with a gevent hub of its own, so tests may block or be greenlets themselves. Its handlers run
in that thread, concurrently as far as they yield.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from gearpool.client import Client
from gearpool.errors import GearpoolError, UsageError
from gearpool.net.hub_thread import HubThread
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
        self._worker: Worker | None = None
        self._thread: HubThread | None = None

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
        self._worker = Worker(self._servers, **self._options)
        self._thread = HubThread(self._worker.run)

    def add(self, name: str, handler: Callable[..., Any], *, wait: float = 10.0, **options: Any) -> None:
        """Serve ``name``.

        Args:
            name: the function's name.
            handler: the handler.
            wait: return when the job servers know it, and raise TimeoutError after this many seconds; 0: return at once.
            options: those of `Worker.add_ability`.

        Raises:
            TimeoutError: the job servers do not know it in time.
        """
        self._running().add_ability(name, handler, **options)
        if wait:
            self._await(name, wait)

    def remove(self, name: str) -> None:
        """Serve ``name`` no more."""
        self._running().remove_ability(name)

    def stop(self) -> None:
        """Finish what runs, and end the thread."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.stop()
        assert self._thread is not None
        if not self._thread.join(2 * _LIMIT_S):
            raise TimeoutError("the worker did not stop")

    def _running(self) -> Worker:
        if self._worker is None:
            raise UsageError("the worker is not running: use it as a context manager, or call start()")
        return self._worker

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
