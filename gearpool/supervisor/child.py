"""One child process: started by exec, controlled over a channel, ended by a drain or by SIGKILL. Floor 4.

Invariant: a child starts with these signals ignored (this survives exec, until it installs its own handlers) and leads
its own process group. So it obeys only the supervisor, and processes its handlers have started can be killed with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gearpool import figures, logs, messages
from gearpool.figures import ProcessFigures
from gearpool.messages import Command, Drain, Event, MessageError
from gearpool.metrics import WorkerSnapshot
from gearpool.page import SIZE, Activity, Page, Reading
from gearpool.states import advance
from gearpool.supervisor.channel import Channel, Object
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.stacks import VARIABLE, Stacks
from gearpool.supervisor.states import CHILD, ChildEvent, ChildState

log = logging.getLogger("gearpool.supervisor")

IGNORED_SIGNALS = ("HUP", "INT", "QUIT", "TERM", "TSTP", "TTIN", "TTOU", "USR1", "USR2")
"""Signals that a child ignores until it has handlers of its own."""


def _ignore_signals() -> None:
    for name in IGNORED_SIGNALS:
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)


class Child:
    """A running child. The constructor starts it, and raises OSError if the system cannot.

    It inherits the descriptors ``inherit``, each of which is named by an option ``--listener``.

    Attributes:
        kind: ``worker``, ``jobserver`` or ``web``.
        pid: its process id, also that of its process group.
        generation: number of the configuration it was started with.
        state: see `states.CHILD`; ``previous`` is the state before.
        started: when it was started (monotonic); ``ready``: when it became ready, None before that.
        functions: a worker's functions, in the order of its settings.
        status: the last status that a worker sent.
        failure: the problems it reported before it exited, if any.
        returncode: as in subprocess (negative: the signal), None while it runs.
        killed_for: why the supervisor killed it, empty if it did not.
        blocked_stacks: its stacks when the supervisor killed it because it was blocked, else empty.
        page: the shared page; None if it could not be created.
    """

    def __init__(
        self,
        loop: Loop,
        kind: str,
        argv: Sequence[str],
        generation: int,
        events: Mapping[str, type[Event]],
        on_event: Callable[[Child, Event], object],
        functions: Sequence[str] = (),
        inherit: Sequence[int] = (),
    ) -> None:
        self.kind = kind
        self.functions = functions
        self.generation = generation
        self.state = self.previous = ChildState.STARTING
        self.started = time.monotonic()
        self.ready: float | None = None
        self.status: WorkerSnapshot = {}
        self.failure: list[str] = []
        self.returncode: int | None = None
        self.killed_for = self.blocked_stacks = ""
        self.page: Page | None = None
        self._stacks: Stacks | None = None
        try:
            self.page = Page.create(figures.size(len(functions)))
            self._stacks = Stacks(loop)
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._process = self._spawn(argv, theirs.fileno(), self.page.fd, self._stacks.fd, inherit)
                except OSError:
                    ours.close()
                    raise
        except OSError:
            # The start is retried every second: a leak here would use up the very descriptors that are missing.
            self._close_pages()
            raise
        self.pid = self._process.pid
        self._channel = Channel(loop, ours, lambda value: self._receive(events, on_event, value), lambda: None)

    def _spawn(
        self, argv: Sequence[str], channel: int, page: int, stacks: int, inherit: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        environment = {**os.environ, VARIABLE: str(stacks)}
        # A child must neither notify the service manager nor feed its watchdog.
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(name, None)
        return subprocess.Popen(
            [*argv, "--channel", str(channel), "--page", str(page), *(f"--listener={each}" for each in inherit)],
            stdin=subprocess.DEVNULL,
            pass_fds=[channel, page, stacks, *inherit],
            env=environment,
            process_group=0,
            preexec_fn=_ignore_signals,  # noqa: PLW1509 - the supervisor has one thread
        )

    def __str__(self) -> str:
        """``worker 123``."""
        return f"{self.kind} {self.pid}"

    @property
    def age_s(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self.started

    @property
    def served_s(self) -> float:
        """Seconds since it became ready, 0 if it never did."""
        return 0.0 if self.ready is None else time.monotonic() - self.ready

    @property
    def starting(self) -> bool:
        """Whether it has still to become ready."""
        return self.state is ChildState.STARTING

    @property
    def serving(self) -> bool:
        """Whether it takes jobs: ready, or ready and about to be replaced."""
        return self.state in {ChildState.READY, ChildState.RETIRING}

    def advance(self, event: ChildEvent) -> None:
        """Change the state as `states.CHILD` says."""
        self.previous = self.state
        self.state = advance(CHILD, self.state, event)

    @property
    def is_listening(self) -> bool:
        """Whether it has read what was sent to it so far, or at least the kernel has taken it."""
        return self._channel.idle

    def send(self, command: Command) -> None:
        """Send it a command."""
        self._channel.send(messages.as_dict(command))

    def _receive(
        self, events: Mapping[str, type[Event]], on_event: Callable[[Child, Event], object], value: Object
    ) -> None:
        try:
            event = messages.from_dict(events, value)
        except MessageError as error:
            logs.emit(log, logging.WARNING, "channel.garbage", f"{self}: {error}")
        else:
            on_event(self, event)

    def became_ready(self) -> None:
        """Record that the child has reported ready."""
        self.advance(ChildEvent.READY)
        self.ready = time.monotonic()

    def drain(self, seconds: float) -> None:
        """Tell it to finish its jobs within ``seconds`` and exit."""
        self.advance(ChildEvent.DRAIN)
        self.send(Drain(seconds))

    def kill(self, reason: str) -> None:
        """Send SIGKILL to it and to everything its handlers have started; idempotent."""
        if self.state in {ChildState.KILLED, ChildState.ENDED}:
            return
        self.advance(ChildEvent.KILL)
        self.killed_for = reason
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill_unready(self, reason: str) -> None:
        """Kill it because it did not become ready; ``reason`` is its failure unless it reported one itself."""
        self.failure = self.failure or [reason]
        self.kill("not_ready")

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        if self.state is not ChildState.ENDED:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def read_page(self) -> Reading:
        """Read its shared page."""
        assert self.page is not None
        return self.page.read()

    def read_figures(self) -> ProcessFigures | None:
        """Read what it has counted; None before it has begun. Works until `release`, even if it was killed."""
        assert self.page is not None
        return figures.read(self.page.memory, SIZE, len(self.functions))

    @property
    def jobs(self) -> int:
        """How many runs of jobs it has counted."""
        counted = self.read_figures()
        return 0 if counted is None else figures.runs(counted)

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        """Have its faulthandler write its stacks; ``then(stacks)`` is called once, within about two seconds."""
        assert self._stacks is not None
        self._stacks.ask(self.signal, then)

    def dumped_stacks(self) -> str:
        """What its faulthandler wrote when it crashed, empty if nothing."""
        return self._stacks.take() if self._stacks is not None else ""

    def memory_bytes(self) -> int:
        """Its resident memory; 0 if it has ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def reap(self) -> bool:
        """Whether it has ended. If so its exit status is collected, and after a crash its process group is killed."""
        if self.returncode is not None:
            return True
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            if ended.si_code != os.CLD_EXITED:
                # It is still a zombie, so its process id cannot have been reused.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        self._channel.finish()
        self._process.poll()
        self.returncode = self._process.returncode
        self.advance(ChildEvent.EXIT)
        return True

    def release(self) -> None:
        """Close its channel and shared memory; call it once, after `reap`."""
        self._channel.close()
        self._close_pages()

    def _close_pages(self) -> None:
        if self.page is not None:
            self.page.close()
        if self._stacks is not None:
            self._stacks.close()
            self._stacks = None

    def describe_end(self) -> str:
        """How it ended, for people."""
        code = self.returncode or 0
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
            return f"killed by signal {-code}"
        return f"exit code {code}"


def job_fields(reading: Reading, functions: Sequence[Any]) -> dict[str, Any]:
    """The job on the CPU as text: function, handle and unique; empty if there is none."""
    if reading.activity not in {Activity.JOB, Activity.LEFT}:
        return {}
    handle, unique = (each.decode("utf-8", "backslashreplace") for each in (reading.handle, reading.unique))
    function = {"function": functions[reading.function].name} if reading.function < len(functions) else {}
    return {"handle": handle, "unique": unique or None, **function}
