"""Runs the checker, the short-lived process that reads a configuration and imports its handlers. Floor 4.

Invariant: the supervisor never parses YAML or imports a handler itself. Whatever the checker does, the result is either
`Settings` or a list of problems.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gearpool.settings import Settings, from_json
from gearpool.supervisor.loop import READ, Loop
from gearpool.supervisor.stacks import VARIABLE, Stacks
from gearpool.supervisor.starting import StartupWatch

MAX_OUTPUT = 64 * 1024 * 1024


@dataclass(frozen=True)
class CheckResult:
    """What the checker found.

    Attributes:
        settings: the configuration, None if it cannot be used.
        problems: why it cannot be used, one line each.
        warnings: one line each.
        code: a digest of the handlers' source code, empty if the checker did not send one.
        internal: the checker itself failed, so the configuration is not at fault.
    """

    settings: Settings | None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    code: str = ""
    internal: bool = False


def _ignore_signals() -> None:
    """Until the checker has installed its handlers, the signals that ask for its stacks would end it."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


class Check:
    """One run of the checker. Calls ``done`` with the `CheckResult` unless it is cancelled first."""

    def __init__(
        self, loop: Loop, argv: Sequence[str], startup: StartupWatch, done: Callable[[CheckResult], object]
    ) -> None:
        self._loop = loop
        self._done: Callable[[CheckResult], object] | None = done
        self._output = bytearray()
        self._overdue = ""
        self._stacks = Stacks(loop)
        try:
            self._process = self._spawn(argv)
        except OSError:
            self._stacks.close()
            raise
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        os.set_blocking(self._pipe.fileno(), False)
        loop.watch(self._pipe.fileno(), READ, self._read)
        startup.watch(self, "the check of the configuration", self._on_overdue)

    def _spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=[self._stacks.fd],
            env={**os.environ, VARIABLE: str(self._stacks.fd)},
            process_group=0,
            preexec_fn=_ignore_signals,  # noqa: PLW1509 - the supervisor has one thread
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def starting(self) -> bool:
        """Whether it still runs and has been neither cancelled nor given up."""
        return self._done is not None and not self._overdue

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        """Have its faulthandler write its stacks; ``then(stacks)`` is called once."""
        self._stacks.ask(self.signal, then)

    def cancel(self) -> None:
        """Kill the checker without calling ``done``; idempotent."""
        self._done = None
        self._kill()

    def reap(self) -> bool:
        """Whether the process has ended. The first time it has, its result is passed to ``done``."""
        if self._process.poll() is None:
            return False
        if self._pipe.closed:
            return True
        self._read(READ)
        self._loop.forget(self._pipe.fileno())
        self._pipe.close()
        self._stacks.close()
        done, self._done = self._done, None
        if done is not None:
            done(self._result())
        return True

    def _read(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe.fileno(), 1 << 16):
                self._output += data
                if len(self._output) > MAX_OUTPUT:
                    self._kill()
                    return
            self._loop.forget(self._pipe.fileno())

    def _on_overdue(self, reason: str) -> None:
        self._overdue = reason
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _result(self) -> CheckResult:
        if self._overdue:
            return CheckResult(None, (self._overdue,), internal=True)
        try:
            # Only the last line counts: a handler's module may print while it is imported.
            found: Any = json.loads(self._output.strip().rpartition(b"\n")[2])
            if found.get("problems"):
                return CheckResult(None, tuple(str(problem) for problem in found["problems"]))
            warnings = tuple(str(warning) for warning in found.get("warnings", ()))
            settings = from_json(Settings, found["settings"])
            return CheckResult(settings, warnings=warnings, code=str(found.get("code", "")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            code = self._process.returncode
            end = f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
            return CheckResult(None, (f"the checker failed ({end}): {error!r}",), internal=True)
