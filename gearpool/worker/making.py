"""A function from keyword arguments, for programs that serve without a file, and for `gearpool.testing`. Floor 3.

Law: what a configuration file would be refused for is refused here, too.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from gearpool.errors import InvalidArgument
from gearpool.handlers import examine
from gearpool.policy import Rules
from gearpool.settings import (
    MAX_AT_ONCE,
    BreakerSettings,
    DeadLetterSettings,
    ErrorAction,
    FunctionSettings,
    PayloadKind,
    Report,
    RetrySettings,
)
from gearpool.timing import Duration
from gearpool.worker.functions import Function

OnError = ErrorAction | Mapping[type[BaseException] | Literal["default"], ErrorAction]


def make_function(
    name: str,
    handler: Callable[..., Any],
    *,
    timeout: Duration | None = None,
    timeout_grace: Duration = 5.0,
    concurrency: int | None = None,
    on_error: OnError = "abort",
    on_timeout: ErrorAction = "abort",
    retry: RetrySettings | None = None,
    dead_letter: DeadLetterSettings | None = None,
    breaker: BreakerSettings | None = None,
    report: Report = "fail",
    payload: PayloadKind = "bytes",
    rate: float | None = None,
    weight: float = 1.0,
    index: int = 0,
    most: int = 1,
) -> Function:
    """A function from keyword arguments: see `Worker.add_ability`, and `Function` for ``index`` and ``most``.

    Raises:
        InvalidArgument: the name cannot be sent, or a value is not what it should be: programs have no `gearpool check`.
        HandlerError: the handler cannot be called so.
    """
    timeout_s = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    grace_s = timeout_grace.total_seconds() if isinstance(timeout_grace, dt.timedelta) else timeout_grace
    for key, value in (("timeout", timeout_s), ("rate", rate), ("weight", weight)):
        _must(value is None or (_is_number(value) and 0 < value < math.inf), key, "a number above 0", value)
    _must(_is_number(grace_s) and 0 <= grace_s < math.inf, "timeout_grace", "0 or more seconds", grace_s)
    _must(
        concurrency is None or is_count(concurrency),
        "concurrency",
        f"a whole number from 1 to {MAX_AT_ONCE}",
        concurrency,
    )
    for key, chosen, choices in (
        ("on_timeout", on_timeout, ErrorAction), ("report", report, Report), ("payload", payload, PayloadKind),
    ):  # fmt: skip
        _must_be_one_of(key, chosen, get_args(choices))
    by_class, default = _rules(on_error)
    settings = FunctionSettings(
        name=name,
        handler=getattr(handler, "__qualname__", repr(handler)),
        concurrency=concurrency,
        timeout_s=timeout_s,
        timeout_grace_s=grace_s,
        on_timeout=on_timeout,
        retry=retry or RetrySettings(),
        dead_letter=dead_letter,
        breaker=breaker,
        report=report,
        payload=payload,
        rate_per_s=rate,
        weight=weight,
    )
    return Function(settings, examine(handler, settings.handler), Rules(by_class, default), index, most)


def _rules(on_error: OnError) -> tuple[dict[type[BaseException], ErrorAction], ErrorAction]:
    rules: Mapping[Any, ErrorAction] = on_error if isinstance(on_error, Mapping) else {"default": on_error}
    by_class: dict[type[BaseException], ErrorAction] = {}
    for key, action in rules.items():
        _must_be_one_of("on_error", action, get_args(ErrorAction))
        if key != "default":
            is_class = isinstance(key, type) and issubclass(key, BaseException)
            _must(is_class, "on_error", 'an exception class or "default" as a key', key)
            by_class[key] = action
    return by_class, rules.get("default", "abort")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether so many jobs can run at once."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_AT_ONCE


def _must_be_one_of(key: str, value: object, choices: tuple[str, ...]) -> None:
    _must(value in choices, key, " or ".join(f'"{choice}"' for choice in choices), value)


def _must(holds: bool, key: str, expected: str, value: object) -> None:
    if not holds:
        raise InvalidArgument(f"{key}: expected {expected}, got {value!r}")
