"""The supervisor's loop with a clock that a test advances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class _Timer:
    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at = at
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class FakeLoop:
    """Timers of a clock that only `advance` moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[_Timer] = []

    @property
    def timers(self) -> list[_Timer]:
        """The pending timers."""
        return [timer for timer in self._timers if timer.call is not None]

    def later(self, delay_s: float, call: Callable[[], object]) -> Any:
        self._timers.append(_Timer(self.now + delay_s, call))
        return self._timers[-1]

    def soon(self, call: Callable[[], object]) -> Any:
        return self.later(0.0, call)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += step
            for timer in [each for each in self._timers if each.at <= self.now]:
                self._timers.remove(timer)
                if timer.call is not None:
                    timer.call()
