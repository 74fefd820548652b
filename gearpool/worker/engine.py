"""The parts that all sessions of one process share. Floor 3."""

from __future__ import annotations

from dataclasses import dataclass

from gearpool.worker.abandoned import Abandoned
from gearpool.worker.admission import Admission
from gearpool.worker.greenlet_pool import GreenletPool
from gearpool.worker.retries import Retries
from gearpool.worker.running import Running
from gearpool.worker.server_log import ServerLog
from gearpool.worker.server_timeouts import ServerTimeouts
from gearpool.worker.suspects import Suspects
from gearpool.worker.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Engine:
    """The shared parts, built by the pool and handed down. It refers to no session, lane or pool.

    Attributes:
        admission: slots, budget, quiet.
        greenlets: run the handlers.
        running: the running jobs.
        verdicts: reports, retries or gives up failed jobs.
        retries: jobs that wait for their next attempt.
        suspects: jobs that ran when a process died.
        abandoned: jobs reported without waiting for their handler.
        server_log: rate-limited log of what servers cause.
        timeouts: how long to wait for servers.
        max_packet: the largest packet accepted from a server, in bytes.
        worker_id: template of the client id sent to servers.
    """

    admission: Admission
    greenlets: GreenletPool
    running: Running
    verdicts: Verdicts
    retries: Retries
    suspects: Suspects
    abandoned: Abandoned
    server_log: ServerLog
    timeouts: ServerTimeouts
    max_packet: int
    worker_id: str | None
