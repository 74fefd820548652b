"""Attributes the greenlets, threads and thread-pool tasks that a job starts to that job. Floor 3.

Invariant: a greenlet belongs to the job that started it, and so does everything that the greenlet starts. A task given to
a thread pool belongs to the job that submitted it, no matter who started the pool's threads. This costs nothing for a job
that starts nothing: gevent calls back when a greenlet is started, and the few functions that start threads are wrapped.

Not attributed are greenlets of `gevent.spawn_raw`, threads started by native code, and tasks that reach an application's
own threads through a queue. When the process dies, all running jobs are suspected of these.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

from gevent import Greenlet, getcurrent, threadpool
from gevent.monkey import get_original, is_module_patched

from gearpool.jobs import Interrupt
from gearpool.page import NO_FUNCTION, Activity, Page, tagged
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.running import Running
from gearpool.worker.runs import Run

_get_ident = get_original("_thread", "get_ident")
_EXECUTOR_S: Any = getattr(futures.thread, "_worker", None)
"""The target of the threads of a `ThreadPoolExecutor`."""


class Origin:
    """The job that started a greenlet or a task: what the page shows of it, and its run until that ends.

    It may outlive the job, so it refers to neither the payload nor the handler's frames.

    Attributes:
        run: the run; None once it has ended.
        function: the function's name; ``index`` and ``server`` are the function's and the server's index on the page.
        handle: the job's handle.
        unique: its unique id.
        interrupt: what was raised in something that the job started; the job must end with it, too.
    """

    __slots__ = ("function", "handle", "index", "interrupt", "run", "server", "unique")

    def __init__(self, run: Run) -> None:
        self.run: Run | None = run
        self.function = run.job.function
        self.index = run.replies.function.index
        self.server = run.replies.server_index
        self.handle = run.job.raw_handle
        self.unique = run.job.raw_unique
        self.interrupt: Interrupt | None = None

    @property
    def tag(self) -> int:
        """How the page shows it: as the job, or as left behind by it."""
        return tagged(self.index, Activity.JOB if self.run is not None else Activity.LEFT, self.server)


def origin_of(greenlet: Any) -> Origin | None:
    """The job that started ``greenlet``; None if no job did."""
    origin: Origin | None = getattr(greenlet, "gearpool_origin", None)
    return origin


def origin_of_run(run: Run) -> Origin:
    """The origin of everything that ``run`` starts."""
    origin: Origin | None = run.origin
    if origin is None:
        origin = run.origin = Origin(run)
    return origin


def returns_to(greenlet: Any, ancestor: Any) -> bool:
    """Whether ``greenlet`` returns to ``ancestor`` when it ends, as a raw greenlet does; gevent's return to the hub."""
    while greenlet is not None and greenlet is not ancestor:
        greenlet = greenlet.parent
    return greenlet is not None


class Ownership:
    """Marks the greenlets and threads that jobs start."""

    def __init__(self, running: Running, greenlets: GreenletPool, page: Page) -> None:
        self._running = running
        self._greenlets = greenlets
        self._page = page
        self._main = _get_ident()
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Start marking; idempotent. Call it in the thread that runs the jobs."""
        if self._undo:
            return
        Greenlet.add_spawn_callback(self._on_spawn)
        self._undo.append(lambda: Greenlet.remove_spawn_callback(self._on_spawn))
        self._wrap(threadpool.ThreadPool, "spawn", self._submit)
        self._wrap(futures.ThreadPoolExecutor, "submit", self._submit)
        if not is_module_patched("threading"):
            # Patched threads are greenlets.
            self._wrap(threading.Thread, "start", self._start_thread)

    def uninstall(self) -> None:
        """Undo `install`."""
        while self._undo:
            self._undo.pop()()

    def origin(self) -> Origin | None:
        """The job that started the greenlet on the CPU; None if no job did, or if it runs a job itself."""
        me = getcurrent()
        return origin_of(me) or self.inherited(me)

    def inherited(self, greenlet: Any) -> Origin | None:
        """The job of a raw greenlet: that of the greenlet to which it returns when it ends."""
        running, parent = self._running, greenlet.parent
        while parent is not None:
            run = running.runs.get(parent)
            if run is None and parent in running.leaders:
                run = running.leaders[parent].single_out()
            if run is not None:
                return None if run.ended else origin_of_run(run)
            origin = origin_of(parent)
            if origin is not None:
                return origin
            parent = parent.parent
        return None

    def current(self) -> Origin | None:
        """The origin of what the calling code starts; None outside of jobs."""
        if self._greenlets.forked:
            return None  # the jobs are the parent's
        me = getcurrent()
        origin = origin_of(me)
        if origin is not None or _get_ident() != self._main:
            return origin
        run = self._running.current()
        if run is None:
            return self.inherited(me)
        return None if run.ended else origin_of_run(run)

    def _on_spawn(self, greenlet: Any) -> None:
        # Greenlets that run jobs belong to no job, even if one is started while another job is on the CPU.
        if greenlet not in self._greenlets.members:
            origin = self.current()
            if origin is not None:
                greenlet.gearpool_origin = origin

    def _wrap(self, owner: type, name: str, wrapper: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            return wrapper(original, *arguments, **named) if self._undo else original(*arguments, **named)

        def undo() -> None:
            # Other code may have wrapped it again since; our wrapper is inactive now.
            if getattr(owner, name) is wrapped:
                setattr(owner, name, original)

        setattr(owner, name, wrapped)
        self._undo.append(undo)

    def _submit(self, original: Callable[..., Any], pool: Any, /, *arguments: Any, **named: Any) -> Any:
        if not arguments:
            return original(pool, **named)
        # A task submitted outside of jobs is wrapped, too: the thread that runs it may have been started by a job.
        task, *rest = arguments
        return original(pool, functools.partial(self._run_task, self.current(), task), *rest, **named)

    def _start_thread(self, original: Callable[..., Any], thread: threading.Thread) -> Any:
        origin = self.current()
        # The threads of an executor work for one job after another: their tasks are marked instead.
        if origin is not None and getattr(thread, "_target", None) is not _EXECUTOR_S:
            run = thread.run

            def owned() -> None:
                del thread.__dict__["run"]  # it shadows the method
                self._run_task(origin, run)

            thread.__dict__["run"] = owned
        return original(thread)

    def _run_task(self, origin: Origin | None, task: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        native = _get_ident() != self._main
        with self._in_native_thread(origin) if native else self._in_greenlet(origin):
            return task(*arguments, **named)

    @contextmanager
    def _in_native_thread(self, origin: Origin | None) -> Iterator[None]:
        me, jobs = getcurrent(), self._page.jobs
        before = origin_of(me)
        me.gearpool_origin = origin
        row = 0 if origin is None else jobs.add(origin.tag, origin.handle, origin.unique, _get_ident())
        try:
            yield
        finally:
            jobs.remove(row)
            me.gearpool_origin = before

    @contextmanager
    def _in_greenlet(self, origin: Origin | None) -> Iterator[None]:
        me = getcurrent()
        before = origin_of(me)
        me.gearpool_origin = origin
        self._show(origin)
        try:
            yield
        finally:
            me.gearpool_origin = before
            self._show(before)

    def _show(self, origin: Origin | None) -> None:
        """Update the page: the greenlet continues without a switch that would be traced."""
        page, now = self._page, time.monotonic()
        if origin is None:
            page.write(now, NO_FUNCTION, Activity.OTHER, b"", b"")
        else:
            activity = Activity.JOB if origin.run is not None else Activity.LEFT
            page.write(now, origin.index, activity, origin.handle, origin.unique, origin.server)
