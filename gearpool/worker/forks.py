"""A process forked by a handler does not act as a worker. Floor 3.

`multiprocessing` (with its start method ``fork``) and ``os.fork`` copy the process with its event loop, its connections
and all its jobs. Unhandled, the copy would read jobs from the parent's connections, resume the other suspended
handlers a second time, and overwrite the page with what is on its own CPU.

In the copy only the greenlet that forked runs; it gets a new hub if it yields. What it sends is discarded, and the
process exits when its handler ends. Before an exec, as in `subprocess`, none of this is needed, so it must be fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Collection, Iterable
from typing import NoReturn

import greenlet
from gevent._hub_local import set_hub, set_loop  # gevent's own way to replace a hub ends the main greenlet with it
from gevent.hub import get_hub
from gevent.monkey import is_module_patched

from gearpool import process_exit


def install(after_fork: Callable[[], None], descriptors: Callable[[], Iterable[int]], signals: Collection[int]) -> None:
    """Handle every fork of this process from now on; it cannot be undone.

    Args:
        after_fork: called in the copy to give up what belongs to the parent, without sending anything.
        descriptors: returns the file descriptors of the parent's connections.
        signals: signals that the parent ignores. The copy must obey them at once: `Process.terminate` may come early.
    """
    if is_module_patched("os"):
        # gevent does it only after a fork; a child that exits before that would never be noticed by `os.waitpid`.
        get_hub().loop.install_sigchld()
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signals),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals),
        after_in_child=lambda: _leave_to_the_parent(after_fork, descriptors, signals),
    )


def _leave_to_the_parent(
    after_fork: Callable[[], None], descriptors: Callable[[], Iterable[int]], signals: Collection[int]
) -> None:
    """Runs in the new process right after the fork."""
    greenlet.settrace(None)
    for number in signals:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors():
        # Not closed: the handler's next file would reuse the number and receive data meant for the server.
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)
    after_fork()
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
    """Exit a forked process as Python would after ``error``, but without the exit functions, which are the parent's."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
    process_exit.leave(code & 0xFF, exit_functions=False)


def _end(me: greenlet.greenlet) -> None:
    """Runs in the parent greenlet of the one that forked, and so after it ends in whatever way."""
    try:
        me.switch()
    except BaseException as error:  # noqa: BLE001 - whatever the handler raised
        leave(error)
    leave()
