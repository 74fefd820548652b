"""Which jobs of a connection are to be asked about, and which submissions count as unanswered. Floor 3; pure.

Law: decided for all jobs of a connection together, so that there is one question at a time for a server however many
jobs are awaited. When each is due is the rule of `Submission.pause`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.session import Call, Session
from gearpool.client.submission import CHECK_S, CHECK_SOON_S


@dataclass(slots=True)
class Due:
    """What is due now.

    Attributes:
        unanswered: submissions that the server has left without an answer.
        ask: jobs whose server is to be asked whether it still knows them.
        next_at: when to look again, on the monotonic clock; infinite when nothing is under way.
    """

    unanswered: list[AsyncJob] = field(default_factory=list)
    ask: list[AsyncJob] = field(default_factory=list)
    next_at: float = math.inf


def due(session: Session, now: float, heard_at: float, request_timeout: float) -> Due:
    """What is due of a connection.

    Args:
        session: the connection's.
        now: on the monotonic clock.
        heard_at: when bytes last came.
        request_timeout: seconds of silence after which a submission counts as unanswered.
    """
    found = Due()
    for job in _jobs(session.pending):
        silent_at = max(job.since, heard_at) + request_timeout
        if silent_at > now:  # in the order in which they were sent: those behind it are not due earlier
            found.next_at = silent_at
            break
        found.unanswered.append(job)
    for job in _jobs(session.followed()):
        at = max(job.since, job.checked_at) + job.pause(job.checks, 0.0)
        if at > now:
            found.next_at = min(found.next_at, at)
        else:
            found.ask.append(job)
    return found


def doubtful(session: Session, but: Iterable[AsyncJob]) -> list[AsyncJob]:
    """The jobs of a connection that may have been discarded together, without those that were asked about."""
    asked = set(but)
    return [job for job in _jobs(session.followed()) if job.doubtful and job not in asked]


def first_due(jobs: Iterable[AsyncJob], now: float, request_timeout: float) -> float:
    """When something may be due of jobs that are sent now, on the monotonic clock."""
    return now + min(request_timeout, CHECK_SOON_S if any(job.doubtful for job in jobs) else CHECK_S)


def _jobs(calls: Iterable[Call]) -> Iterable[AsyncJob]:
    return (call for call in calls if isinstance(call, AsyncJob) and not call.over)
