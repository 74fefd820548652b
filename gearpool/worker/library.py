"""`Worker`: serve functions from a program of your own, without a file and without a supervisor. Floor 3.

Law: it adds nothing to what the daemon's processes do and takes nothing away: it is a `pool.Pool` with a face.
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
from gearpool.worker.making import OnError, is_count, make_function
from gearpool.worker.pool import Pool
from gearpool.worker.watch import watched

STOP_S = 30.0
"""How long `run` lets running jobs finish after `stop`, and `close` by default, in seconds."""
_DECLARE_S = 10.0
"""How long another thread waits until the serving thread has taken an ability, in seconds."""
_CLOSE_EXTRA_S = 5.0
"""What `close` from another thread allows beyond its timeout: Draining, killing, and the reply."""

_T = TypeVar("_T")
_allocate_lock = get_original("_thread", "allocate_lock")


class Worker:
    """Serves functions on one job server or several.

    Handlers run in greenlets of the thread that calls `run` or `work`: ``gevent.monkey.patch_all()`` first, if they are
    to wait together. A worker may be made in any thread, and before a fork; the first `run` or `work` binds it to the
    thread and event loop of its caller, and from then on only that thread may serve. `stop`, `close`, `add_ability`,
    `remove_ability` and `snapshot` may be called from any thread.

    Time limits hold as in the daemon for a handler that waits, and, where `run` or `work` is called in the main thread,
    for one that never does: a thread then watches it and rings with SIGUSR2. Not so if the program uses SIGUSR2 or
    ``greenlet.settrace`` itself. What is stuck in C without ever returning to Python has nobody here to kill its
    process, as the daemon has. Nor is a handler guarded that forks (`multiprocessing` with its start method ``fork``):
    the copy would share its connections; start processes with ``spawn`` or `subprocess`.

    Args:
        servers: ``"host:port"``, several in a list or separated by commas; ``gear+tls://`` for TLS.
        concurrency: jobs at once.
        worker_id: what ``gearadmin --workers`` shows; default HOST-PID-FUNCTION.
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
        self._pool = Pool(
            (), parse_servers(servers), concurrency=concurrency, worker_id=worker_id, reconnect=reconnect
        )  # fmt: skip
        self._stopping = Event()
        self._stop_asked = False
        self._closed = False
        self._serving = False
        self._state_lock = _allocate_lock()
        self._calls: HubCalls | None = None
        """Set when the worker is bound to the event loop of a thread."""
        self._numbers: dict[str, int] = {}
        self._settings = Settings(servers=self._pool.servers, functions=())

    def __enter__(self) -> Self:
        """The worker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what runs, and close."""
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
        """Serve ``name`` with ``handler(arg, job)`` or ``handler(arg)``; a second call replaces the first.

        Args:
            name: the function's name.
            handler: called with the payload and the `Job`.
            timeout: until JobTimeout is raised in the handler; like all durations, seconds or a timedelta.
            timeout_grace: it then has so long to end.
            concurrency: jobs of this function at once; default: the worker's.
            on_error: ``"abort"``, ``"skip"``, ``"retry"``, or one of them by exception class.
            on_timeout: likewise, when the time is up.
            retry: attempts and delays.
            dead_letter: where jobs go that are given up with ``then="dead_letter"``.
            breaker: stop grabbing after so many failures in a row.
            report: ``"exception"`` sends the reason as WORK_EXCEPTION.
            payload: how the argument is decoded and the result encoded.
            rate: jobs started a second at most.
            weight: share of free slots when functions compete.

        Raises:
            InvalidArgument: the name cannot be sent, or a value is not what it should be.
            HandlerError: the handler cannot be called so.
            UsageError: the worker is closed, or bound to a thread that is not serving now.
            TimedOut: the serving thread is blocked and does not take it.
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
            index=self._numbers.setdefault(name, len(self._numbers)),
            most=self._concurrency,
        )
        self._in_loop(lambda: self._open(function))

    def _open(self, function: Function) -> None:
        self._pool.shut(function.name)
        functions = list(self._settings.functions)
        functions[function.index : function.index + 1] = [function.settings]
        self._settings = dataclasses.replace(self._settings, functions=tuple(functions))
        if self._calls is not None:
            self._pool.open(function)
        else:
            self._pool.functions[function.name] = function

    def remove_ability(self, name: str) -> None:
        """Serve ``name`` no more; its running jobs go on to their end. Raises as `add_ability` does."""
        self._in_loop(lambda: self._pool.shut(name))

    def reset_abilities(self) -> None:
        """Serve nothing. Raises as `add_ability` does."""
        for name in list(self._pool.functions):
            self.remove_ability(name)

    def work(self, timeout: Duration | None = None) -> bool:
        """Take one job, run it to its end and return.

        Args:
            timeout: how long to wait for the job to come; None: for ever.

        Returns:
            True if a job was run, False if none came in time (or `stop` was called).

        Raises:
            UsageError: the worker is closed, is serving already, or is bound to another thread.
            InvalidArgument: ``timeout`` is no duration.
        """
        deadline = Deadline.allowed(timeout)
        with self._serve():
            pool = self._pool
            done = Event()
            pool.on_settled = lambda _: done.set()
            pool.budget = 1
            pool.start()
            pool.resume()
            try:
                # For one job only if there is a limit to watch: it costs as much as a quick job.
                limited = any(each.timeout_s is not None for each in self._settings.functions)
                with self._watched() if limited else contextlib.nullcontext():
                    while not done.wait(min(0.5, deadline.remaining())):
                        if deadline.expired() or self._stopping.is_set():
                            # A job that is already under way is waited for all the same.
                            pool.quiet = True
                            while pool.busy and not done.is_set():
                                gevent.sleep(0.01)
                            break
                    gevent.sleep(0)  # the result is sent when the event loop runs next
                return bool(done.is_set())
            finally:
                pool.quiet = True
                pool.budget = None
                pool.short.clear()
                pool.on_settled = None

    def run(self) -> None:
        """Work until `stop` or `close` is called, then let running jobs finish, and close.

        Raises:
            UsageError: the worker is closed, is serving already, or is bound to another thread.
        """
        with self._serve():
            self._pool.start()
            self._pool.resume()
            with self._watched():
                self._stopping.wait()
                self._pool.stop(Deadline.after(STOP_S))
            self._closed = True

    def stop(self) -> None:
        """Have `run` finish what runs and return, or `work` return. Does not wait.

        May be called from any thread, from a handler and from a signal handler, and before `run`, which then returns at
        once.
        """
        self._stop_asked = True
        calls = self._calls
        if calls is None or calls.here:
            self._stopping.set()
        else:
            calls.post(self._stopping.set)

    def close(self, timeout: Duration = STOP_S) -> bool:
        """Stop grabbing, let running jobs finish, and close. May be called from any thread, and again.

        Args:
            timeout: for the running jobs; those that still run then get `Draining` and are handed back.

        Returns:
            True if no job was cut off.

        Raises:
            UsageError: called inside a handler, which would wait for itself: call `stop`.
            TimedOut: called from another thread, and the serving thread is blocked.
            InvalidArgument: ``timeout`` is no duration.
        """
        timeout_s = seconds_of(timeout)
        calls = self._calls
        if calls is not None and calls.here and self._pool.on_cpu() is not None:
            raise UsageError("close() inside a handler would wait for that handler to end: call stop() instead")
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
            with contextlib.suppress(UsageError):  # it ended by itself meanwhile
                return calls.call(lambda: self._pool.stop(Deadline.after(timeout_s)), timeout_s + _CLOSE_EXTRA_S)
            return True
        # Bound to a thread that does not run its event loop now, and may never again: nothing runs, so the connections
        # are ended from here, and the loop lets go of the rest if it ever runs.
        calls.post(self._pool.close)
        self._pool.disconnect()
        return True

    @contextlib.contextmanager
    def _serve(self) -> Iterator[HubCalls]:
        """Bind to the calling thread, or see that it is the one; only one caller serves at a time."""
        with self._state_lock:
            if self._closed:
                raise UsageError("the worker is closed: make a new one")
            if self._serving:
                raise UsageError("the worker is serving already: run() or work() is under way")
            if self._calls is None:
                self._calls = HubCalls()
            elif not self._calls.here:
                raise UsageError(
                    "the worker is bound to the thread that first called run() or work(): "
                    "call them there, or make a worker for each thread"
                )
            self._serving = True
            calls = self._calls
        if self._stop_asked:
            self._stopping.set()
        try:
            yield calls
        finally:
            with self._state_lock:
                self._serving = False
                closed = self._closed
        if closed:
            # This thread may never run its event loop again: what `close` asked of it, from another, is done now.
            self._pool.stop(Deadline.after(STOP_S))
            calls.close()

    def _in_loop(self, function: Callable[[], _T]) -> _T:
        """Call ``function`` where the worker's greenlets live: directly, or in the thread that serves."""
        with self._state_lock:
            if self._closed:
                raise UsageError("the worker is closed: make a new one")
            calls, serving = self._calls, self._serving
            if calls is None:
                return function()
        if calls.here:
            return function()
        if not serving:
            raise UsageError("the worker is bound to another thread, which is in neither run() nor work() now")
        return calls.call(function, _DECLARE_S)

    @property
    def snapshot(self) -> dict[str, Any]:
        """Counters and state, as the daemon shows them."""
        calls = self._calls
        if calls is not None and self._serving and not calls.here:
            with contextlib.suppress(UsageError):  # it ended meanwhile
                return calls.call(lambda: snapshots.snapshot(self._pool), _DECLARE_S)
        return snapshots.snapshot(self._pool)

    def _watched(self) -> contextlib.AbstractContextManager[bool]:
        return watched(self._pool, lambda: self._settings)
