"""The worker process: monkey-patches, loads the handlers and runs jobs. Floor 4; a composition root.

Started as ``python -m gearpool.children.worker --channel FD --page FD``. The first message over the channel is
`messages.Start`. When the channel ends the supervisor has died; the process then exits, and the job servers hand out its
jobs again.

Invariant: nothing but the standard library is imported before monkey patching.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gearpool import exit_codes, json_lines, messages
from gearpool.children.stacks import show_stacks
from gearpool.process_exit import leave

if TYPE_CHECKING:
    from gearpool.children.channel import Channel
    from gearpool.page import Page


_PR_SET_PDEATHSIG = 1
_SUPERVISOR_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGTTIN", "SIGTTOU")


def main() -> int:
    """Run the worker; returns the exit code."""
    parser = argparse.ArgumentParser(description="gearpool's worker process; started by the supervisor")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket to the supervisor")
    parser.add_argument("--page", type=int, required=True, help="descriptor of the shared page")
    arguments = parser.parse_args()
    for name in _SUPERVISOR_SIGNALS:
        # Not SIG_IGN: processes started by job handlers would inherit that and ignore `terminate`.
        signal.signal(getattr(signal, name), lambda *_: None)
    _die_with_the_parent()
    show_stacks()
    channel = socket.socket(fileno=arguments.channel)
    channel.set_inheritable(False)
    os.set_inheritable(arguments.page, False)
    decoder = json_lines.Decoder()
    received: list[dict[str, Any] | bytes] = []
    while not received:
        data = channel.recv(1 << 16)
        if not data:
            return exit_codes.OK
        received = list(decoder.feed(data))
    first, *early = received
    assert isinstance(first, dict)
    start = messages.from_dict({"start": messages.Start}, first)
    settings = start.settings
    if settings.monkey_patch:
        from gevent import monkey

        monkey.patch_all()
    import gevent

    # Otherwise each greenlet would keep its spawner alive, and with it the payload of that job.
    gevent.config.track_greenlet_tree = False
    for folder in reversed(settings.import_path):
        # Symlinks are resolved now, so that later imports come from the same release even if a link is swapped.
        sys.path.insert(0, os.path.realpath(Path(settings.base, folder)))
    from gearpool import logs, uncaught
    from gearpool.page import Page

    logs.configure(settings.log)
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    from gearpool.children.channel import Channel

    return _serve(Channel(channel, decoder, early), Page.attach(arguments.page), start)


def _serve(channel: Channel, page: Page, start: messages.Start) -> int:
    from gearpool.children.worker_commands import Commands
    from gearpool.errors import ConfigurationError
    from gearpool.figures import Figures
    from gearpool.page import SIZE
    from gearpool.worker import forks
    from gearpool.worker.interrupts import Interrupts
    from gearpool.worker.loading import load_functions
    from gearpool.worker.pool import WorkerPool
    from gearpool.worker.stalls import Stalls

    settings = start.settings
    try:
        functions = load_functions(settings.functions, settings.concurrency)
    except ConfigurationError as error:
        channel.send(messages.Failed(list(error.problems)))
        return exit_codes.CONFIGURATION

    def replace(reason: str) -> None:
        commands.ask_to_be_replaced(reason)

    figures = Figures(page.memory, SIZE, len(settings.functions))
    pool = WorkerPool(
        functions,
        settings.servers,
        concurrency=settings.concurrency,
        reconnect=settings.reconnect,
        worker_id=settings.worker_id,
        base=settings.base,
        page=page,
        figures=figures,
        replace=replace,
    )
    pool.running.log_jobs = settings.log.jobs
    stalls = Stalls(figures, pool.failures, pool.functions)
    interrupts = Interrupts(pool.running, pool.greenlets, page, on_stall=stalls.began)
    commands = Commands(pool, channel, figures, stalls)
    pool.suspects.set_notes(start.poison, start.at_once)
    pool.incarnations.pids = start.server_pids
    interrupts.install()
    ignored = [getattr(signal, name) for name in (*_SUPERVISOR_SIGNALS, "SIGUSR2")]
    forks.install(pool.after_fork, lambda: [channel.descriptor, *pool.descriptors()], ignored)
    _tune_collector()
    pool.start()
    channel.send(messages.Ready())
    return commands.run()


def _tune_collector() -> None:
    """Exclude everything loaded so far from garbage collection, and collect less often.

    At its default thresholds the collector took a fifth of the CPU time with a thousand concurrent jobs.
    """
    gc.collect()
    gc.freeze()
    if gc.get_threshold() == (700, 10, 10):
        gc.set_threshold(10_000, 20, 50)


def _die_with_the_parent() -> None:
    """Have the kernel kill this process when the supervisor dies, even while a handler blocks."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(exit_codes.OK)


if __name__ == "__main__":
    leave(main())
