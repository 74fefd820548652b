"""A thread that signals a handler which blocks for too long, in processes without a supervisor. Floor 3.

It decides nothing itself: `stall_detector` decides when to send the signal and `interrupts` what to do about it, as in
the daemon. The signal handler and the greenlet tracer are removed at the end.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import greenlet
from gevent.monkey import get_original, is_module_patched

from gearpool.net.hub_thread import start_native_thread
from gearpool.page import Page
from gearpool.settings import Settings
from gearpool.stall_detector import BUSY_S, STALL_S, STALLED_S, Finding, StallDetector
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.interrupts import Interrupts
from gearpool.worker.running import Running

_JOIN_S = 10.0


@contextlib.contextmanager
def watched(running: Running, greenlets: GreenletPool, settings: Callable[[], Settings]) -> Iterator[bool]:
    """Interrupt handlers that block the event loop, for the duration of a ``with`` block. Yields whether it can.

    It cannot outside of the main thread, which signals do not reach; nor if SIGUSR2 or the greenlet tracer is in use.
    ``settings()`` returns the current settings, with each function at its index.
    """
    if signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL or greenlet.gettrace() is not None:
        yield False
        return
    page = running.page or Page.private()
    # Without monkey patching every handler blocks, so stalls are not worth logging.
    interrupts = Interrupts(running, greenlets, page, log_stalls=is_module_patched("socket"))
    try:
        interrupts.install()
    except ValueError:
        yield False  # not the main thread
        return
    running.page = page
    make_lock, get_ident = get_original("_thread", ["allocate_lock", "get_ident"])
    this_thread, stop = get_ident(), make_lock()
    stop.acquire()

    def watch() -> None:
        detector = StallDetector()
        pause = BUSY_S
        while not stop.acquire(timeout=pause):
            if detector.check(page.read(), time.monotonic(), settings()) is not Finding.FINE:
                signal.pthread_kill(this_thread, signal.SIGUSR2)
            pause = STALLED_S if detector.stuck_s >= STALL_S else BUSY_S

    stopped = start_native_thread(watch)
    try:
        yield True
    finally:
        stop.release()
        stopped.acquire(timeout=_JOIN_S)
        interrupts.uninstall()
        # This first runs the handler for a signal that is still pending.
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
