"""What a handler forks is no worker: it keeps the handler, and nothing of ours. Floor 3.

`multiprocessing` (with its start method ``fork``) and ``os.fork`` copy the process with its event loop, its connections
and all its jobs. Left alone the copy takes jobs over the parent's connections, runs the other handlers that wait a
second time, and shows on the page what is on its own CPU.

Law: in a copy no greenlet runs but the one that forked; it has a new hub if it waits. What it sends goes nowhere, and when
its handler ends so does the process. Before an exec, as in `subprocess`, none of this matters, so it must be quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Collection
from typing import TYPE_CHECKING, NoReturn

import greenlet
from gevent._hub_local import set_hub, set_loop  # gevent's own way to replace a hub ends the main greenlet with it
from gevent.hub import get_hub

from gearpool import leaving

if TYPE_CHECKING:
    from gearpool.worker.pool import Pool


def install(pool: Pool, descriptors: Collection[int], signals: Collection[int]) -> None:
    """Watch over every fork of this process from now on; there is no way back.

    Args:
        pool: whose connections and greenlets are the parent's.
        descriptors: what else is the parent's alone.
        signals: what the parent is deaf to. The copy hears them, from its birth: `Process.terminate` may be quick.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signals),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals),
        after_in_child=lambda: _forsake(pool, descriptors, signals),
    )


def _forsake(pool: Pool, descriptors: Collection[int], signals: Collection[int]) -> None:
    """In a process that was just forked: leave the work to the parent."""
    greenlet.settrace(None)
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (*descriptors, *(lane.descriptor for lane in pool.lanes if lane.connected)):
        # Not closed: a file of the handler's own would get the number, and what is still to be sent.
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    for session in list(pool.sessions):
        session.close("forked")
    pool.crew.forked = True
    if pool.page is not None:
        pool.page.forsake()
    hub = get_hub()
    set_hub(None)
    set_loop(None)
    hub.loop.destroy()
    me = greenlet.getcurrent()
    if me.parent is not None:
        end = greenlet.greenlet(_end, me.parent)
        end.switch(me)
        me.parent = end


def leave(error: BaseException | None = None) -> NoReturn:
    """End a forked process as an interpreter ends with ``error``, without its exit functions: they are the parent's."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
    leaving.leave(code & 0xFF, exit_functions=False)


def _end(me: greenlet.greenlet) -> None:
    """The parent of the greenlet that forked: whatever ends that one comes here."""
    try:
        me.switch()
    except BaseException as error:  # noqa: BLE001 - it is the end
        leave(error)
    leave()
