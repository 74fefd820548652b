"""Writes a child's stacks on request: SIGUSR1 those of its threads, SIGUSR2 the greenlet that imports a module. Floor 4.

Invariant: stdlib only, because it runs before monkey patching. The stacks go to shared memory, which the supervisor reads
and logs as one event; without a supervisor they go to stderr.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys


def show_stacks() -> None:
    """Install both signal handlers. A worker that is ready replaces the one for SIGUSR2."""
    fd = int(os.environ.pop("GEARPOOL_STACKS_FD", "2"))
    if fd > 2:
        os.set_inheritable(fd, False)
    faulthandler.enable(fd)  # names the thread that crashed, see `supervisor.evidence`
    faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True, chain=False)

    def show_import(_number: int, _frame: object) -> None:
        """While an import waits for I/O, faulthandler only sees the event loop."""
        gevent = sys.modules.get("gevent")
        hub = gevent._hub_local.get_hub_if_exists() if gevent is not None else None
        if hub is None or gevent is None or gevent.getcurrent() is not hub or hub.parent is None:
            return
        lines = ["The main greenlet waits (most recent call first):"]
        frame = hub.parent.gr_frame
        while frame is not None:
            lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}')
            frame = frame.f_back
        os.write(fd, "\n".join(["", *lines, ""]).encode("utf-8", "backslashreplace"))

    signal.signal(signal.SIGUSR2, show_import)
