"""How long a session waits for its server, and what it takes for the server's silence. Floor 3; pure.

Law: only time in which this process was there to hear counts against a server. A process that was stopped (SIGSTOP, a
frozen container), or whose event loop one of its jobs blocked, finds its timers expired and the answers unread. A tick
that comes late tells so.
"""

from __future__ import annotations

from typing import NamedTuple


class Patience(NamedTuple):
    """The limits, in seconds. A test makes them short.

    Attributes:
        tick_s: how often sessions are looked at.
        regrab_s: an idle session grabs again this often, since gearmand 1.1.20 does not wake anybody when an EPOCH job
            becomes due. A server that has said nothing for so long is asked something.
        silent_s: a server that has said nothing for so long is taken for dead: with the tick it stays below 30 s.
        unanswered_s: how old a grab may become without an answer, whatever else the server says.
        doubted_s: the same for a server that has let a grab become too old, until it answers one.
        part_s: how long a server has to close its side of a connection that was retired.
        steady_s: how long a connection must have lasted for its server to be tried again without back-off.
    """

    tick_s: float = 1.0
    regrab_s: float = 5.0
    silent_s: float = 15.0
    unanswered_s: float = 15.0
    doubted_s: float = 2.0
    part_s: float = 1.0
    steady_s: float = 10.0


class Tick(NamedTuple):
    """One look at the sessions.

    Attributes:
        now: ``time.monotonic()``.
        heard_s: how much of the time since the last look this process was there to hear; at most ``tick_s``.
        away_s: how much of it the process was stopped or blocked; 0.0 if the look is in time.
        in_time: whether anybody may be judged at this look: one that comes late has not read what came meanwhile.
    """

    now: float
    heard_s: float
    away_s: float
    in_time: bool


def tick(elapsed_s: float, now: float, tick_s: float) -> Tick:
    """What a look means that comes ``elapsed_s`` after the last one."""
    late = elapsed_s > 1.5 * tick_s
    return Tick(
        now=now,
        heard_s=min(elapsed_s, tick_s),
        away_s=elapsed_s - tick_s if late else 0.0,
        # A look that was late is followed by one at once: too soon to tell, too.
        in_time=not late and elapsed_s >= 0.5 * tick_s,
    )


class Silence:
    """For how long a peer has said nothing, counted at ticks.

    Attributes:
        seconds: of silence that we heard.
    """

    __slots__ = ("_asked_s", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._asked_s = 0.0

    def broken(self) -> None:
        """The peer has said something, or nobody listened."""
        self.seconds = self._asked_s = 0.0

    def lasts(self, tick: Tick, patience: Patience) -> None:
        """Nothing was heard since the last tick."""
        self.seconds += tick.heard_s
        if tick.away_s >= patience.regrab_s:
            # Both may have been away, on a machine that was suspended: ask once more, and leave time for the answer.
            self.seconds = min(self.seconds, patience.silent_s - patience.regrab_s)
            self._asked_s = self.seconds - patience.regrab_s

    def must_ask(self, patience: Patience) -> bool:
        """Whether it is time to ask something; once each ``regrab_s``."""
        if self.seconds - self._asked_s < patience.regrab_s:
            return False
        self._asked_s = self.seconds
        return True

    def is_over(self, limit_s: float, tick: Tick, patience: Patience) -> bool:
        """Whether it has lasted for ``limit_s``, judged at ``tick``."""
        # A process whose every tick is late, since its jobs block it again and again, gets to a verdict, too: by then it
        # has looked at its connections several times since the limit.
        return self.seconds >= (limit_s if tick.in_time else limit_s + patience.regrab_s)
