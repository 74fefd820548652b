"""Keyword arguments for a function are validated like a configuration file."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gearpool.errors import InvalidArgument
from gearpool.worker.loading import make_function


def echo(arg: bytes) -> bytes:
    return arg


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"timeout": "5s"}, "timeout: expected a number above 0, got '5s'"),
        ({"timeout": -1}, "timeout: expected a number above 0, got -1"),
        ({"timeout": 0}, "timeout: expected a number above 0, got 0"),
        ({"timeout": math.nan}, "timeout: expected a number above 0, got nan"),
        ({"timeout_grace": -1}, "timeout_grace: expected 0 or more seconds, got -1"),
        ({"rate": 0}, "rate: expected a number above 0, got 0"),
        ({"weight": True}, "weight: expected a number above 0, got True"),
        ({"concurrency": 0}, "concurrency: expected a whole number from 1 to 1000000, got 0"),
        ({"concurrency": 1.5}, "concurrency: expected a whole number from 1 to 1000000, got 1.5"),
        ({"on_error": "rety"}, """on_error: expected "skip" or "abort" or "retry", got 'rety'"""),
        ({"on_error": {ValueError: "rety"}}, """on_error: expected "skip" or "abort" or "retry", got 'rety'"""),
        (
            {"on_error": {"ValueError": "retry"}},
            """on_error: expected an exception class or "default" as a key, got 'ValueError'""",
        ),
        ({"on_timeout": "dead"}, """on_timeout: expected "skip" or "abort" or "retry", got 'dead'"""),
        ({"report": "exceptions"}, """report: expected "fail" or "exception", got 'exceptions'"""),
        ({"payload": "JSON"}, """payload: expected "bytes" or "text" or "json", got 'JSON'"""),
    ],
)
def test_a_value_that_is_invalid_in_a_configuration_file_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        make_function("echo", echo, **given)
    assert str(raised.value) == message


def test_actions_by_class_and_a_default_become_rules() -> None:
    function = make_function("echo", echo, on_error={OSError: "retry", "default": "skip"}, timeout=0.5)
    assert function.rules.action(ConnectionError()) == "retry"
    assert function.rules.action(ValueError()) == "skip"
    assert function.settings.timeout_s == 0.5
