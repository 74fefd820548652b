"""The greenlets that run jobs, used again and again. Floor 3.

Law: a member runs one piece of work at a time and parks when it is done; `run` takes a parked one before it makes a new
one (spawning costs several times what a quick job does). `run` is called in the hub, or anywhere when nothing depends on
the work starting at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import Greenlet, getcurrent
from gevent.hub import get_hub

from gearpool.worker.forks import leave

KEEP = 128
"""Parked greenlets kept for the next burst; more are let go."""

Work = Callable[[], None]


class Crew:
    """A pool of greenlets without a limit of its own: the slots limit it.

    Attributes:
        members: the greenlets that run or are parked.
        forked: this process is a copy that a handler has made (see `forks`): it ends with its handler.
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
        """Have ``work`` run in a greenlet: at once if called in the hub and one is parked, else soon."""
        if not self._idle:
            # In a list, which it empties: a greenlet keeps its arguments as long as it lives.
            member = Greenlet(self._serve, [work])
            self.members.add(member)
            member.start()
        elif getcurrent() is self._hub:
            self._idle.pop().switch(work)
        else:
            self._hub.loop.run_callback(self._idle.pop().switch, work)

    def close(self) -> None:
        """Let the parked members go."""
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
                if len(idle) >= KEEP:
                    return
                idle.append(me)
                work = hub.switch()
        finally:
            self.members.discard(me)
