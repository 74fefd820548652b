"""Creates functions from the settings of a configuration file, or from keyword arguments (`Worker`, `gearpool.testing`).

Floor 3. Keyword arguments are validated like a configuration file.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

from gearpool import handlers
from gearpool.errors import ConfigurationError, InvalidArgument
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


def load_functions(settings: Iterable[FunctionSettings], max_slots: int) -> list[Function]:
    """Create the functions of a configuration, in order, for a process with ``max_slots`` slots.

    Raises:
        ConfigurationError: handlers cannot be imported, or exceptions do not exist; it lists all problems.
    """
    functions: list[Function] = []
    problems: list[str] = []
    for index, each in enumerate(settings):
        try:
            handler = handlers.load(each.handler)
            functions.append(Function(each, handler, load_rules(each.on_error), index, max_slots))
        except ConfigurationError as error:
            problems += [f"functions.{each.name}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigurationError(*problems)
    return functions


def load_rules(on_error: dict[str, ErrorAction]) -> Rules:
    """Resolve the exception names in ``on_error``.

    Raises:
        ConfigurationError: a name is not that of an exception class.
    """
    by_class: dict[type[BaseException], ErrorAction] = {}
    for name, action in on_error.items():
        if name != "default":
            by_class[handlers.exception_class(name)] = action
    return Rules(by_class, on_error.get("default", "abort"))


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
    max_slots: int = 1,
) -> Function:
    """Create a function from keyword arguments; see `Worker.add_ability` and, for ``index`` and ``max_slots``, `Function`.

    Raises:
        InvalidArgument: the name or a value is invalid.
        HandlerError: the handler cannot be called with these arguments.
    """
    timeout_s = timeout.total_seconds() if isinstance(timeout, dt.timedelta) else timeout
    grace_s = timeout_grace.total_seconds() if isinstance(timeout_grace, dt.timedelta) else timeout_grace
    for key, value in (("timeout", timeout_s), ("rate", rate), ("weight", weight)):
        _must(value is None or (_is_number(value) and 0 < value < math.inf), key, "a number above 0", value)
    _must(_is_number(grace_s) and 0 <= grace_s < math.inf, "timeout_grace", "0 or more seconds", grace_s)
    counted = concurrency is None or is_count(concurrency)
    _must(counted, "concurrency", f"a whole number from 1 to {MAX_AT_ONCE}", concurrency)
    for key, chosen, choices in (
        ("on_timeout", on_timeout, ErrorAction), ("report", report, Report), ("payload", payload, PayloadKind),
    ):  # fmt: skip
        _must_be_one_of(key, chosen, get_args(choices))
    rules = _rules(on_error)
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
    return Function(settings, handlers.examine(handler, settings.handler), rules, index, max_slots)


def _rules(on_error: OnError) -> Rules:
    rules: Mapping[Any, ErrorAction] = on_error if isinstance(on_error, Mapping) else {"default": on_error}
    by_class: dict[type[BaseException], ErrorAction] = {}
    for key, action in rules.items():
        _must_be_one_of("on_error", action, get_args(ErrorAction))
        if key != "default":
            is_class = isinstance(key, type) and issubclass(key, BaseException)
            _must(is_class, "on_error", 'an exception class or "default" as a key', key)
            by_class[key] = action
    return Rules(by_class, rules.get("default", "abort"))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether ``value`` is a valid number of concurrent jobs."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_AT_ONCE


def _must_be_one_of(key: str, value: object, choices: tuple[str, ...]) -> None:
    _must(value in choices, key, " or ".join(f'"{choice}"' for choice in choices), value)


def _must(holds: bool, key: str, expected: str, value: object) -> None:
    if not holds:
        raise InvalidArgument(f"{key}: expected {expected}, got {value!r}")
