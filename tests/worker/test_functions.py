"""What the lanes of one function share: its callable, its gates, and how many jobs it grabs at once."""

from __future__ import annotations

from typing import Any

import pytest

from gearpool.settings import BreakerSettings, FunctionSettings
from gearpool.worker.functions import FAIR_S
from gearpool.worker.gates import BreakerState
from tests.worker.plain import Owed
from tests.worker.serving import function


def test_a_plain_bytes_handler_is_called_directly() -> None:
    def handler(arg: bytes) -> bytes:
        return arg

    plain = function("f", handler)
    assert plain.call is handler
    assert not plain.takes_job


@pytest.mark.parametrize(
    ("payload", "argument", "expected", "encoded"),
    [
        ("text", "é".encode(), "é!", "é!".encode()),
        ("json", b'{"a": 1}', [{"a": 1}], b'[{"a":1}]'),
    ],
)
def test_payloads_are_decoded_and_results_encoded(payload: Any, argument: bytes, expected: Any, encoded: bytes) -> None:
    decoding = function("f", lambda arg: arg + "!" if isinstance(arg, str) else [arg], payload=payload)
    result = decoding.call(argument)
    assert result == expected
    assert decoding.encode(result) == encoded


def test_a_generator_sends_its_chunks_and_returns_its_result() -> None:
    def stream(arg: bytes) -> Any:
        yield b"one"
        yield "two"
        return arg

    streaming = function("f", stream)
    owed = Owed(streaming)
    assert streaming.call(b"end", owed.job()) == b"end"
    assert [arguments[1] for _, arguments in owed.sent()] == [b"one", b"two"]


@pytest.mark.parametrize("result", [1, object(), ["list"]])
def test_a_result_that_is_not_bytes_is_an_error(result: Any) -> None:
    with pytest.raises(TypeError, match="expected bytes, str or None"):
        function("f", lambda arg: arg).encode(result)


def test_a_slow_function_grabs_as_many_jobs_as_it_can_start_soon_and_at_least_one() -> None:
    measured = function("f", lambda arg: arg, max_slots=100)
    assert measured.max_grabs == 100
    measured.measure(FAIR_S / 10)
    assert measured.max_grabs == 10
    measured.measure(3600.0)
    assert measured.max_grabs == 1


def test_a_pause_the_rate_and_the_breaker_each_limit_the_grabs() -> None:
    breaker = BreakerSettings(failures=1, within_s=60.0, pause_s=30.0)
    gated = function("f", lambda arg: arg, rate_per_s=5.0, breaker=breaker)
    assert gated.rate is not None
    assert gated.breaker is not None
    now = 0.0  # before the creation, so that no time passes
    assert gated.allowed(now) == 5
    gated.count_grabs(5)
    assert gated.allowed(now) == 0
    gated.return_grabs(2)
    assert gated.allowed(now) == 2
    gated.breaker.failed(now)
    assert gated.allowed(now) == 0
    assert gated.gate_wait_s(now) == pytest.approx(30.0)
    gated.paused = True
    assert gated.allowed(1e12) == 0


def test_changed_settings_apply_while_running_and_keep_an_open_breaker() -> None:
    breaker = BreakerSettings(failures=1, within_s=60.0, pause_s=30.0)
    changed = function("f", lambda arg: arg, breaker=breaker)
    assert changed.breaker is not None
    changed.breaker.failed(0.0)
    new = FunctionSettings(name="f", handler="f", breaker=breaker, concurrency=3, weight=2.0, rate_per_s=7.0)
    changed.apply(new, 100)
    assert (changed.slots.limit, changed.slots.weight) == (3, 2.0)
    assert changed.rate is not None
    assert changed.rate.per_s == 7.0
    assert changed.breaker.state is BreakerState.OPEN
    changed.apply(FunctionSettings(name="f", handler="f"), 100)
    assert changed.slots.limit == 100
    gates: list[object] = [changed.rate, changed.breaker]
    assert gates == [None, None]


def test_the_notes_of_a_server_are_always_the_same_object() -> None:
    noted = function("f", lambda arg: arg)
    assert noted.notes_of("a:1") is noted.notes_of("a:1")
    assert noted.notes_of("a:1") is not noted.notes_of("b:1")
