"""Remembers which jobs have killed their worker process, and which are suspected of it. Floor 4; pure.

A job is identified by server, function and unique id. A job without a unique id is identified by its handle, and only
until its server restarts, because handles then start at 1 again. The same unique id on two servers means two jobs.

Invariant: a job that was on the CPU, or was the only one in flight, is blamed. If several were in flight, all of them
become suspects. If exactly one of them was a suspect before, it is blamed. If several were, a worker runs at most half
of them at a time from then on, down to one. This bisection finds the culprit among n jobs after about log2(n) deaths.

A job's record is dropped when any result of it is reported, because its unique id may then stand for a new job. A reload
that starts new processes drops all records, because the code may have been fixed.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gearpool.jobs import job_key
from gearpool.policy import CONDEMNED
from gearpool.timing import Clock

MAX_RECORDS = 20_000
"""Jobs remembered. Beyond this, the one whose last death is oldest is dropped."""
FORGET_S = 24 * 3600.0
"""A job that was not involved in a death for this long is dropped."""
MAX_SUSPICIONS = 20
"""A job suspected of more deaths than this is blamed for each further one, whatever else was in flight."""


class Suspect(NamedTuple):
    """A job that was in flight, or on the CPU, when a process died.

    Attributes:
        function: its function's name.
        server: its server's name.
        handle: its handle.
        unique: its unique id, may be empty.
    """

    function: str
    server: str
    handle: bytes
    unique: bytes

    @property
    def key(self) -> Key:
        """The key of its record."""
        return self.function, self.server, job_key(self.handle, self.unique).decode("utf-8", "surrogateescape")


Key = tuple[str, str, str]
"""Function, server, identity (see `jobs.job_key`)."""
Entry = list[Any]
"""A record as sent to workers: function, server, identity, deaths blamed on the job, deaths it is suspected of."""


@dataclass
class _Record:
    kills: int = 0
    suspicions: int = 0
    updated: float = 0.0


class Blame:
    """Counts deaths by job.

    Attributes:
        at_once: how many jobs suspected of two or more deaths one process may run at a time; None: no limit.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._records: OrderedDict[Key, _Record] = OrderedDict()
        self.at_once: int | None = None

    def blame(self, suspect: Suspect) -> int:
        """Record a death that this job has certainly caused. Returns how many that makes."""
        record = self._touch(suspect)
        record.kills += 1
        return record.kills

    def condemn(self, suspect: Suspect) -> None:
        """Make sure that the job is never run again: an operator killed it together with its process."""
        self._touch(suspect).kills = CONDEMNED

    def kills(self, suspect: Suspect) -> int:
        """How many deaths the job is blamed for."""
        record = self._records.get(suspect.key)
        return 0 if record is None else record.kills

    def suspect(self, suspects: Sequence[Suspect]) -> list[Suspect]:
        """Record a death that one of these jobs has caused. Returns those blamed for it, which may be none yet."""
        if len(suspects) == 1:
            self.blame(suspects[0])
            return [suspects[0]]
        self._drop_old()
        before = [suspect for suspect in suspects if suspect.key in self._records]
        blamed = before if len(before) == 1 else []
        for suspect in suspects:
            record = self._touch(suspect)
            record.suspicions += 1
            if record.suspicions > MAX_SUSPICIONS and suspect not in blamed:
                blamed.append(suspect)
        for suspect in blamed:
            self._records[suspect.key].kills += 1
        if before:
            self.at_once = max(1, len(before) // 2)
        return blamed

    def reported(self, keys: Iterable[Key]) -> None:
        """Drop the records of jobs whose results were reported."""
        for key in keys:
            self._records.pop(key, None)
        if self.at_once is not None and not any(record.suspicions > 1 for record in self._records.values()):
            self.at_once = None

    def lost(self, server: str) -> list[Key]:
        """Drop jobs known by a handle of this server, which may have restarted. Returns the dropped keys."""
        keys = [key for key in self._records if key[1] == server and not is_unique(key[2])]
        self.reported(keys)
        return keys

    def entry(self, key: Key) -> Entry:
        """The record of one job for the workers; zeros if there is none."""
        record = self._records.get(key) or _Record()
        return [*key, record.kills, record.suspicions]

    def entries(self) -> list[Entry]:
        """All records, for a worker that starts."""
        self._drop_old()
        return [self.entry(key) for key in self._records]

    def _touch(self, suspect: Suspect) -> _Record:
        record = self._records.setdefault(suspect.key, _Record())
        record.updated = self._clock()
        self._records.move_to_end(suspect.key)
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)
        return record

    def _drop_old(self) -> None:
        oldest = self._clock() - FORGET_S
        while self._records and next(iter(self._records.values())).updated < oldest:
            self._records.popitem(last=False)


def is_unique(identity: str) -> bool:
    """Whether a job is identified by its unique id, not by its handle."""
    return identity.startswith("u")
