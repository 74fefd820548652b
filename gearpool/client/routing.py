"""Which server a job goes to. Floor 3; pure, with the clock handed in.

Rendezvous hashing (Thaler and Ravishankar, 1996): each server gets a score from its name, the function and the unique
id, and the highest wins. So every client sends the same unique to the same server and coalescing works; adding a server
moves only the share that the new one wins; and the order of the others is the order of fail-over.

A server that cannot be reached rests for a while (cool-down) so that not every call pays for finding out again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from gearpool.timing import Backoff, Clock

COOL_DOWN_S = 0.5
COOL_DOWN_MOST_S = 30.0


def rank(servers: Iterable[str], function: bytes, unique: bytes) -> list[str]:
    """The servers, the one for this job first, then those that take over if it is down."""
    key = b"\0" + function + b"\0" + unique

    def score(server: str) -> bytes:
        return blake2b(server.encode() + key, digest_size=8).digest()

    return sorted(servers, key=score, reverse=True)


class Health:
    """Which of the servers are worth trying now."""

    def __init__(self, servers: Sequence[str], clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._backoffs = {server: Backoff(COOL_DOWN_S, COOL_DOWN_MOST_S) for server in servers}
        self._rests_until = dict.fromkeys(servers, float("-inf"))
        self.reasons: dict[str, str] = {}
        """Why each server that is down was found so."""

    def failed(self, server: str, reason: str) -> float:
        """It could not be reached; the seconds it rests now."""
        delay = self._backoffs[server].next()
        self._rests_until[server] = self._clock() + delay
        self.reasons[server] = reason
        return delay

    def worked(self, server: str) -> None:
        """It was reached."""
        self._backoffs[server].reset()
        self._rests_until[server] = float("-inf")
        self.reasons.pop(server, None)

    def resting(self, server: str) -> bool:
        """True while it is in its cool-down."""
        return self._clock() < self._rests_until[server]

    def rests(self, server: str) -> float:
        """Seconds until its cool-down is over."""
        return max(0.0, self._rests_until[server] - self._clock())

    def preferred(self, ranked: Sequence[str]) -> list[str]:
        """``ranked`` with those that rest moved to the end: they are tried when no other is left."""
        awake = [server for server in ranked if not self.resting(server)]
        return awake + [server for server in ranked if self.resting(server)]
