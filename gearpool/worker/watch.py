"""The supervisor's eyes for a process that has none: a thread that rings when a handler does not let go. Floor 3.

Law: it decides nothing. When to ring is `stare`'s, what a ring does is `Interrupts`', as in the daemon. Both the signal
and the tracer of greenlets are the process's own again when nobody is watched any more.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import greenlet
from gevent.monkey import get_original, is_module_patched

from gearpool.page import Page
from gearpool.settings import Settings
from gearpool.stare import BUSY_S, STALL_S, STALLED_S, Stare, Verdict
from gearpool.worker.interrupts import Interrupts
from gearpool.worker.pool import Pool

_JOIN_S = 10.0


@contextlib.contextmanager
def watched(pool: Pool, settings: Callable[[], Settings]) -> Iterator[bool]:
    """Interrupt handlers of ``pool`` in place, as long as this block runs. Yields whether that can be done.

    It cannot outside the main thread, where no signal arrives; nor where SIGUSR2 or the tracer of greenlets is used by
    somebody else already.

    Args:
        pool: whose handlers.
        settings: the functions, each at its index, at any time.
    """
    if signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL or greenlet.gettrace() is not None:
        yield False
        return
    page = pool.page or Page.private()
    # In a process that is not patched handlers block as a rule: that is no news.
    interrupts = Interrupts(pool, page, log_stalls=is_module_patched("socket"))
    try:
        interrupts.install()
    except ValueError:
        yield False  # not the main thread
        return
    pool.page = page
    start_thread, make_lock = get_original("_thread", ["start_new_thread", "allocate_lock"])
    this_thread = get_original("_thread", "get_ident")()
    enough, ended = make_lock(), make_lock()
    enough.acquire()
    ended.acquire()

    def look() -> None:
        try:
            stare = Stare()
            pause = BUSY_S
            while not enough.acquire(timeout=pause):
                if stare.look(page.read(), time.monotonic(), settings()) is not Verdict.FINE:
                    signal.pthread_kill(this_thread, signal.SIGUSR2)
                pause = STALLED_S if stare.stuck_s >= STALL_S else BUSY_S
        finally:
            ended.release()

    start_thread(look, ())
    try:
        yield True
    finally:
        enough.release()
        ended.acquire(timeout=_JOIN_S)
        interrupts.uninstall()
        # Whatever was sent before has been answered when this returns: it answers what is pending first.
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
