"""Logs events that peers can cause as often as they like, without letting them fill the log. Floor 2.

At most ``burst`` lines of one kind of event are logged in ``every_s`` seconds. The rest are counted, and the count is logged
with the next line of that kind (field ``left_out``), or by `LimitedLog.tell` if none comes. Nothing here raises or takes a
lock; calls from several threads at once may make the count wrong by a few.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gearpool import logs

BURST = 5
EVERY_S = 10.0
MAX_KINDS = 256
"""Kinds with a limit of their own. Further ones share a single limit, so that keys that a peer chooses cost no memory."""

_OTHERS = ("", "")


@dataclass(slots=True)
class _Kind:
    """One kind of event: how many lines its window has had, and the last one that was left out of it."""

    since: float
    logged: int = 0
    left_out: int = 0
    unsaid: tuple[int, str, str, dict[str, Any]] | None = None


class LimitedLog:
    """The limited log of one owner, which keeps it as long as its peers may come and go.

    Args:
        logger: where the lines go.
        burst: lines of one kind within ``every_s``; at least 1.
        every_s: the length of a window in seconds; it begins with its first line.
        clock: ``time.monotonic``, or a test's.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        burst: int = BURST,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._burst = burst
        self._every_s = every_s
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def emit(self, level: int, event: str, message: str = "", /, *, key: str = "", **fields: Any) -> bool:
        """Log as `logs.emit` does, or count the event as left out. True if it was logged.

        Args:
            level: as for `logs.emit`, like ``event``, ``message`` and ``fields``.
            event: the event; with ``key`` it makes the kind.
            message: a sentence for people.
            key: events of the same name with different keys have separate limits; for example a server's name.
            fields: what else is logged.
        """
        now = self._clock()
        kind = self._kind(event, key, now)
        if now - kind.since >= self._every_s:
            kind.since, kind.logged = now, 0
        if kind.logged >= self._burst:
            kind.left_out += 1
            # Without the exception, whose traceback would keep a job and its payload.
            kind.unsaid = (level, event, message, {name: value for name, value in fields.items() if name != "exc_info"})
            return False
        kind.logged += 1
        left_out, kind.left_out, kind.unsaid = kind.left_out, 0, None
        logs.emit(self._logger, level, event, message, **fields, left_out=left_out or None)
        return True

    def tell(self, *, all_of_them: bool = False) -> None:
        """Log how many were left out of each kind whose window has ended without a further event.

        Call it now and then, and with ``all_of_them`` at the end. What is logged is the last event that was left out;
        ``left_out`` counts those before it.
        """
        now = self._clock()
        for name, kind in list(self._kinds.items()):
            if not all_of_them and now - kind.since < self._every_s:
                continue
            unsaid, left_out = kind.unsaid, kind.left_out - 1
            self._kinds.pop(name, None)
            if unsaid is not None:
                level, event, message, fields = unsaid
                logs.emit(self._logger, level, event, message, **fields, left_out=left_out or None)

    def _kind(self, event: str, key: str, now: float) -> _Kind:
        name = (event, key)
        if name not in self._kinds and len(self._kinds) >= MAX_KINDS:
            name = _OTHERS
        return self._kinds.setdefault(name, _Kind(now))
