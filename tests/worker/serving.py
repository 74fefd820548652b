"""A pool in a separate thread with its own hub, so that a test may block and use the ordinary client."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import gevent
from gevent.hub import get_hub

from gearpool.handlers import examine
from gearpool.net.addresses import parse_server
from gearpool.policy import Rules
from gearpool.settings import ErrorAction, FunctionSettings, ReconnectSettings
from gearpool.timing import Deadline
from gearpool.worker import snapshots
from gearpool.worker.functions import Function
from gearpool.worker.pool import WorkerPool
from gearpool.worker.server_timeouts import ServerTimeouts

_T = TypeVar("_T")
SHORT = ServerTimeouts(
    tick_s=0.05, regrab_s=0.3, silent_s=1.0, unanswered_s=1.0, unresponsive_s=0.15, finish_s=0.1, stable_s=0.5
)
"""About a fifteenth of the usual timeouts."""
_END_S = 20.0


def resize(pool: WorkerPool, name: str, concurrency: int) -> None:
    """Give a function other slots, as a worker process does that gets changed settings."""
    function = pool.functions[name]
    function.apply(dataclasses.replace(function.settings, concurrency=concurrency), pool.admission.limit)
    if not pool.admission.quiet:
        pool.resume()


class Serving:
    """A running pool; `call` runs something in its thread."""

    def __init__(
        self,
        functions: list[Function],
        servers: list[str],
        concurrency: int,
        base: str,
        timeouts: ServerTimeouts | None,
    ) -> None:
        self._functions = functions
        self._servers = servers
        self._concurrency = concurrency
        self._base = base
        self._timeouts = timeouts
        self._wanted: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._ready = threading.Event()
        self.pool: WorkerPool
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        assert self._ready.wait(_END_S)

    def call(self, do: Callable[[WorkerPool], _T]) -> _T:
        """Call ``do(pool)`` in a greenlet of the pool's thread; returns its result."""
        results: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def work() -> None:
            try:
                results.put((True, do(self.pool)))
            except BaseException as error:
                results.put((False, error))

        self._wanted.put(work)
        fine, result = results.get(timeout=_END_S)
        if not fine:
            raise result
        return result  # type: ignore[no-any-return]

    def snapshot(self) -> Any:
        """What the pool counts and holds."""
        return self.call(snapshots.snapshot)

    def outcomes(self, function: str) -> dict[str, int]:
        """How the jobs of ``function`` ended, without the zeros."""
        return {k: v for k, v in self.snapshot()["functions"][function]["outcomes"].items() if v}

    def stop(self, seconds: float = 10.0) -> bool:
        """Drain."""
        clean = self.call(lambda pool: pool.stop(Deadline.after(seconds)))
        self.end()
        return clean

    def end(self) -> None:
        """Close, if it still runs."""
        if self._thread.is_alive():
            self._wanted.put(None)
            self._thread.join(_END_S)
            assert not self._thread.is_alive()

    def _main(self) -> None:
        self.pool = WorkerPool(
            self._functions,
            [parse_server(server) for server in self._servers],
            concurrency=self._concurrency,
            reconnect=ReconnectSettings(delay_s=0.05, max_delay_s=0.2),
            base=self._base,
            timeouts=self._timeouts,
        )
        self.pool.start()
        self._ready.set()
        while True:
            try:
                work = self._wanted.get_nowait()
            except queue.Empty:
                gevent.sleep(0.005)
                continue
            if work is None:
                break
            gevent.spawn(work)
        self.pool.close()
        gevent.sleep(0.02)
        get_hub().destroy(destroy_loop=True)


def function(
    name: str,
    handler: Callable[..., Any],
    *,
    on_error: ErrorAction | Mapping[type[BaseException], ErrorAction] = "abort",
    max_slots: int = 100,
    **settings: Any,
) -> Function:
    """A Function as created from a configuration."""
    rules = Rules({}, on_error) if isinstance(on_error, str) else Rules(on_error, "abort")
    return Function(FunctionSettings(name=name, handler=name, **settings), examine(handler, name), rules, 0, max_slots)


@contextlib.contextmanager
def serving(
    functions: Iterable[Function],
    *servers: str,
    concurrency: int = 100,
    base: str | Path = ".",
    timeouts: ServerTimeouts | None = None,
) -> Iterator[Serving]:
    """Run a pool for the duration of a ``with`` block."""
    running = Serving(list(functions), list(servers), concurrency, str(base), timeouts)
    try:
        yield running
    finally:
        running.end()
