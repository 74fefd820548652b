"""One child process: started by exec, spoken to over a channel, ended by word or by SIGKILL. Floor 4.

Law: a child is deaf to signals from its birth (ignored dispositions survive exec, until it installs handlers of its
own) and leads its own process group, so that it obeys only the supervisor, and that what its handlers have started can
be ended with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gearpool.page import Activity, Beat, Page
from gearpool.supervisor.channel import Channel, Message
from gearpool.supervisor.loop import Loop
from gearpool.supervisor.stacks import VARIABLE, Stacks
from gearpool.supervisor.states import CHILD, Stage, Turn, advance

DEAF_TO = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""What a child does not hear until it has handlers of its own."""


def _deafen() -> None:
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)


class Child:
    """A running child. Making one starts it; an OSError means that the system would not.

    Attributes:
        kind: ``worker`` or ``jobserver``.
        pid: its process id, also that of its process group.
        generation: number of the configuration it was started with.
        stage: where it is in its life; ``left`` the stage before.
        started: monotonic moment of its start; ``ready`` that of its readiness, None before.
        status: the last status it sent.
        failure: the problems it reported before it left, if any.
        returncode: as subprocess has it (negative: the signal), None while it runs.
        killed_for: why the supervisor killed it, empty if it did not.
    """

    def __init__(
        self,
        loop: Loop,
        kind: str,
        argv: Sequence[str],
        generation: int,
        on_message: Callable[[Child, Message], object],
    ) -> None:
        self.kind = kind
        self.generation = generation
        self.stage = self.left = Stage.STARTING
        self.started = time.monotonic()
        self.ready: float | None = None
        self.status: Message = {}
        self.failure: list[str] = []
        self.returncode: int | None = None
        self.killed_for = ""
        self.page: Page | None = None
        self._stacks: Stacks | None = None
        try:
            self.page = Page.create()
            self._stacks = Stacks(loop)
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._process = self._spawn(argv, theirs.fileno(), self.page.fd, self._stacks.fd)
                except OSError:
                    ours.close()
                    raise
        except OSError:
            # All of it given back: whoever tries again every second would else use up the descriptors it waits for.
            self._close_pages()
            raise
        self.pid = self._process.pid
        self._channel = Channel(loop, ours, lambda message: on_message(self, message), lambda: None)

    def _spawn(self, argv: Sequence[str], channel: int, page: int, stacks: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, VARIABLE: str(stacks)}
        # They are the supervisor's own: a child must neither notify the service manager nor feed its watchdog.
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(name, None)
        return subprocess.Popen(
            [*argv, "--channel", str(channel), "--page", str(page)],
            stdin=subprocess.DEVNULL,
            pass_fds=[channel, page, stacks],
            env=environment,
            process_group=0,
            preexec_fn=_deafen,  # noqa: PLW1509 - the supervisor has one thread
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
        return self.stage is Stage.STARTING

    @property
    def serving(self) -> bool:
        """Whether it takes jobs: ready, or ready and about to be replaced."""
        return self.stage in {Stage.READY, Stage.RETIRING}

    def turn(self, event: Turn) -> None:
        """Go on to the stage that ``event`` leads to."""
        self.left = self.stage
        self.stage = advance(CHILD, self.stage, event)

    def send(self, message: Message) -> None:
        """Tell it something."""
        self._channel.send(message)

    def became_ready(self) -> None:
        """It said so."""
        self.turn(Turn.READY)
        self.ready = time.monotonic()

    def drain(self, seconds: float) -> None:
        """Tell it to finish within ``seconds`` and leave."""
        self.turn(Turn.DRAIN)
        self.send({"do": "drain", "seconds": seconds})

    def kill(self, reason: str) -> None:
        """SIGKILL to it and to what its handlers have started; idempotent."""
        if self.stage in {Stage.KILLED, Stage.GONE}:
            return
        self.turn(Turn.KILL)
        self.killed_for = reason
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to it alone."""
        if self.stage is not Stage.GONE:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def beat(self) -> Beat:
        """What its page says."""
        assert self.page is not None
        return self.page.read()

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        """Have its faulthandler write where it is; ``then(stacks)`` is called once, within a second or two."""
        assert self._stacks is not None
        self._stacks.ask(self.signal, then)

    def dumped_stacks(self) -> str:
        """What its faulthandler has written at its end, empty if it wrote nothing."""
        return self._stacks.take() if self._stacks is not None else ""

    def memory_bytes(self) -> int:
        """Its resident memory; 0 if it has gone."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    def reap(self) -> bool:
        """Whether it has ended; if so its exit status is taken, and a crashed one's process group is ended."""
        if self.returncode is not None:
            return True
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            if ended.si_code != os.CLD_EXITED:
                # While it is a zombie its number cannot be another's.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        self._channel.finish()
        self._process.poll()
        self.returncode = self._process.returncode
        self.turn(Turn.EXIT)
        return True

    def release(self) -> None:
        """Close what it left: to be called once after `reap`."""
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


def beat_fields(beat: Beat, functions: Sequence[Any]) -> dict[str, Any]:
    """The job on the CPU as log fields: function, handle, unique; empty when there is none."""
    if beat.activity not in {Activity.JOB, Activity.LEFT}:
        return {}
    fields: dict[str, Any] = {"handle": beat.handle, "unique": beat.unique or None}
    if beat.function < len(functions):
        fields["function"] = functions[beat.function].name
    return fields
