"""The worker process: patches, loads the handlers, serves, and obeys the supervisor. Floor 4; a composition root.

Started by exec as ``python -m gearpool.children.worker --channel FD --page FD``. Over the channel comes first what to do
(`Settings` as JSON), then commands; up go ``ready`` or ``failed``, status snapshots and replies. The end of the channel
means that the supervisor is gone: so is this process then, and the job servers hand out its jobs again.

Law: nothing but the standard library is imported before the patching.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gearpool.children.stacks import show_stacks
from gearpool.leaving import leave
from gearpool.settings import Settings, from_json

if TYPE_CHECKING:
    from gearpool.page import Page

OK = 0
INTERNAL = 70
CONFIGURATION = 78

_PR_SET_PDEATHSIG = 1
_OBEYED_BY_THE_PARENT = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU")


def main() -> int:
    """Run; returns the exit code."""
    parser = argparse.ArgumentParser(description="gearpool's worker process; started by the supervisor")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the supervisor")
    parser.add_argument("--page", type=int, required=True, help="descriptor of the shared page")
    arguments = parser.parse_args()
    for name in _OBEYED_BY_THE_PARENT:
        # A handler that does nothing, not SIG_IGN: what handlers start would inherit that and be deaf to `terminate`.
        signal.signal(getattr(signal, name), _nothing)
    _die_with_the_parent()
    show_stacks()
    channel = socket.socket(fileno=arguments.channel)
    channel.set_inheritable(False)
    os.set_inheritable(arguments.page, False)
    start, rest = _first_line(channel)
    if start is None:
        return OK
    settings = from_json(Settings, start["settings"])
    if settings.monkey_patch:
        from gevent import monkey

        monkey.patch_all()
    import gevent

    # Each greenlet would keep its spawner alive, and so that one's payload.
    gevent.config.track_greenlet_tree = False
    for folder in reversed(settings.import_path):
        # Where links lead now: what is imported later must be of the same release, even if a link has been swapped.
        sys.path.insert(0, os.path.realpath(Path(settings.base, folder)))
    from gearpool import logs, uncaught
    from gearpool.page import Page

    logs.configure(settings.log)
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    return _serve(channel, rest, settings, Page.attach(arguments.page), start)


def _serve(channel: socket.socket, rest: bytes, settings: Settings, page: Page, start: dict[str, Any]) -> int:
    from gearpool.children.commands import Commands
    from gearpool.errors import ConfigurationError
    from gearpool.worker import forks
    from gearpool.worker.interrupts import Interrupts
    from gearpool.worker.loading import load_functions
    from gearpool.worker.pool import Pool

    try:
        functions = load_functions(settings.functions, settings.concurrency)
    except ConfigurationError as error:
        line = json.dumps({"event": "failed", "problems": list(error.problems)})
        channel.sendall(line.encode() + b"\n")
        return CONFIGURATION

    def stuck(reason: str) -> None:
        commands.ask_to_be_replaced(reason)

    pool = Pool(
        functions,
        settings.servers,
        concurrency=settings.concurrency,
        reconnect=settings.reconnect,
        worker_id=settings.worker_id,
        base=settings.base,
        page=page,
        stuck=stuck,
    )
    pool.log_jobs = settings.log.jobs
    interrupts = Interrupts(pool, page)
    commands = Commands(pool, channel, settings, interrupts)
    pool.suspects.take_down(start["poison"], start["at_once"])
    pool.incarnations.pids = start["server_pids"]
    interrupts.install()
    deaf_to = [getattr(signal, name) for name in (*_OBEYED_BY_THE_PARENT, "SIGUSR2")]
    forks.install(pool, [commands.descriptor], deaf_to)
    _spare_the_collector()
    pool.start()
    commands.send({"event": "ready"})
    return commands.run(rest)


def _spare_the_collector() -> None:
    """What is loaded now lives as long as the process: never look at it again; and look at jobs less often.

    With a thousand jobs waiting at once the collector took a fifth of the CPU time at its default thresholds.
    """
    gc.collect()
    gc.freeze()
    if gc.get_threshold() == (700, 10, 10):
        gc.set_threshold(10_000, 20, 50)


def _first_line(channel: socket.socket) -> tuple[dict[str, Any] | None, bytes]:
    data = b""
    while b"\n" not in data:
        more = channel.recv(1 << 16)
        if not more:
            return None, b""
        data += more
    line, _, rest = data.partition(b"\n")
    return json.loads(line), rest


def _nothing(_number: int, _frame: object) -> None:
    """The signal is not for us."""


def _die_with_the_parent() -> None:
    """Have the kernel end us when the supervisor dies, even while a handler blocks."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(OK)


if __name__ == "__main__":
    leave(main())
