"""The worker processes: starts, replaces and drains them to match the configuration. Floor 4.

Invariant: a worker that serves is drained only when a ready one takes its place, or when fewer are wanted. The workers
of a new configuration take over together or not at all. Except for that, `_reconcile` alone starts and drains workers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gearpool import drain_times, logs, messages
from gearpool.messages import WORKER_EVENTS, Command, Event
from gearpool.page import Reading
from gearpool.settings import Settings
from gearpool.status import FailureGroup
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.child import Child, job_fields
from gearpool.supervisor.deaths import Deaths
from gearpool.supervisor.ended_jobs import stall_of
from gearpool.supervisor.failure_store import FailureStore
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.restarts import RETRY_S, RestartTimer
from gearpool.supervisor.starting import StartupWatch
from gearpool.supervisor.states import ChildEvent, ChildState
from gearpool.supervisor.totals import Totals

_CANCELLED = "rollout cancelled"
_NOT_NEEDED = "no longer needed"
_DRAIN = "drain"
_ON_PURPOSE = frozenset({_CANCELLED, _NOT_NEEDED, _DRAIN})

log = logging.getLogger("gearpool.supervisor")


@dataclass
class Rollout:
    """A configuration whose workers are being started.

    Attributes:
        ready: called when all are ready and the old ones have started draining.
        failed: called with the problems and an exit code if one ends before that; the others are killed.
    """

    settings: Settings
    generation: int
    ready: Callable[[], object]
    failed: Callable[[list[str], int | None], object]
    children: list[Child] = field(default_factory=list)


@dataclass(frozen=True)
class FleetCallbacks:
    """How the fleet informs the daemon."""

    event: Callable[[Child, Event], object]
    """An event that the fleet does not handle itself."""
    ready: Callable[[Child], object]
    ended: Callable[[Child], object]
    crash_loop: Callable[[], object]


class Fleet:
    """The worker processes of one daemon.

    Attributes:
        settings: the configuration in effect; None before the first workers are ready.
        wanted: how many workers there should be.
        quiet: whether all functions are paused.
        paused: functions that are paused.
        unclean: whether the last drain had to cut off a job.
        totals: what all workers have counted, including those that have ended.
        failures: the failures and stalls of all workers, grouped.
        restarts: replacements by reason, for the metrics.
    """

    def __init__(self, loop: Loop, argv: Sequence[str], startup: StartupWatch, callbacks: FleetCallbacks) -> None:
        self._loop = loop
        self._startup = startup
        self._argv = argv
        self._callbacks = callbacks
        self._children: dict[int, Child] = {}
        self._settings: dict[int, Settings] = {}
        self._rollout: Rollout | None = None
        self._generation = 0
        self._restarts = RestartTimer(loop, self._reconcile, callbacks.crash_loop)
        self._on_empty: Callable[[], object] | None = None
        self.settings: Settings | None = None
        self.wanted = 0
        self.quiet = False
        self.paused: set[str] = set()
        self.totals = Totals()
        self.failures = FailureStore()
        self._deaths = Deaths(self._send_to_current, self._on_blamed)
        self.restarts: dict[str, int] = {}
        self.unclean = False

    # -- the current workers

    def all(self) -> list[Child]:
        """Every worker process, oldest first."""
        return list(self._children.values())

    def serving(self) -> list[Child]:
        """The workers that take jobs."""
        return [child for child in self._children.values() if child.serving]

    def settings_of(self, child: Child) -> Settings:
        """The configuration that a worker uses."""
        return self._settings[child.generation]

    def find(self, pid: int) -> Child | None:
        """The worker with this process id."""
        return self._children.get(pid)

    @property
    def generation(self) -> int:
        """Number of the configuration in effect."""
        return self._generation

    @property
    def drain_timeout_s(self) -> float:
        """``drain_timeout`` of the configuration in effect, or of the first one being started; 0 before that."""
        settings = self.settings or (self._rollout.settings if self._rollout is not None else None)
        return settings.drain_timeout_s if settings is not None else 0.0

    # -- changes

    def roll_out(
        self, settings: Settings, ready: Callable[[], object], failed: Callable[[list[str], int | None], object]
    ) -> None:
        """Start the workers of a configuration; when all are ready, drain those of the previous one."""
        rollout = Rollout(settings, max([self._generation, *self._settings]) + 1, ready, failed)
        self._settings[rollout.generation] = settings
        self._rollout = rollout
        try:
            for _ in range(settings.processes):
                rollout.children.append(self._start(rollout.generation))
        except OSError as error:
            self.cancel_rollout([f"cannot start a worker: {error}"])

    def cancel_rollout(self, problems: list[str], code: int | None = None) -> None:
        """Kill the workers of the configuration being started, and keep the previous one."""
        rollout, self._rollout = self._rollout, None
        if rollout is not None:
            for child in rollout.children:
                child.kill(_CANCELLED)
            rollout.failed(problems, code)

    def apply(self, settings: Settings) -> None:
        """Apply a configuration that differs only in settings that can change while jobs run."""
        if self.settings is not None and settings.processes != self.settings.processes:
            self.wanted = settings.processes
        self.settings = settings
        self._settings[self._generation] = settings
        for child in self._children.values():
            if child.generation == self._generation and child.state is not ChildState.DRAINING:
                child.send(messages.Apply(settings))
                if self.quiet:
                    child.send(messages.Quiet())
        self._reconcile()

    def resize(self, wanted: int) -> None:
        """Change the number of workers; it stays at least one."""
        self.wanted = max(1, wanted)
        self._reconcile()

    def set_quiet(self, quiet: bool) -> None:
        """Pause or resume all functions, also in workers started later."""
        self.quiet = quiet
        self.send(messages.Quiet() if quiet else messages.Resume())

    def pause(self, function: str, paused: bool) -> None:
        """Pause or resume one function, also in workers started later."""
        if paused:
            self.paused.add(function)
        else:
            self.paused.discard(function)
        self.send(messages.Pause(function) if paused else messages.Resume(function))

    def recycle(self, child: Child, reason: str) -> bool:
        """Replace a worker once a new one is ready; False if it is being replaced or drained already."""
        if child.state is not ChildState.READY or child.generation != self._generation or self._on_empty is not None:
            return False
        child.advance(ChildEvent.RETIRE)
        self._count(reason)
        self._reconcile()
        return True

    def send(self, command: Command) -> None:
        """Send a message to every worker."""
        for child in self._children.values():
            child.send(command)

    def _send_to_current(self, command: Command) -> None:
        for child in self._children.values():
            if child.generation == self._generation:
                child.send(command)

    def drain(self, seconds: float, empty: Callable[[], object]) -> None:
        """Have every worker finish its jobs within ``seconds`` and exit; ``empty`` is called when all have ended."""
        self._on_empty = empty
        self.wanted = 0
        self._rollout = None
        for child in self.all():
            self._end_child(child, seconds)
        self._check_empty()

    def stop_now(self) -> None:
        """End the drain now: the workers cut off the jobs that still run."""
        for child in self.all():
            if child.state is ChildState.DRAINING:
                child.send(messages.StopNow())
                self._loop.later(drain_times.WORKER_S, lambda child=child: self._overdue(child))  # type: ignore[misc] # bound

    # -- events

    def reap(self) -> None:
        """Collect the exit status of the workers that have ended."""
        for child in self.all():
            if child.reap():
                self._on_ended(child)

    def _start(self, generation: int) -> Child:
        names = [function.name for function in self._settings[generation].functions]
        child = Child(self._loop, "worker", self._argv, generation, WORKER_EVENTS, self._on_event, names)
        self._children[child.pid] = child
        self._startup.watch(child, f"worker {child.pid}", child.kill_unready)
        child.send(self._deaths_of(generation).start(self._settings[generation]))
        if self.quiet:
            child.send(messages.Quiet())
        for function in sorted(self.paused):
            child.send(messages.Pause(function))
        logs.emit(log, logging.DEBUG, "worker.started", f"started worker {child.pid}", worker=child.pid)
        return child

    def _on_event(self, child: Child, event: Event) -> None:
        if isinstance(event, messages.Ready) and child.state is ChildState.STARTING:
            child.became_ready()
            logs.emit(log, logging.INFO, "worker.ready", f"worker {child.pid} is ready", worker=child.pid)
            self._callbacks.ready(child)
            self._finish_rollout()
            self._reconcile()
        elif isinstance(event, messages.Failed):
            child.failure = event.problems
        elif isinstance(event, messages.Drained):
            if not event.clean:
                self._mark_unclean()
        elif isinstance(event, messages.ReplaceMe):
            self.recycle(child, event.reason)
        elif isinstance(event, messages.WorkerStatus):
            child.status = event.snapshot
        elif isinstance(event, messages.Failures):
            self.failures.add_failures(event.failures, event.left_out[0])
            self.failures.add_stalls(event.stalls, event.left_out[1])
        elif isinstance(event, messages.Reported | messages.ServerLost | messages.ServerPid):
            if child.generation == self._generation:
                self._deaths.on_event(event)
        else:
            self._callbacks.event(child, event)

    def _finish_rollout(self) -> None:
        rollout = self._rollout
        if rollout is None or any(child.state is ChildState.STARTING for child in rollout.children):
            return
        self._rollout = None
        old = self.settings
        self.settings = rollout.settings
        self._generation = rollout.generation
        self._deaths.forget()
        self.wanted = rollout.settings.processes
        for child in self.all():
            if child.generation != self._generation:
                self._end_child(child, (old or rollout.settings).drain_timeout_s)
        rollout.ready()

    def _reconcile(self) -> None:
        """Start or drain workers until there are as many as wanted."""
        if self.settings is None or self._on_empty is not None:
            return
        mine = [child for child in self._children.values() if child.generation == self._generation]
        starting = [child for child in mine if child.state is ChildState.STARTING]
        ready = [child for child in mine if child.state is ChildState.READY]
        retiring = [child for child in mine if child.state is ChildState.RETIRING]
        surplus = len(starting) + len(ready) - self.wanted
        while surplus > 0 and (starting or ready):
            self._end_child(starting.pop() if starting else ready.pop(), self.settings.drain_timeout_s)
            surplus -= 1
        # A worker that is being replaced may go as soon as the others suffice without it.
        for child in retiring[: max(0, len(ready) + len(retiring) - self.wanted)]:
            self._end_child(child, self.settings.drain_timeout_s)
        if not self._restarts.waiting:
            try:
                for _ in range(-surplus):
                    self._start(self._generation)
            except OSError as error:
                text = f"cannot start a worker: {error}; trying again in {RETRY_S:g} s"
                logs.emit(log, logging.ERROR, "worker.cannot_start", text)
                self._restarts.retry()

    def _end_child(self, child: Child, seconds: float) -> None:
        if child.state is ChildState.STARTING:
            child.kill(_NOT_NEEDED)  # it holds no jobs yet
        elif child.serving:
            child.drain(seconds)
            self._loop.later(seconds + drain_times.WORKER_S, lambda: self._overdue(child))

    def _overdue(self, child: Child) -> None:
        if child.state is not ChildState.DRAINING:
            return
        self._mark_unclean()
        text = f"worker {child.pid} did not exit in time; killing it. The job servers will hand out its jobs again"
        fields = job_fields(child.read_page(), self.settings_of(child).functions)
        logs.emit(log, logging.WARNING, "worker.drain_overdue", text, **fields, worker=child.pid)
        child.kill(_DRAIN)

    def _on_ended(self, child: Child) -> None:
        del self._children[child.pid]
        # Read before the page is closed: it shows what was on the CPU when the process ended.
        draining = child.previous is ChildState.DRAINING
        suspects = self._deaths_of(child.generation).died(child, self.settings_of(child), draining=draining).suspects
        self.totals.add_ended(child.functions, child.read_figures())
        expected = draining or child.killed_for in _ON_PURPOSE
        if not expected or (child.returncode != 0 and not child.killed_for):
            self._mark_unclean()
        self._callbacks.ended(child)
        rollout = self._rollout
        rolling_out = rollout is not None and child in rollout.children
        generation = child.generation
        child.release()
        if generation not in {self._generation, *(c.generation for c in self._children.values())} and not rolling_out:
            self._settings.pop(generation, None)
        if rolling_out:
            self.cancel_rollout(
                child.failure or [f"a worker ended before it was ready: {child.describe_end()}"], child.returncode
            )
        elif not expected and self._on_empty is None:
            self._count(child.killed_for or ("crashed" if child.ready is not None else "not_ready"))
            excused = bool(suspects or child.killed_for) or child.returncode == -9
            self._restarts.died(child.served_s, excused=excused, of=max(1, self.wanted))
        self._check_empty()

    def count_killed_stall(self, child: Child, reading: Reading, stacks: str, seconds: float) -> None:
        """Count the stall for which ``child`` is about to be killed: it cannot report it itself."""
        stall = stall_of(child, self.settings_of(child), reading, stacks, seconds)
        figures = child.read_figures()
        counted = figures is not None and figures["stall_sequence"] == reading.sequence
        self.totals.add_stall(stall["function"], seconds, counted=counted)
        self.failures.add_stalls([stall])

    def condemn(self, suspect: Suspect) -> None:
        """Have this job failed, not run, when its server hands it out again."""
        self._deaths.condemn(suspect)

    def _deaths_of(self, generation: int) -> Deaths:
        """The memory for this generation: what killed the old code may not kill the new."""
        return self._deaths if generation == self._generation else Deaths(lambda _command: None, self._on_blamed)

    def _on_blamed(self, failure: FailureGroup) -> None:
        self.failures.add_failures([failure])

    def _mark_unclean(self) -> None:
        """Record that a job was cut off. Only the final drain counts for the exit code, not those of reloads."""
        self.unclean = self.unclean or self._on_empty is not None

    def _count(self, reason: str) -> None:
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    def _check_empty(self) -> None:
        if self._on_empty is not None and not self._children:
            empty, self._on_empty = self._on_empty, lambda: None
            empty()
