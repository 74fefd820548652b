"""What a job starts counts as the job: greenlets, threads, and tasks of thread pools know who started them. Floor 3.

Law: a greenlet belongs to the job in which it was started, and what it starts does, too. A task given to a thread pool
belongs to the job that gave it, whoever started the pool's threads. Nothing here costs a job that starts nothing: gevent
calls us when a greenlet is started, and the few ways into native threads are wrapped.

What is not seen, and is only suspected when the process dies: greenlets of `gevent.spawn_raw`, threads started by native
code, and tasks handed to threads of somebody's own through a queue.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gevent import Greenlet, getcurrent, threadpool
from gevent.monkey import get_original, is_module_patched

from gearpool.page import NO_FUNCTION, Activity, Page, tagged
from gearpool.worker.runs import Run

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool

_get_ident = get_original("_thread", "get_ident")
_EXECUTOR_S: Any = getattr(futures.thread, "_worker", None)
"""What the threads of a `ThreadPoolExecutor` run."""


class Origin:
    """The job that started something: what is shown of it, and its run as long as that lasts.

    It outlives the job, and so it keeps neither the payload nor the handler's frames.

    Attributes:
        run: the run; None when it has ended.
        function: the function's name; ``index`` its place on the page, ``server`` its server's.
        handle: the job's handle.
        unique: its unique id.
    """

    __slots__ = ("function", "handle", "index", "run", "server", "unique")

    def __init__(self, run: Run) -> None:
        self.run: Run | None = run
        self.function = run.job.function
        self.index = run.session.function.index
        self.server = run.session.server_index
        self.handle = run.job.raw_handle
        self.unique = run.job.raw_unique

    @property
    def tag(self) -> int:
        """As on the page: the job, or what it left behind."""
        return tagged(self.index, Activity.JOB if self.run is not None else Activity.LEFT, self.server)


def origin_of(greenlet: Any) -> Origin | None:
    """The job that started ``greenlet``, which does not run a job itself; None if none did."""
    origin: Origin | None = getattr(greenlet, "gearpool_origin", None)
    return origin


def origin_of_run(run: Run) -> Origin:
    """The origin of what ``run`` starts."""
    origin: Origin | None = run.origin
    if origin is None:
        origin = run.origin = Origin(run)
    return origin


def returns_to(greenlet: Any, ancestor: Any) -> bool:
    """Whether ``greenlet``, and what it raises, ends in ``ancestor``: one of gevent's own ends in the event loop."""
    while greenlet is not None and greenlet is not ancestor:
        greenlet = greenlet.parent
    return greenlet is not None


class Ownership:
    """Marks what the jobs of a pool start.

    Args:
        pool: whose jobs.
        page: where the supervisor sees what runs in native threads.
    """

    def __init__(self, pool: Pool, page: Page) -> None:
        self._pool = pool
        self._page = page
        self._main = _get_ident()
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Begin; idempotent. In the thread that serves."""
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
        """Everything is as it was before `install`."""
        while self._undo:
            self._undo.pop()()

    def origin(self) -> Origin | None:
        """The job that started the greenlet on the CPU; None for one that runs a job itself, or was started by none."""
        me = getcurrent()
        return origin_of(me) or self.inherited(me)

    def inherited(self, greenlet: Any) -> Origin | None:
        """The job of a greenlet that is none of gevent's own, and so returns to its parent when it ends."""
        pool, parent = self._pool, greenlet.parent
        while parent is not None:
            run = pool.runs.get(parent)
            if run is None and parent in pool.leaders:
                run = pool.leaders[parent].single_out()
            if run is not None:
                return None if run.ended else origin_of_run(run)
            origin = origin_of(parent)
            if origin is not None:
                return origin
            parent = parent.parent
        return None

    def current(self) -> Origin | None:
        """The origin of what the calling code starts; None if it is no job's."""
        if self._pool.crew.forked:
            return None  # in a copy there are no jobs of ours
        me = getcurrent()
        origin = origin_of(me)
        if origin is not None or _get_ident() != self._main:
            return origin
        run = self._pool.current()
        if run is None:
            return self.inherited(me)
        return None if run.ended else origin_of_run(run)

    def _on_spawn(self, greenlet: Any) -> None:
        # The greenlets that run jobs are nobody's, whoever happened to need one more of them.
        if greenlet not in self._pool.crew.members:
            origin = self.current()
            if origin is not None:
                greenlet.gearpool_origin = origin

    def _wrap(self, owner: type, name: str, wrapper: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            return wrapper(original, *arguments, **named) if self._undo else original(*arguments, **named)

        def undo() -> None:
            # Somebody may have wrapped it again since then; ours does nothing any more.
            if getattr(owner, name) is wrapped:
                setattr(owner, name, original)

        setattr(owner, name, wrapped)
        self._undo.append(undo)

    def _submit(self, original: Callable[..., Any], pool: Any, /, *arguments: Any, **named: Any) -> Any:
        if not arguments:
            return original(pool, **named)
        # A task that is nobody's is wrapped, too: the thread that runs it may be some job's.
        task, *rest = arguments
        return original(pool, functools.partial(self._run_task, self.current(), task), *rest, **named)

    def _start_thread(self, original: Callable[..., Any], thread: threading.Thread) -> Any:
        origin = self.current()
        # The threads of an executor serve one job after another: only their tasks are somebody's.
        if origin is not None and getattr(thread, "_target", None) is not _EXECUTOR_S:
            run = thread.run

            def owned() -> None:
                del thread.__dict__["run"]  # it hides the class's
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
        """The greenlet goes on without a switch: say here what is on the CPU."""
        page, now = self._page, time.monotonic()
        if origin is None:
            page.write(now, NO_FUNCTION, Activity.OTHER, b"", b"")
        else:
            activity = Activity.JOB if origin.run is not None else Activity.LEFT
            page.write(now, origin.index, activity, origin.handle, origin.unique, origin.server)
