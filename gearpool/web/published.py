"""What the supervisor has published: the only source of what is shown of the daemon. Floor 3; pure.

Nothing here asks a worker, so it can be read while all of them are blocked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gearpool.timing import Clock

Object = dict[str, Any]

NO_FAILURES: Object = {"failures": [], "stalls": [], "forgotten": {"failures": 0, "stalls": 0}}


class Published:
    """The last status and failures.

    Attributes:
        status: `gearpool.status.DaemonStatus`; empty before the first.
        failures: `gearpool.status.FailuresAnswer`.
        on_update: called after each update.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self.status: Object = {}
        self.failures: Object = NO_FAILURES
        self.on_update: list[Callable[[], object]] = []

    @property
    def age_s(self) -> float:
        """Seconds since the last update, or since this was created."""
        return self._clock() - self._at

    def update(self, status: Object, failures: Object | None) -> None:
        """Replace the status, and the failures unless they have not changed (None)."""
        self._at = self._clock()
        self.status = status
        if failures is not None:
            self.failures = failures
        for call in self.on_update:
            call()
