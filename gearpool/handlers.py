"""Finds handlers and exception classes by their dotted paths, and determines how to call handlers. Floor 1.

Every failure is a `HandlerError` that shows what the user's code raised, with the user's own lines.
"""

from __future__ import annotations

import builtins
import difflib
import functools
import importlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gearpool.errors import ConfigurationError


class HandlerError(ConfigurationError):
    """A dotted path that does not lead to a handler that can be run."""


class LoadedHandler(NamedTuple):
    """A handler and how it is called.

    Attributes:
        function: what is called.
        takes_job: with (argument, job), else with (argument).
        is_generator: it streams: what it yields goes out as WORK_DATA.
    """

    function: Callable[..., Any]
    takes_job: bool
    is_generator: bool = False


def load(dotted: str) -> LoadedHandler:
    """The handler at ``package.module.function`` or ``package.module:object.method``.

    Raises:
        HandlerError: it does not import, is not callable, is ``async`` or takes other parameters.
    """
    return examine(resolve(dotted), dotted)


def examine(function: Any, name: str) -> LoadedHandler:
    """How to call ``function``; ``name`` is for messages.

    Raises:
        HandlerError: it cannot be a handler.
    """
    if not callable(function):
        raise HandlerError(f"{name} is not callable, it is {type(function).__name__}")
    if inspect.isclass(function):
        raise HandlerError(f"{name} is a class; name a function or a method of an object")
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    if not (inspect.isfunction(plain) or inspect.ismethod(plain) or inspect.isbuiltin(plain)):
        plain = getattr(plain, "__call__", plain)  # noqa: B004 - the method itself is wanted
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        raise HandlerError(
            f"{name} is async; gearpool runs greenlets, so write an ordinary function that waits as usual"
        )
    return LoadedHandler(function, _takes_job(function, name), inspect.isgeneratorfunction(plain))


def exception_class(name: str) -> type[BaseException]:
    """The exception class at a dotted path; builtins by their bare name.

    Raises:
        HandlerError: there is no such class.
    """
    found = getattr(builtins, name, None) if "." not in name and ":" not in name else resolve(name)
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise HandlerError(f"{name} is not an exception class")
    return found


def resolve(dotted: str) -> Any:
    """The object at ``package.module.name`` or ``package.module:object.attribute``.

    Raises:
        HandlerError: it is not there, or importing it failed.
    """
    module_name, colon, rest = dotted.partition(":")
    attributes = rest.split(".") if colon else []
    if not colon:
        module_name, _, last = dotted.rpartition(".")
        attributes = [last]
    if not module_name or not all(part.isidentifier() for part in [*module_name.split("."), *attributes]):
        raise HandlerError(
            f'{dotted!r} is not a dotted path; write "package.module.function" or "package.module:object.method"'
        )
    found: Any = _import(module_name)
    path = module_name
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise HandlerError(f"{path} has no {attribute!r}{_nearest(attribute, found)}") from None
        except (Exception, SystemExit) as error:  # a lazy module imports now; a property may do anything
            raise HandlerError(_story(f"looking up {attribute!r} in {path}", error)) from error
        path = f"{path}.{attribute}"
    return found


def _nearest(attribute: str, found: Any) -> str:
    try:
        near = difflib.get_close_matches(attribute, dir(found), 1, 0.7)
    except Exception:  # noqa: BLE001 - dir() asks the object, which may be a proxy of nothing
        near = []
    return f"; did you mean {near[0]!r}?" if near else ""


def _inside(name: str) -> str:
    """A hint, if ``name`` is no module but something in one."""
    module, _, last = name.rpartition(".")
    found = last in getattr(sys.modules.get(module), "__dict__", ())
    return f'; {module} has {last!r}, so write "{module}:{last}.METHOD"' if found else ""


def _searched(name: str) -> list[str]:
    """The folders in which a module of this name was searched, without those of the standard library."""
    package = name.rpartition(".")[0]
    if package:
        folders = dict.fromkeys(map(str, getattr(sys.modules.get(package), "__path__", ())))
        return list(folders) or [f"{package}, which is no package"]
    library = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    places = [str(Path(each or ".").absolute()) for each in sys.path]
    return [
        place for place in dict.fromkeys(places)
        if place not in library and not place.endswith((".zip", "lib-dynload", ".egg-info"))
    ]  # fmt: skip


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = _inside(error.name) or f"\n    searched: {', '.join(_searched(error.name))}"
            raise HandlerError(
                f"there is no module {error.name!r} on import_path or among the installed packages{hint}"
            ) from error
        raise HandlerError(_story(f"importing {name}", error)) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything while it is imported, GreenletExit for one
        raise HandlerError(_story(f"importing {name}", error)) from error


def _story(what: str, error: BaseException) -> str:
    """The error and where in the user's code it came from."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "importlib" not in frame.filename
    ]
    where = "".join(f"\n    {frame.filename}:{frame.lineno}: {frame.line}" for frame in frames)
    if isinstance(error, SyntaxError) and error.filename:
        where += f"\n    {error.filename}:{error.lineno}: {(error.text or '').strip()}"
    return f"{what} failed: {type(error).__name__}{f': {error}' if str(error) else ''}{where}"


def _takes_job(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False  # a builtin without a signature: give it the argument alone
    positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = [each for each in positional if each.default is each.empty]
    starred = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is each.empty]
    if len(needed) > 2 or keywords or not (positional or starred):
        raise HandlerError(f"{name}{inspect.signature(function)} must take (arg) or (arg, job)")
    return len(needed) == 2 or starred or (len(positional) >= 2 and positional[1].name == "job")
