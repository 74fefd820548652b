"""The worker processes: how many there should be, of which configuration, and who replaces whom. Floor 4.

Law: `_settle` alone starts and drains; everything else changes what is wanted and calls it. A child that serves is
drained only when another that is ready takes its place, or when fewer are wanted. Children of a new configuration come
all or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gearpool import logs
from gearpool.settings import Settings, to_json
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import Child, beat_fields
from gearpool.supervisor.deaths import Deaths
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.restarts import Restarts
from gearpool.supervisor.starting import Starts
from gearpool.supervisor.states import Stage, Turn
from gearpool.supervisor.totals import Totals

DRAIN_GRACE_S = 2.4
"""After the drain deadline a worker still has so long to give its jobs back before it is killed."""
RETRY_S = 1.0
"""After the system would not start a process."""

_GIVEN_UP = "given up"
_NOT_NEEDED = "not needed any more"
_DRAIN = "drain"
_ON_PURPOSE = frozenset({_GIVEN_UP, _NOT_NEEDED, _DRAIN})

log = logging.getLogger("gearpool.supervisor")


@dataclass
class Arrival:
    """A configuration whose children are being started.

    Attributes:
        ready: called when all are ready and the old ones have been told to drain.
        failed: called with why, when one has gone before that; the others are killed.
    """

    settings: Settings
    generation: int
    ready: Callable[[], object]
    failed: Callable[[list[str], int | None], object]
    children: list[Child] = field(default_factory=list)


@dataclass(frozen=True)
class Hooks:
    """What the pool tells the daemon."""

    message: Callable[[Child, Message], object]
    """A message that is not the pool's own."""
    ready: Callable[[Child], object]
    gone: Callable[[Child], object]
    crash_loop: Callable[[], object]


