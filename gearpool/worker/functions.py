"""One function in this process: its handler made callable, its rules, gates and counters, over all servers. Floor 3."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Generator
from typing import Any

from gearpool.handlers import LoadedHandler
from gearpool.jobs import Job
from gearpool.metrics import Counters
from gearpool.policy import Rules
from gearpool.protocol.names import function_name
from gearpool.settings import FunctionSettings
from gearpool.worker.gates import Breaker, Rate
from gearpool.worker.slots import FunctionSlots
from gearpool.worker.suspects import Notes

FAIR_S = 0.005
"""Seconds of CPU time that may be grabbed and not yet started: beyond it the jobs belong to another process."""


class Function:
    """Shared by the lanes of one function.

    Args:
        settings: what the configuration says of it.
        handler: the loaded handler.
        rules: ``settings.on_error`` with its classes resolved.
        index: its place in the process's list of functions, for the shared page.
        most: the process's number of slots.
    """

    def __init__(self, settings: FunctionSettings, handler: LoadedHandler, rules: Rules, index: int, most: int) -> None:
        self.settings = settings
        self.handler = handler
        self.rules = rules
        self.index = index
        self.name = settings.name
        self.wire_name = function_name(settings.name)
        self.slots = FunctionSlots(settings.concurrency or most, settings.weight)
        self.counters = Counters()
        self.waiting = 0
        self.paused = False
        self._notes: dict[str, Notes] = {}
        self.rate = Rate(settings.rate_per_s, time.monotonic()) if settings.rate_per_s else None
        self.breaker = Breaker(settings.breaker) if settings.breaker else None
        self.cost_s = 0.0
        self.takes_job, self.call = _callable(settings, handler)
        self.encode = _encode_json if settings.payload == "json" else _encode

    @property
    def cap(self) -> int:
        """How many jobs one grab may ask for: no more than can be started in about FAIR_S."""
        if self.cost_s <= FAIR_S / self.slots.limit:
            return self.slots.limit
        return max(1, int(FAIR_S / self.cost_s))

    def cost(self, seconds: float) -> None:
        """A job took ``seconds`` of CPU until it ended or first waited; the estimate follows by a fifth."""
        if self.cost_s == 0.0:
            self.cost_s = seconds
        else:
            self.cost_s += (seconds - self.cost_s) * 0.2

    def allowed(self, now: float) -> int | None:
        """How many jobs the gates let through now; None without limit."""
        if self.paused:
            return 0
        most: int | None = None
        if self.rate is not None:
            most = self.rate.allowed(now)
        if self.breaker is not None:
            probes = self.breaker.allowed(now)
            if probes is not None:
                most = probes if most is None else min(most, probes)
        return most

    def gate_wait_s(self, now: float) -> float:
        """Seconds until the gates let something through."""
        wait = 0.0
        if self.rate is not None:
            wait = self.rate.wait_s(now)
        if self.breaker is not None:
            wait = max(wait, self.breaker.wait_s(now))
        return wait

    def asked(self, count: int) -> None:
        """``count`` jobs are asked for."""
        if self.rate is not None:
            self.rate.take(count)
        if self.breaker is not None:
            self.breaker.asked(count)

    def did_not_come(self, count: int) -> None:
        """``count`` jobs that were asked for did not come."""
        if self.rate is not None:
            self.rate.give_back(count)
        if self.breaker is not None:
            self.breaker.gave_back(count)

    def notes_of(self, server: str) -> Notes:
        """What is known of jobs on this server that were there when a process died; the same object each time."""
        return self._notes.setdefault(server, {})

    def apply(self, settings: FunctionSettings, most: int) -> None:
        """Take over changed limits while running; handler and payload stay what they are."""
        now = time.monotonic()
        if not settings.rate_per_s:
            self.rate = None
        elif self.rate is None:
            self.rate = Rate(settings.rate_per_s, now)
        elif self.rate.per_s != settings.rate_per_s:
            self.rate.change(settings.rate_per_s, now)
        if settings.breaker != self.settings.breaker:
            self.breaker = Breaker(settings.breaker) if settings.breaker else None
        self.slots.limit = settings.concurrency or most
        self.slots.weigh(settings.weight)
        self.settings = settings


def _callable(settings: FunctionSettings, handler: LoadedHandler) -> tuple[bool, Callable[..., Any]]:
    """Whether the call takes the job too, and the call: for plain bytes handlers the handler itself."""
    function, takes_job = handler.function, handler.takes_job
    if settings.payload == "bytes" and not handler.is_generator:
        return takes_job, function
    decode: Any = {"bytes": _as_is, "text": bytes.decode, "json": json.loads}[settings.payload]
    encode = _encode_json if settings.payload == "json" else _encode
    if handler.is_generator:

        def stream(argument: bytes, job: Job) -> Any:
            parts = function(decode(argument), job) if takes_job else function(decode(argument))
            return _drive(parts, job, encode)

        return True, stream
    if takes_job:
        return True, lambda argument, job: function(decode(argument), job)
    return False, lambda argument: function(decode(argument))


def _drive(parts: Generator[Any, None, Any], job: Job, encode: Callable[[Any], bytes]) -> Any:
    try:
        while True:
            try:
                part = next(parts)
            except StopIteration as stop:
                return stop.value
            job.data(encode(part))
    finally:
        parts.close()


def _as_is(argument: bytes) -> bytes:
    return argument


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
        raise TypeError("the handler returned a generator; to stream, be a generator function yourself")
    raise TypeError(f"the handler returned {type(result).__name__}; expected bytes, str or None (or payload: json)")


def _encode_json(result: Any) -> bytes:
    return json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
