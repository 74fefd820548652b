"""What a process that is nothing but a job server does around it. Floor 3."""

from __future__ import annotations

import gc
import logging
import resource
from collections.abc import Callable, Sequence

import gevent
from gevent.event import Event

from gearpool import logs
from gearpool.server.shell import JobServer
from gearpool.timing import Deadline

log: logging.Logger = logging.getLogger("gearpool.server")

_MANY_DESCRIPTORS = 65_536


def tune_collector() -> None:
    """Keep Python's cycle collector from walking over every waiting job again and again.

    Jobs are freed by reference counts: the core makes no cycles but a peer's, which it undoes (a test holds it so). A
    full collection over a million jobs would stop the server for a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000_000)


def allow_descriptors(wanted: int | None = None) -> int:
    """Raise this process's limit of file descriptors to ``wanted``, or else as far as it may; the limit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if wanted is None else wanted
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    elif wanted is None:
        limit = max(soft, _MANY_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit


def run_until(server: JobServer, signals: Sequence[int], deadline: Callable[[], Deadline]) -> None:
    """Serve until one of ``signals`` comes, then stop within ``deadline()``; a second one stops at once."""
    asked = Event()
    hasten = Event()

    def on_signal() -> None:
        if asked.is_set():
            hasten.set()
        asked.set()

    watchers = [gevent.signal_handler(number, on_signal) for number in signals]
    try:
        asked.wait()
        stopping = gevent.spawn(server.stop, deadline())
        done = gevent.spawn(lambda: gevent.wait([stopping, hasten], count=1))
        done.join()
        if not stopping.dead:
            stopping.kill()
            server.stop(Deadline.after(0))
    finally:
        for watcher in watchers:
            watcher.cancel()
    tell_lost_jobs(server)


def tell_lost_jobs(server: JobServer) -> None:
    """After the last stop: log how many background jobs went with the memory that they were kept in."""
    if server.lost_jobs:
        text = (
            f"background jobs that had not been run are lost with the job server's memory: {server.lost_jobs}; "
            "a store keeps them in a file (embedded: {store: PATH}, gearpool server --store PATH)"
        )
        logs.emit(log, logging.WARNING, "server.lost_jobs", text, jobs=server.lost_jobs)
