"""How a child shows where it is: SIGUSR1 what its threads do, SIGUSR2, while it imports, what its import waits for. Floor 4.

Law: stdlib only, for it comes before the monkey patching. What is written goes into memory that the supervisor reads and
logs as one event; without a supervisor to stderr.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys


def show_stacks() -> None:
    """Answer both signals from now on. Whoever serves takes SIGUSR2 over for itself later."""
    fd = int(os.environ.pop("GEARPOOL_STACKS_FD", "2"))
    if fd > 2:
        os.set_inheritable(fd, False)
    faulthandler.enable(fd)  # which thread has crashed is evidence, see `supervisor.evidence`
    faulthandler.register(signal.SIGUSR1, file=fd, all_threads=True, chain=False)

    def show_import(_number: int, _frame: object) -> None:
        """A module that waits while it is imported waits in the event loop, which is all that faulthandler sees then."""
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