class Pool:
    """The workers.

    Attributes:
        settings: the configuration in force; None before the first children are ready.
        wanted: how many workers there should be.
        unclean: whether the last drain had to cut off a job.
        restarts: replacements by reason, for the metrics.
    """

    def __init__(self, loop: Loop, argv: Sequence[str], starts: Starts, hooks: Hooks) -> None:
        self._loop = loop
        self._starts = starts
        self._argv = argv
        self._hooks = hooks
        self._children: dict[int, Child] = {}
        self._settings: dict[int, Settings] = {}
        self._arrival: Arrival | None = None
        self._generation = 0
        self._backoff = Restarts()
        self._held: Timer | None = None
        self._empty: Callable[[], object] | None = None
        self.settings: Settings | None = None
        self.wanted = 0
        self.quiet = False
        self.paused: set[str] = set()
        self._deaths = Deaths(self._tell_current)
        self.totals = Totals()
        self.restarts: dict[str, int] = {}
        self.unclean = False

    # -- what there is

    def all(self) -> list[Child]:
        """Every worker process, oldest first."""
        return list(self._children.values())

    def serving(self) -> list[Child]:
        """Those that take jobs."""
        return [child for child in self._children.values() if child.serving]

    def settings_of(self, child: Child) -> Settings:
        """The configuration it works by."""
        return self._settings[child.generation]

    def find(self, pid: int) -> Child | None:
        """The worker with this process id."""
        return self._children.get(pid)

    @property
    def generation(self) -> int:
        """Number of the configuration in force."""
        return self._generation

    @property
    def drain_timeout_s(self) -> float:
        """Of the configuration in force, at the first start of the one that comes; 0 before there is any."""
        settings = self.settings or (self._arrival.settings if self._arrival is not None else None)
        return settings.drain_timeout_s if settings is not None else 0.0

    # -- what is wanted

    def introduce(
        self,
        settings: Settings,
        ready: Callable[[], object],
        failed: Callable[[list[str], int | None], object],
    ) -> None:
        """Start the children of a configuration; when all are ready those of the one before are drained."""
        arrival = Arrival(settings, max([self._generation, *self._settings]) + 1, ready, failed)
        self._settings[arrival.generation] = settings
        self._arrival = arrival
        try:
            for _ in range(settings.processes):
                arrival.children.append(self._start(arrival.generation))
        except OSError as error:
            self.give_up([f"cannot start a worker: {error}"])

    def give_up(self, problems: list[str], code: int | None = None) -> None:
        """The configuration that is arriving is not to be used: end its children, keep the old."""
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            for child in arrival.children:
                child.kill(_GIVEN_UP)
            arrival.failed(problems, code)

    def apply(self, settings: Settings) -> None:
        """Use a configuration that differs only in what can be changed while jobs run."""
        if self.settings is not None and settings.processes != self.settings.processes:
            self.wanted = settings.processes
        self.settings = settings
        self._settings[self._generation] = settings
        for child in self._children.values():
            if child.generation == self._generation and child.stage is not Stage.DRAINING:
                child.send({"do": "apply", "settings": to_json(settings)})
                if self.quiet:
                    child.send({"do": "quiet"})
        self._settle()

    def resize(self, wanted: int) -> None:
        """Have so many workers, at least one."""
        self.wanted = max(1, wanted)
        self._settle()

    def be_quiet(self, quiet: bool) -> None:
        """Stop grabbing everywhere, or go on; holds for children to come too."""
        self.quiet = quiet
        self.tell({"do": "quiet" if quiet else "resume"})

    def pause(self, function: str, paused: bool) -> None:
        """Stop grabbing one function's jobs, or go on; holds for children to come too."""
        if paused:
            self.paused.add(function)
        else:
            self.paused.discard(function)
        self.tell({"do": "pause" if paused else "resume", "function": function})

    def recycle(self, child: Child, reason: str) -> bool:
        """Replace a worker, the new one ready first; False if it is on its way out already."""
        if child.stage is not Stage.READY or child.generation != self._generation or self._empty is not None:
            return False
        child.turn(Turn.RETIRE)
        self._count(reason)
        self._settle()
        return True

    def tell(self, message: Message) -> None:
        """Send to every worker."""
        for child in self._children.values():
            child.send(message)

    def _tell_current(self, message: Message) -> None:
        for child in self._children.values():
            if child.generation == self._generation:
                child.send(message)

    def drain(self, seconds: float, empty: Callable[[], object]) -> None:
        """Have every worker finish within ``seconds`` and leave; ``empty`` is called when all have gone."""
        self._empty = empty
        self.wanted = 0
        self._arrival = None
        for child in self.all():
            self._see_off(child, seconds)
        self._check_empty()

    def hasten(self) -> None:
        """The drain deadline is now."""
        for child in self.all():
            if child.stage is Stage.DRAINING:
                child.send({"do": "hasten"})
                self._loop.later(DRAIN_GRACE_S, lambda child=child: self._overdue(child))  # type: ignore[misc] # bound

    # -- what happens

    def reap(self) -> None:
        """Take the exit status of those that have ended."""
        for child in self.all():
            if child.reap():
                self._gone(child)

    def _start(self, generation: int) -> Child:
        child = Child(self._loop, "worker", self._argv, generation, self._on_message)
        self._children[child.pid] = child
        self._starts.watch(child, f"worker {child.pid}", lambda reason: self._not_ready(child, reason))
        known = self._deaths_of(generation).known()
        child.send({"do": "start", "settings": to_json(self._settings[generation]), **known})
        if self.quiet:
            child.send({"do": "quiet"})
        for function in sorted(self.paused):
            child.send({"do": "pause", "function": function})
        logs.emit(log, logging.DEBUG, "worker.started", f"started worker {child.pid}", worker=child.pid)
        return child

    def _on_message(self, child: Child, message: Message) -> None:
        event = message.get("event")
        if event == "ready" and child.stage is Stage.STARTING:
            child.became_ready()
            logs.emit(log, logging.INFO, "worker.ready", f"worker {child.pid} is ready", worker=child.pid)
            self._hooks.ready(child)
            self._arrived()
            self._settle()
        elif event == "failed":
            child.failure = [str(problem) for problem in message.get("problems", [])]
        elif event == "drained":
            if not message.get("clean", True):
                self._note_unclean()
        elif event == "recycle":
            self.recycle(child, str(message.get("reason", "asked")))
        elif child.generation != self._generation or not self._deaths.heard(message):
            if event == "status":
                child.status = message
            self._hooks.message(child, message)

    def _arrived(self) -> None:
        arrival = self._arrival
        if arrival is None or any(child.stage is Stage.STARTING for child in arrival.children):
            return
        self._arrival = None
        old = self.settings
        self.settings = arrival.settings
        self._generation = arrival.generation
        self._deaths.forget()
        self.wanted = arrival.settings.processes
        for child in self.all():
            if child.generation != self._generation:
                self._see_off(child, (old or arrival.settings).drain_timeout_s)
        self.settings = arrival.settings
        arrival.ready()

    def _settle(self) -> None:
        """Make what there is what is wanted."""
        if self.settings is None or self._empty is not None:
            return
        mine = [child for child in self._children.values() if child.generation == self._generation]
        starting = [child for child in mine if child.stage is Stage.STARTING]
        ready = [child for child in mine if child.stage is Stage.READY]
        retiring = [child for child in mine if child.stage is Stage.RETIRING]
        surplus = len(starting) + len(ready) - self.wanted
        while surplus > 0 and (starting or ready):
            self._see_off(starting.pop() if starting else ready.pop(), self.settings.drain_timeout_s)
            surplus -= 1
        # One that retires may go as soon as the others are enough without it.
        for child in retiring[: max(0, len(ready) + len(retiring) - self.wanted)]:
            self._see_off(child, self.settings.drain_timeout_s)
        if self._held is None:
            try:
                for _ in range(-surplus):
                    self._start(self._generation)
            except OSError as error:
                # Out of processes, descriptors or memory: that may pass.
                logs.emit(log, logging.ERROR, "worker.cannot_start", f"cannot start a worker: {error}; trying again")
                self._held = self._loop.later(RETRY_S, self._release)

    def _not_ready(self, child: Child, reason: str) -> None:
        child.failure = child.failure or [reason]
        child.kill("not_ready")

    def _see_off(self, child: Child, seconds: float) -> None:
        if child.stage is Stage.STARTING:
            child.kill(_NOT_NEEDED)  # it holds no jobs yet
        elif child.serving:
            child.drain(seconds)
            self._loop.later(seconds + DRAIN_GRACE_S, lambda: self._overdue(child))

    def _overdue(self, child: Child) -> None:
        if child.stage is not Stage.DRAINING:
            return
        self._note_unclean()
        logs.emit(
            log,
            logging.WARNING,
            "worker.drain_overdue",
            f"worker {child.pid} did not leave in time and is killed; the servers hand its jobs out again",
            **beat_fields(child.beat(), self.settings_of(child).functions),
            worker=child.pid,
        )
        child.kill(_DRAIN)

    def _gone(self, child: Child) -> None:
        del self._children[child.pid]
        # Read while it is still open: the page shows what was on the CPU when the process ended.
        draining = child.left is Stage.DRAINING
        suspects = self._deaths_of(child.generation).died(child, self.settings_of(child), draining=draining).suspects
        self.totals.retire(child.status)
        expected = draining or child.killed_for in _ON_PURPOSE
        if not expected or (child.returncode != 0 and not child.killed_for):
            self._note_unclean()
        self._hooks.gone(child)
        arrival = self._arrival
        arriving = arrival is not None and child in arrival.children
        generation = child.generation
        child.release()
        if generation not in {self._generation, *(c.generation for c in self._children.values())} and not arriving:
            self._settings.pop(generation, None)
        if arriving:
            self.give_up(
                child.failure or [f"a worker ended before it was ready: {child.describe_end()}"], child.returncode
            )
        elif not expected and self._empty is None:
            self._replace_later(child, excused=bool(suspects or child.killed_for) or child.returncode == -9)
        self._check_empty()

    def _replace_later(self, child: Child, *, excused: bool) -> None:
        self._count(child.killed_for or ("crashed" if child.ready is not None else "not_ready"))
        delay = self._backoff.died(child.served_s, excused=excused, of=max(1, self.wanted))
        if delay is None:
            self._hooks.crash_loop()
            return
        if self._held is not None:
            self._held.cancel()
        self._held = self._loop.later(delay, self._release)

    def _release(self) -> None:
        self._held = None
        self._settle()

    def condemn(self, suspect: Suspect) -> None:
        """The job is to be failed instead of run when its server hands it out again."""
        self._deaths.condemn(suspect)

    def _deaths_of(self, generation: int) -> Deaths:
        """What killed the old code may not kill the new."""
        return self._deaths if generation == self._generation else Deaths(lambda _message: None)

    def _note_unclean(self) -> None:
        """A job was cut off. For the exit code only the last drain counts, not those of reloads before it."""
        self.unclean = self.unclean or self._empty is not None

    def _count(self, reason: str) -> None:
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    def _check_empty(self) -> None:
        if self._empty is not None and not self._children:
            empty, self._empty = self._empty, lambda: None
            empty()
