"""One function in this process: its handler, error rules, gates and counters, shared by all its lanes. Floor 3."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from gearpool.handlers import LoadedHandler
from gearpool.jobs import Job
from gearpool.metrics import Counters
from gearpool.policy import Rules
from gearpool.protocol.names import function_name
from gearpool.settings import FunctionSettings
from gearpool.worker.admission import FunctionSlots
from gearpool.worker.gates import Breaker, Rate

FAIR_S = 0.005
"""Grab at most as many jobs as can be started within this CPU time: another process may be free sooner."""


class Note(NamedTuple):
    """The supervisor's record of one job that ran when a process died.

    Attributes:
        kills: process deaths that it is blamed for.
        suspected: process deaths of which it is one of several possible causes.
    """

    kills: int
    suspected: int


Notes = dict[bytes, Note]
"""The notes on jobs of one function on one server, by `jobs.job_key`. Nearly always empty."""


class Function:
    """Shared by the lanes of one function.

    Args:
        rules: ``settings.on_error`` with its classes resolved.
        index: its index in the process's list of functions, for the shared page.
        max_slots: the number of slots of the process.
    """

    def __init__(
        self, settings: FunctionSettings, handler: LoadedHandler, rules: Rules, index: int, max_slots: int
    ) -> None:
        self.settings = settings
        self.handler = handler
        self.rules = rules
        self.index = index
        self.name = settings.name
        self.wire_name = function_name(settings.name)
        self.slots = FunctionSlots(settings.concurrency or max_slots, settings.weight)
        self.counters = Counters()
        self.waiting = 0
        self.paused = False
        self._notes: dict[str, Notes] = {}
        rate = Rate(settings.rate_per_s, time.monotonic()) if settings.rate_per_s else None
        self._set_gates(rate, Breaker(settings.breaker) if settings.breaker else None)
        self.cost_s = 0.0
        self.takes_job, self.call = _callable(settings, handler)
        self.encode = _encode_json if settings.payload == "json" else _encode

    @property
    def max_grabs(self) -> int:
        """How many jobs may be grabbed at once: as many as can be started in about FAIR_S."""
        if self.cost_s <= FAIR_S / self.slots.limit:
            return self.slots.limit
        return max(1, int(FAIR_S / self.cost_s))

    def measure(self, seconds: float) -> None:
        """Update the average: a job used ``seconds`` of CPU time until it ended or first yielded."""
        if self.cost_s == 0.0:
            self.cost_s = seconds
        else:
            self.cost_s += (seconds - self.cost_s) * 0.2

    def allowed(self, now: float) -> int | None:
        """How many jobs the rate, the breaker and a pause allow to be grabbed now; None without limit."""
        if self.paused:
            return 0
        limits = [allowed for gate in self._gates if (allowed := gate.allowed(now)) is not None]
        return min(limits, default=None)

    def gate_wait_s(self, now: float) -> float:
        """Seconds until the rate and the breaker allow a grab."""
        return max((gate.wait_s(now) for gate in self._gates), default=0.0)

    def count_grabs(self, count: int) -> None:
        """``count`` grabs are sent."""
        for gate in self._gates:
            gate.take(count)

    def return_grabs(self, count: int) -> None:
        """``count`` grabs brought no job, or one that is not run."""
        for gate in self._gates:
            gate.give_back(count)

    def _set_gates(self, rate: Rate | None, breaker: Breaker | None) -> None:
        self.rate, self.breaker = rate, breaker
        self._gates: list[Rate | Breaker] = [gate for gate in (rate, breaker) if gate is not None]

    def notes_of(self, server: str) -> Notes:
        """The notes on this function's jobs on ``server``; always the same object."""
        return self._notes.setdefault(server, {})

    def apply(self, settings: FunctionSettings, max_slots: int) -> None:
        """Apply changed limits while running; handler and payload encoding do not change."""
        now, rate, breaker = time.monotonic(), self.rate, self.breaker
        if not settings.rate_per_s:
            rate = None
        elif rate is None:
            rate = Rate(settings.rate_per_s, now)
        elif rate.per_s != settings.rate_per_s:
            rate.change(settings.rate_per_s, now)
        if settings.breaker != self.settings.breaker:
            breaker = Breaker(settings.breaker) if settings.breaker else None
        self._set_gates(rate, breaker)
        self.slots.limit = settings.concurrency or max_slots
        self.slots.set_weight(settings.weight)
        self.settings = settings


def _callable(settings: FunctionSettings, handler: LoadedHandler) -> tuple[bool, Callable[..., Any]]:
    """Whether the callable takes the job, too, and the callable; for a plain bytes handler, that is the handler itself."""
    function, takes_job = handler.function, handler.takes_job
    if settings.payload == "bytes" and not handler.is_generator:
        return takes_job, function
    decode: Any = {"bytes": bytes, "text": bytes.decode, "json": json.loads}[settings.payload]
    encode = _encode_json if settings.payload == "json" else _encode
    if handler.is_generator:

        def stream(argument: bytes, job: Job) -> Any:
            chunks = function(decode(argument), job) if takes_job else function(decode(argument))
            return _send_chunks(chunks, job, encode)

        return True, stream
    if takes_job:
        return True, lambda argument, job: function(decode(argument), job)
    return False, lambda argument: function(decode(argument))


def _send_chunks(chunks: Generator[Any, None, Any], job: Job, encode: Callable[[Any], bytes]) -> Any:
    try:
        while True:
            try:
                chunk = next(chunks)
            except StopIteration as stop:
                return stop.value
            job.data(encode(chunk))
    finally:
        chunks.close()


def _encode(result: Any) -> bytes:
    """A handler's result as bytes.

    Raises:
        TypeError: it is neither bytes, str nor None.
    """
    if result is None:
        return b""
    if isinstance(result, bytes):
        return result
    if isinstance(result, str):
        return result.encode()
    if isinstance(result, bytearray | memoryview):
        return bytes(result)
    if inspect.isgenerator(result):
        result.close()
        raise TypeError("the handler returned a generator; to stream, the handler itself must be a generator function")
    raise TypeError(f"the handler returned {type(result).__name__}; expected bytes, str or None (or payload: json)")


def _encode_json(result: Any) -> bytes:
    return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
