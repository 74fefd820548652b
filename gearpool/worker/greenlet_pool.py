"""Reuses the greenlets that run jobs. Floor 3.

A greenlet runs one piece of work at a time and then parks. `run` prefers a parked greenlet, because spawning one costs
several times as much as a quick job. In the hub, `run` may start the work immediately; elsewhere it starts soon.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import Greenlet, getcurrent
from gevent.hub import get_hub

from gearpool.worker.forks import leave

MAX_PARKED = 128
"""The number of parked greenlets to keep; any more are ended."""

Work = Callable[[], None]


class GreenletPool:
    """A pool of greenlets, limited only by the slots.

    Attributes:
        members: all running and parked greenlets.
        forked: this process was forked by a handler and ends with it (see `forks`).
    """

    def __init__(self) -> None:
        self._hub: Any = None
        self._idle: list[Any] = []
        self.members: set[Any] = set()
        self.forked = False

    def start(self) -> None:
        """Bind to the event loop of the calling thread: all greenlets run there."""
        self._hub = get_hub()

    def run(self, work: Work) -> None:
        """Run ``work`` in a greenlet: immediately if called in the hub while one is parked, otherwise soon."""
        if not self._idle:
            # In a list that it empties, because a greenlet keeps its arguments alive.
            member = Greenlet(self._serve, [work])
            self.members.add(member)
            member.start()
        elif getcurrent() is self._hub:
            self._idle.pop().switch(work)
        else:
            self._hub.loop.run_callback(self._idle.pop().switch, work)

    def close(self) -> None:
        """End the parked greenlets."""
        while self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch, None)

    def _serve(self, first: list[Work]) -> None:
        me = getcurrent()
        work: Work | None = first.pop()
        hub, idle = self._hub, self._idle
        try:
            while work is not None:
                work()
                work = None
                if self.forked:
                    leave()
                if len(idle) >= MAX_PARKED:
                    return
                idle.append(me)
                work = hub.switch()
        finally:
            self.members.discard(me)
