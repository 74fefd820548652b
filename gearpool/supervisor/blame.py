"""Which jobs have killed their process, and which may have: the memory that outlives the process. Floor 4; pure.

A job is known by its server, its function and its unique id. One without a unique id is known by its handle instead,
and only as long as its server is: handles start at 1 again when a server restarts. The same unique id on two servers is
two jobs: job servers know nothing of each other, and neither do those who number their jobs.

Law: a job that was on the CPU, or that was the only one in flight, is blamed. Of several in flight all are suspects. The
only one of them that was suspected before is blamed; if there are more of those, at most half of them are run at once in
a process from then on, and so on down to one. So whoever kills is found after a few deaths more than the binary logarithm
of how many jobs were in flight, and the others have long been done.

What is known of a job is forgotten when a result of it is reported, whatever result: the next one under that unique id
is another job. A reload that takes new processes forgets it all, since the code may be mended.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gearpool.jobs import job_key
from gearpool.policy import CONDEMNED
from gearpool.timing import Clock

MAX_KNOWN = 20_000
"""Jobs remembered; the one seen in a death longest ago is forgotten first."""
FORGET_S = 24 * 3600.0
"""So is one that was in no death for so long."""
ENOUGH = 20
"""Who was among the suspects of so many deaths is blamed for each that follows, whoever was beside it."""


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
        """What it is known by."""
        return self.function, self.server, job_key(self.handle, self.unique).decode("utf-8", "surrogateescape")


Key = tuple[str, str, str]
"""Function, server, identity (see `jobs.job_key`)."""
Entry = list[str | int]
"""What a worker is told of a job: function, server, identity, deaths it is blamed for, deaths it is suspected of."""


@dataclass
class _Known:
    kills: int = 0
    suspected: int = 0
    at: float = 0.0


class Blame:
    """Counts deaths by job.

    Attributes:
        at_once: how many of those that are suspected of two deaths or more may run at once in a process; None: all.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self.at_once: int | None = None

    def certain(self, suspect: Suspect) -> int:
        """It was this one. Returns its kills so far."""
        known = self._note(suspect)
        known.kills += 1
        return known.kills

    def condemn(self, suspect: Suspect) -> None:
        """The job is not to be run again: an operator has killed it together with its process."""
        self._note(suspect).kills = CONDEMNED

    def kills(self, suspect: Suspect) -> int:
        """How many deaths the job is blamed for."""
        known = self._known.get(suspect.key)
        return 0 if known is None else known.kills

    def judge(self, suspects: Sequence[Suspect]) -> list[Suspect]:
        """It was one of these. Returns who is blamed for it, which may be nobody yet."""
        if len(suspects) == 1:
            self.certain(suspects[0])
            return [suspects[0]]
        self._forget_old()
        before = [suspect for suspect in suspects if suspect.key in self._known]
        blamed = before if len(before) == 1 else []
        for suspect in suspects:
            known = self._note(suspect)
            known.suspected += 1
            if known.suspected > ENOUGH and suspect not in blamed:
                blamed.append(suspect)
        for suspect in blamed:
            self._known[suspect.key].kills += 1
        if before:
            self.at_once = max(1, len(before) // 2)
        return blamed

    def reported(self, keys: Iterable[Key]) -> None:
        """Results of these were reported."""
        for key in keys:
            self._known.pop(key, None)
        if self.at_once is not None and not any(known.suspected > 1 for known in self._known.values()):
            self.at_once = None

    def lost(self, server: str) -> list[Key]:
        """The server may have restarted: its handles may be other jobs' now. Returns who is forgotten."""
        keys = [key for key in self._known if key[1] == server and not is_unique(key[2])]
        self.reported(keys)
        return keys

    def entry(self, key: Key) -> Entry:
        """What is to be told of one job; with zeros if there is nothing any more."""
        known = self._known.get(key) or _Known()
        return [*key, known.kills, known.suspected]

    def entries(self) -> list[Entry]:
        """All of it, for a worker that starts."""
        self._forget_old()
        return [self.entry(key) for key in self._known]

    def _note(self, suspect: Suspect) -> _Known:
        known = self._known.setdefault(suspect.key, _Known())
        known.at = self._clock()
        self._known.move_to_end(suspect.key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return known

    def _forget_old(self) -> None:
        oldest = self._clock() - FORGET_S
        while self._known and next(iter(self._known.values())).at < oldest:
            self._known.popitem(last=False)


def is_unique(identity: str) -> bool:
    """Whether a job is known by its unique id, and not by its handle."""
    return identity.startswith("u")
