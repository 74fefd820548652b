"""`Worker`: serve functions from a program of your own, without a file and without a supervisor. Floor 3.

Law: it adds nothing to what the daemon's processes do and takes nothing away: it is a `pool.Pool` with a face.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import gevent
from gevent.event import Event

from gearpool.errors import InvalidArgument
from gearpool.net.addresses import ServerLike, parse_servers
from gearpool.settings import (
    BreakerSettings,
    DeadLetterSettings,
    ErrorAction,
    PayloadKind,
    ReconnectSettings,
    Report,
    RetrySettings,
    Settings,
)
from gearpool.timing import Deadline
from gearpool.worker import snapshots
from gearpool.worker.making import OnError, make_function
from gearpool.worker.pool import Pool
from gearpool.worker.watch import watched


class Worker:
    """Serves functions on one job server or several.

    Handlers run in greenlets of the calling thread: ``gevent.monkey.patch_all()`` first, if they are to wait together.

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
        if concurrency < 1:
            raise InvalidArgument(f"concurrency must be 1 or more, got {concurrency}")
        self._concurrency = concurrency
        self._pool = Pool(
            (), parse_servers(servers), concurrency=concurrency, worker_id=worker_id, reconnect=reconnect
        )  # fmt: skip
        self._stopping = Event()
        self._started = False
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
        timeout: float | None = None,
        timeout_grace: float = 5.0,
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
            timeout: seconds until JobTimeout is raised in the handler.
            timeout_grace: seconds it then has to end.
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
        self.remove_ability(name)
        functions = list(self._settings.functions)
        functions[function.index : function.index + 1] = [function.settings]
        self._settings = dataclasses.replace(self._settings, functions=tuple(functions))
        if self._started:
            self._pool.open(function)
        else:
            self._pool.functions[name] = function

    def remove_ability(self, name: str) -> None:
        """Serve ``name`` no more; its running jobs go on to their end."""
        self._pool.shut(name)

    def reset_abilities(self) -> None:
        """Serve nothing."""
        for name in list(self._pool.functions):
            self.remove_ability(name)

    def work(self, timeout: float | None = None) -> bool:
        """Take one job, run it to its end and return.

        Args:
            timeout: seconds to wait for the job to come; None: for ever.

        Returns:
            True if a job was run, False if none came in time (or `stop` was called).
        """
        pool = self._pool
        done = Event()
        pool.on_settled = lambda _: done.set()
        pool.budget = 1
        self._start()
        pool.resume()
        try:
            deadline = Deadline.after(timeout)
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
                gevent.sleep(0)  # the result leaves at the end of the turn
            return bool(done.is_set())
        finally:
            pool.quiet = True
            pool.budget = None
            pool.short.clear()
            pool.on_settled = None

    def run(self) -> None:
        """Work until `stop` is called, from another greenlet or a signal handler; then finish what runs."""
        self._start()
        self._pool.resume()
        with self._watched():
            self._stopping.wait()
            self.close()

    def stop(self) -> None:
        """Have `run` finish and return."""
        self._stopping.set()

    def close(self, timeout: float = 30.0) -> bool:
        """Stop grabbing, finish what runs within ``timeout`` seconds, close. True if nothing was cut off."""
        self._stopping.set()
        return self._pool.stop(Deadline.after(timeout))

    @property
    def snapshot(self) -> dict[str, Any]:
        """Counters and state, as the daemon shows them."""
        return snapshots.snapshot(self._pool)

    def _watched(self) -> contextlib.AbstractContextManager[bool]:
        return watched(self._pool, lambda: self._settings)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._pool.start()
