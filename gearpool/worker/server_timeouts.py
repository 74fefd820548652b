"""How long a session waits for its server before it probes or drops the connection. Floor 3; pure.

Invariant: only time in which this process was able to read counts against a server. After a SIGSTOP, a frozen container
or a job that blocked the event loop, timers have expired and answers are still unread. A late tick reveals that.
"""

from __future__ import annotations

from typing import NamedTuple


class ServerTimeouts(NamedTuple):
    """The limits, in seconds. Tests shorten them.

    Attributes:
        tick_s: how often sessions are checked.
        regrab_s: an idle session grabs again this often, because gearmand 1.1.20 wakes no worker when an EPOCH job becomes
            due. A server that has been silent for this long is sent a probe.
        silent_s: a server that has been silent for this long is considered dead. Together with the tick this is below 30 s.
        unanswered_s: the maximum age of an unanswered grab, even if the server sends other packets.
        unresponsive_s: the same for a server that has let a grab expire, until it answers one.
        finish_s: how long a server has to close its side of a connection after we have closed ours.
        stable_s: a connection that lasted this long is reopened without back-off when it is lost.
    """

    tick_s: float = 1.0
    regrab_s: float = 5.0
    silent_s: float = 15.0
    unanswered_s: float = 15.0
    unresponsive_s: float = 2.0
    finish_s: float = 1.0
    stable_s: float = 10.0


class Tick(NamedTuple):
    """One periodic check of the sessions.

    Attributes:
        now: ``time.monotonic()``.
        active_s: how much of the time since the last tick this process was able to read; at most ``tick_s``.
        paused_s: how much of it the process was stopped or blocked; 0.0 if the tick is on time.
        in_time: whether connections may be dropped at this tick. After a late one there may be unread answers.
    """

    now: float
    active_s: float
    paused_s: float
    in_time: bool


def make_tick(elapsed_s: float, now: float, tick_s: float) -> Tick:
    """The tick that comes ``elapsed_s`` after the last one."""
    late = elapsed_s > 1.5 * tick_s
    return Tick(
        now=now,
        active_s=min(elapsed_s, tick_s),
        paused_s=elapsed_s - tick_s if late else 0.0,
        # The timer fires again right after a late tick: the answers may still be unread then.
        in_time=not late and elapsed_s >= 0.5 * tick_s,
    )


class SilenceTimer:
    """Measures for how long a server has sent nothing, in ticks.

    Attributes:
        seconds: of silence, without the time in which we could not read.
    """

    __slots__ = ("_probed_s", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._probed_s = 0.0

    def reset(self) -> None:
        """The server has sent something."""
        self.seconds = self._probed_s = 0.0

    def add(self, tick: Tick, timeouts: ServerTimeouts) -> None:
        """Nothing was received since the last tick."""
        self.seconds += tick.active_s
        if tick.paused_s >= timeouts.regrab_s:
            # A suspended machine may have stopped the server, too: probe once more, and leave time for the answer.
            self.seconds = min(self.seconds, timeouts.silent_s - timeouts.regrab_s)
            self._probed_s = self.seconds - timeouts.regrab_s

    def should_probe(self, timeouts: ServerTimeouts) -> bool:
        """Whether a probe is due; true once per ``regrab_s``."""
        if self.seconds - self._probed_s < timeouts.regrab_s:
            return False
        self._probed_s = self.seconds
        return True

    def exceeds(self, limit_s: float, tick: Tick, timeouts: ServerTimeouts) -> bool:
        """Whether the silence has lasted for ``limit_s``, as of ``tick``."""
        # In a process whose every tick is late, because its jobs keep blocking it, dead servers must be found, too. By
        # then it has read its connections several times since the limit.
        return self.seconds >= (limit_s if tick.in_time else limit_s + timeouts.regrab_s)
