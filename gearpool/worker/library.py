"""`Worker`: serves functions from an application, without a configuration file or a supervisor. Floor 3.

It is a public interface to `pool.WorkerPool`, so jobs are run exactly as in the daemon's worker processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import gevent
from gevent.event import Event
from gevent.monkey import get_original

from gearpool.errors import InvalidArgument, UsageError
from gearpool.metrics import WorkerSnapshot
from gearpool.net.addresses import ServerLike, parse_servers
from gearpool.net.hub_calls import HubCalls
from gearpool.settings import (
    MAX_AT_ONCE,
    BreakerSettings,
    DeadLetterSettings,
    ErrorAction,
    PayloadKind,
    ReconnectSettings,
    Report,
    RetrySettings,
    Settings,
)
from gearpool.timing import Deadline, Duration, seconds_of
from gearpool.worker import snapshots
from gearpool.worker.functions import Function
from gearpool.worker.loading import OnError, is_count, make_function
from gearpool.worker.pool import WorkerPool
from gearpool.worker.watchdog import watched

STOP_S = 30.0
"""How long `run` lets running jobs finish after `stop`, in seconds; also the default for `close`."""
_CALL_S = 10.0
"""How long another thread waits for the serving thread to add or remove an ability, in seconds."""
_CLOSE_EXTRA_S = 5.0
"""How long `close` from another thread waits beyond its timeout, while handlers are interrupted and killed."""

_T = TypeVar("_T")
_allocate_lock = get_original("_thread", "allocate_lock")


class Worker:
    """Serves functions on one or more job servers.

    Handlers run in greenlets of the thread that calls `run` or `work`. Call ``gevent.monkey.patch_all()`` first if several
    handlers are to wait for I/O at the same time. A worker may be created in any thread, and before a fork. The first `run`
    or `work` binds it to the calling thread and its event loop; after that, only this thread may serve. `stop`, `close`,
    `add_ability`, `remove_ability` and `snapshot` may be called from any thread.

    Time limits apply as in the daemon to handlers that yield. They also apply to handlers that never yield if `run` or
    `work` is called in the main thread, where a watchdog thread interrupts them with SIGUSR2, unless the program itself uses
    SIGUSR2 or ``greenlet.settrace``. Unlike in the daemon, there is no supervisor to kill a process that is stuck in C
    code, and handlers must not fork (`multiprocessing` with the start method ``fork``), because the copy would share the
    connections: start processes with ``spawn`` or `subprocess`.

    Args:
        servers: ``"host:port"``, several in a list or separated by commas; ``gear+tls://`` for TLS.
        concurrency: the maximum number of concurrent jobs.
        worker_id: the client id shown by ``gearadmin --workers``; default HOST-PID-FUNCTION.
        reconnect: the back-off for lost servers.

    Raises:
        InvalidArgument: an address cannot be parsed.
    """

    def __init__(
        self,
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        concurrency: int = 100,
        worker_id: str | None = None,
        reconnect: ReconnectSettings | None = None,
    ) -> None:
        if not is_count(concurrency):
            raise InvalidArgument(f"concurrency must be a whole number from 1 to {MAX_AT_ONCE}, got {concurrency!r}")
        self._concurrency = concurrency
        self._pool = WorkerPool(
            (), parse_servers(servers), concurrency=concurrency, worker_id=worker_id, reconnect=reconnect
        )  # fmt: skip
        self._stopping = Event()
        self._stop_requested = False
        self._closed = False
        self._serving = False
        self._state_lock = _allocate_lock()
        self._calls: HubCalls | None = None
        """Set once the worker is bound to a thread."""
        self._indexes: dict[str, int] = {}
        self._settings = Settings(servers=self._pool.servers, functions=())

    def __enter__(self) -> Self:
        """Return the worker."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the running jobs, and close."""
        self.close()

    def add_ability(
        self,
        name: str,
        handler: Callable[..., Any],
        *,
        timeout: Duration | None = None,
        timeout_grace: Duration = 5.0,
        concurrency: int | None = None,
        on_error: OnError = "abort",
        on_timeout: ErrorAction = "abort",
        retry: RetrySettings | None = None,
        dead_letter: DeadLetterSettings | None = None,
        breaker: BreakerSettings | None = None,
        report: Report = "fail",
        payload: PayloadKind = "bytes",
        rate: float | None = None,
        weight: float = 1.0,
    ) -> None:
        """Serve the function ``name`` with ``handler(arg, job)`` or ``handler(arg)``; a second call replaces the first.

        Args:
            name: the function's name.
            handler: called with the payload and the `Job`.
            timeout: when JobTimeout is raised in the handler. Durations are seconds or a timedelta.
            timeout_grace: how long the handler then has to end before it is killed.
            concurrency: the maximum number of concurrent jobs of this function; default: the worker's.
            on_error: ``"abort"``, ``"skip"``, ``"retry"``, or one of them for each exception class.
            on_timeout: the same, for a job that exceeds its timeout.
            retry: attempts and delays.
            dead_letter: where jobs go that are given up with ``then="dead_letter"``.
            breaker: stops grabbing after consecutive failures.
            report: ``"exception"`` sends the reason as WORK_EXCEPTION.
            payload: how the argument is decoded and the result encoded.
            rate: the maximum number of jobs started per second.
            weight: the share of free slots when functions compete.

        Raises:
            InvalidArgument: the name or a value is invalid.
            HandlerError: the handler cannot be called with these arguments.
            UsageError: the worker is closed, or bound to another thread that is not serving now.
            TimedOut: the serving thread is blocked.
        """
        function = make_function(
            name,
            handler,
            timeout=timeout,
            timeout_grace=timeout_grace,
            concurrency=concurrency,
            on_error=on_error,
            on_timeout=on_timeout,
            retry=retry,
            dead_letter=dead_letter,
            breaker=breaker,
            report=report,
            payload=payload,
            rate=rate,
            weight=weight,
            index=self._indexes.setdefault(name, len(self._indexes)),
            max_slots=self._concurrency,
        )
        self._in_loop(lambda: self._open(function))

    def _open(self, function: Function) -> None:
        self._pool.remove(function.name)
        functions = list(self._settings.functions)
        functions[function.index : function.index + 1] = [function.settings]
        self._settings = dataclasses.replace(self._settings, functions=tuple(functions))
        if self._calls is not None:
            self._pool.add(function)
        else:
            self._pool.functions[function.name] = function

    def remove_ability(self, name: str) -> None:
        """Stop serving ``name``; its running jobs are finished. Raises as `add_ability` does."""
        self._in_loop(lambda: self._pool.remove(name))

    def reset_abilities(self) -> None:
        """Stop serving all functions. Raises as `add_ability` does."""
        for name in list(self._pool.functions):
            self.remove_ability(name)

    def work(self, timeout: Duration | None = None) -> bool:
        """Grab one job, run it, and return.

        Args:
            timeout: how long to wait for a job; None waits for ever.

        Returns:
            True if a job was run, False if none came in time or `stop` was called.

        Raises:
            UsageError: the worker is closed, is already serving, or is bound to another thread.
            InvalidArgument: ``timeout`` is not a valid duration.
        """
        deadline = Deadline.allowed(timeout)
        with self._serve():
            pool = self._pool
            done = Event()
            pool.admission.set_budget(1, lambda _: done.set())
            pool.start()
            pool.resume()
            try:
                # The watchdog costs as much as a quick job: start it only if there is a time limit.
                limited = any(each.timeout_s is not None for each in self._settings.functions)
                with self._watched() if limited else contextlib.nullcontext():
                    while not done.wait(min(0.5, deadline.remaining())):
                        if deadline.expired() or self._stopping.is_set():
                            # A job that may already be on its way is still run.
                            pool.quiet()
                            while pool.busy and not done.is_set():
                                gevent.sleep(0.01)
                            break
                    gevent.sleep(0)  # the result is sent in the next iteration of the event loop
                return bool(done.is_set())
            finally:
                pool.quiet()
                pool.admission.set_budget(None, None)

    def run(self) -> None:
        """Serve until `stop` or `close` is called, then finish the running jobs and close.

        Raises:
            UsageError: the worker is closed, is already serving, or is bound to another thread.
        """
        with self._serve():
            self._pool.start()
            self._pool.resume()
            with self._watched():
                self._stopping.wait()
                self._pool.stop(Deadline.after(STOP_S))
            self._closed = True

    def stop(self) -> None:
        """Make `run` finish the running jobs and return, or `work` return. Does not block.

        May be called from any thread, handler or signal handler, and before `run`, which then returns at once.
        """
        self._stop_requested = True
        calls = self._calls
        if calls is None or calls.here:
            self._stopping.set()
        else:
            calls.post(self._stopping.set)

    def close(self, timeout: Duration = STOP_S) -> bool:
        """Stop grabbing, finish the running jobs, and close. Idempotent; may be called from any thread.

        Args:
            timeout: how long running jobs have to finish. After that, `Draining` is raised in them and they are handed back.

        Returns:
            True if no job was cut off.

        Raises:
            UsageError: called in a handler, which would wait for itself; call `stop` instead.
            TimedOut: called from another thread while the serving thread is blocked.
            InvalidArgument: ``timeout`` is not a valid duration.
        """
        timeout_s = seconds_of(timeout)
        calls = self._calls
        if calls is not None and calls.here and self._pool.running.on_cpu() is not None:
            raise UsageError("close() called in a handler would wait for that handler to end; call stop() instead")
        self.stop()
        with self._state_lock:
            self._closed = True
            serving = self._serving
        if calls is None:
            return True
        if calls.here:
            clean = self._pool.stop(Deadline.after(timeout_s))
            if not serving:
                calls.close()
            return clean
        if serving:
            with contextlib.suppress(UsageError):  # it stopped serving meanwhile
                return calls.call(lambda: self._pool.stop(Deadline.after(timeout_s)), timeout_s + _CLOSE_EXTRA_S)
            return True
        # Bound to a thread that does not run its event loop now, and may never do so again. No handler is running, so the
        # connections are shut down from here; the loop frees the rest if it ever runs.
        calls.post(self._pool.close)
        self._pool.disconnect()
        return True

    @contextlib.contextmanager
    def _serve(self) -> Iterator[HubCalls]:
        """Bind to the calling thread, or check that it is the bound one; only one caller serves at a time."""
        with self._state_lock:
            if self._closed:
                raise UsageError("the worker is closed; create a new one")
            if self._serving:
                raise UsageError("the worker is already serving in run() or work()")
            if self._calls is None:
                self._calls = HubCalls()
            elif not self._calls.here:
                raise UsageError(
                    "the worker is bound to the thread that first called run() or work(); "
                    "call them there, or create a worker for each thread"
                )
            self._serving = True
            calls = self._calls
        if self._stop_requested:
            self._stopping.set()
        try:
            yield calls
        finally:
            with self._state_lock:
                self._serving = False
                closed = self._closed
        if closed:
            # Another thread has called `close`, and this one may never run its event loop again: close now.
            self._pool.stop(Deadline.after(STOP_S))
            calls.close()

    def _in_loop(self, function: Callable[[], _T]) -> _T:
        """Call ``function`` in the thread of the worker's event loop."""
        with self._state_lock:
            if self._closed:
                raise UsageError("the worker is closed; create a new one")
            calls, serving = self._calls, self._serving
            if calls is None:
                return function()
        if calls.here:
            return function()
        if not serving:
            raise UsageError("the worker is bound to another thread, which is not in run() or work() now")
        return calls.call(function, _CALL_S)

    @property
    def snapshot(self) -> WorkerSnapshot:
        """The counters and state, as shown by the daemon."""
        calls = self._calls
        if calls is not None and self._serving and not calls.here:
            with contextlib.suppress(UsageError):  # it stopped serving meanwhile
                return calls.call(lambda: snapshots.snapshot(self._pool), _CALL_S)
        return snapshots.snapshot(self._pool)

    def _watched(self) -> contextlib.AbstractContextManager[bool]:
        return watched(self._pool.running, self._pool.greenlets, lambda: self._settings)
