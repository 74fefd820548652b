"""Groups the failures and stalls of one process until they are sent to the supervisor. Floor 3.

Invariant: at most `MAX_PENDING` groups of each kind wait, however many jobs fail in however many ways; what is beyond is
counted. A group holds no payload and keeps no exception or frame alive. Without a supervisor nothing is recorded.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gearpool.jobs import Job
from gearpool.messages import Failures as FailuresMessage
from gearpool.places import (
    Frame,
    Raised,
    chain_of,
    cut_message,
    exception_name,
    message_of,
    place_of,
    stack_of,
    written,
    written_stack,
)
from gearpool.status import FailureGroup, StallGroup, group_id
from gearpool.worker.functions import Function

MAX_PENDING = 100
MAX_KNOWN = 1000

POISONED = "poisoned job"
FOREIGN = "job of another function"
"""What stands for the exception of jobs that were not run."""


@dataclass
class _Failure:
    group: FailureGroup
    chain: list[Raised]


@dataclass
class _Stall:
    group: StallGroup
    frames: tuple[Frame, ...]


class Failures:
    """What has failed and blocked since the last `take`.

    Attributes:
        on_new: called when a group is seen for the first time, so that it is sent at once; None if nobody is told.
    """

    def __init__(self) -> None:
        self.on_new: Callable[[], object] | None = None
        self._failures: dict[str, _Failure] = {}
        self._stalls: dict[str, _Stall] = {}
        self._left_out = [0, 0]
        self._known: set[str] = set()

    def failed(self, function: Function, job: Job, outcome: str, error: BaseException, greenlet: Any = None) -> None:
        """A job of ``function`` has ended as ``outcome`` because of ``error``.

        ``greenlet`` is its handler's: if the error was raised nowhere, it shows where that still runs.
        """
        if self.on_new is None:
            return
        chain = chain_of(error)
        frames = chain[-1].frames or stack_of(getattr(greenlet, "gr_frame", None))
        if not chain[-1].frames and frames:
            chain[-1] = chain[-1]._replace(frames=frames)
        self._add_failure(function, job, outcome, exception_name(error), message_of(error), chain)

    def refused(self, function: Function, job: Job, outcome: str, kind: str, reason: str) -> None:
        """A job was not run; ``kind`` stands for the exception."""
        if self.on_new is not None:
            self._add_failure(function, job, outcome, kind, cut_message(reason), [])

    def stalled(self, function: Function | None, handle: str | None, frames: tuple[Frame, ...], seconds: float) -> None:
        """A handler of ``function``, or something unknown, has blocked the event loop at ``frames``."""
        if self.on_new is None:
            return
        name = function.name if function is not None else ""
        place = place_of(frames, _package(function), sys.path)
        now = time.time()
        group: StallGroup = {
            "id": group_id(name, "stall", place), "function": name, "place": place, "count": 1, "total_s": seconds,
            "longest_s": seconds, "first": now, "last": now, "stack": "", "handle": handle, "worker": os.getpid(),
        }  # fmt: skip
        known = self._stalls.get(group["id"])
        if known is not None:
            group["first"] = known.group["first"]
            group["count"] = known.group["count"] + 1
            group["total_s"] += known.group["total_s"]
            group["longest_s"] = max(seconds, known.group["longest_s"])
        if known is None and len(self._stalls) >= MAX_PENDING:
            self._left_out[1] += 1
            return
        self._stalls[group["id"]] = _Stall(group, frames)
        self._tell(group["id"])

    def take(self) -> FailuresMessage | None:
        """What has been recorded since the last call; None if nothing has."""
        if not (self._failures or self._stalls or any(self._left_out)):
            return None
        failures, self._failures = self._failures, {}
        stalls, self._stalls = self._stalls, {}
        left_out, self._left_out = self._left_out, [0, 0]
        # The source lines are read here and not when a job fails: once for each group.
        return FailuresMessage(
            [{**each.group, "traceback": written(each.chain)} for each in failures.values()],
            [{**each.group, "stack": written_stack(each.frames)} for each in stalls.values()],
            left_out,
        )

    def _add_failure(
        self, function: Function, job: Job, outcome: str, exception: str, message: str, chain: list[Raised]
    ) -> None:
        place = place_of(chain[-1].frames, _package(function), sys.path) if chain else ""
        now, key = time.time(), group_id(function.name, exception, place)
        known = self._failures.get(key)
        if known is None and len(self._failures) >= MAX_PENDING:
            self._left_out[0] += 1
            return
        group: FailureGroup = {
            "id": key, "function": function.name, "exception": exception[:200], "place": place, "outcome": outcome,
            "count": 1 if known is None else known.group["count"] + 1,
            "first": now if known is None else known.group["first"], "last": now, "message": message, "traceback": "",
            "handle": job.handle, "unique": job.unique or None, "server": job.server, "attempt": job.attempt,
            "worker": os.getpid(),
        }  # fmt: skip
        self._failures[key] = _Failure(group, chain)
        self._tell(key)

    def _tell(self, key: str) -> None:
        if key in self._known or self.on_new is None:
            return
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known.add(key)
        self.on_new()


def _package(function: Function | None) -> str:
    return function.settings.handler.replace(":", ".").partition(".")[0] if function is not None else ""
