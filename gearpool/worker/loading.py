"""From settings to functions that can be called: handlers and exception classes found and checked. Floor 3."""

from __future__ import annotations

from collections.abc import Iterable

from gearpool import handlers
from gearpool.errors import ConfigurationError
from gearpool.policy import Rules
from gearpool.settings import ErrorAction, FunctionSettings
from gearpool.worker.functions import Function


def load_functions(settings: Iterable[FunctionSettings], most: int) -> list[Function]:
    """One Function each, in order.

    Args:
        settings: the functions.
        most: the process's number of slots.

    Raises:
        ConfigurationError: handlers that do not import, exception names that are none; all of them at once.
    """
    functions: list[Function] = []
    problems: list[str] = []
    for index, each in enumerate(settings):
        try:
            handler = handlers.load(each.handler)
            functions.append(Function(each, handler, load_rules(each.on_error), index, most))
        except ConfigurationError as error:
            problems += [f"functions.{each.name}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigurationError(*problems)
    return functions


def load_rules(on_error: dict[str, ErrorAction]) -> Rules:
    """``on_error`` with its exception names resolved.

    Raises:
        ConfigurationError: a name that does not lead to an exception class.
    """
    by_class: dict[type[BaseException], ErrorAction] = {}
    for name, action in on_error.items():
        if name != "default":
            by_class[handlers.exception_class(name)] = action
    return Rules(by_class, on_error.get("default", "abort"))
