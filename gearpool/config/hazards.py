"""What handlers use that does not go with greenlets, found in their code without running it. Floor 3; pure.

These are hints, never errors: what is reported may be used in a way that is fine. Only the user's own modules are
examined, not installed packages.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from gearpool.config.patching import is_ours_or_pythons

POOL = (
    "multiprocessing.Pool, which hangs in a patched process: let worker processes of gearpool compute (processes: auto and "
    "a low concurrency), use subprocess, or set monkey_patch: false and concurrency: 1 in a file of their own"
)
EXECUTOR = (
    "ProcessPoolExecutor, which hangs in a patched process once arguments and results exceed a pipe's 64 KiB: let worker "
    "processes of gearpool compute (processes: auto and a low concurrency), or use subprocess"
)
ASYNCIO = (
    "asyncio.run, which fails in two jobs of one process at once: run it in a native thread, by "
    "gevent.get_hub().threadpool.apply(asyncio.run, (coroutine(),))"
)


def hazards(modules: Mapping[str, Any]) -> list[str]:
    """A sentence for each of the user's ``modules`` (as in ``sys.modules``) and what it uses."""
    return [
        f"{name} uses {what}"
        for name, module in sorted(modules.items())
        if isinstance(module, types.ModuleType) and _is_users(name, module)
        for what in _found(module)
    ]


def _found(module: types.ModuleType) -> Iterator[str]:
    values = list(vars(module).values())
    names = {name for code in _codes(module) for name in code.co_names}
    if any(map(_is_pool, values)) or ("Pool" in names and _has(values, names, multiprocessing)):
        yield POOL
    executor = getattr(sys.modules.get("concurrent.futures.process"), "ProcessPoolExecutor", None)
    if "ProcessPoolExecutor" in names or (executor is not None and any(value is executor for value in values)):
        yield EXECUTOR
    if any(value is asyncio.run for value in values) or (
        names & {"run", "run_until_complete"} and _has(values, names, asyncio)
    ):
        yield ASYNCIO


def _is_pool(value: Any) -> bool:
    """``Pool`` of the package, of a context, or the class behind both."""
    function = vars(multiprocessing.context.BaseContext)["Pool"]
    if type(value) is types.MethodType and value.__func__ is function:
        return True
    pool = getattr(sys.modules.get("multiprocessing.pool"), "Pool", None)
    return pool is not None and value is pool


def _has(values: list[Any], names: set[str], module: types.ModuleType) -> bool:
    """Whether the module is a global, under whatever name, or imported within a function."""
    return module.__name__ in names or any(value is module for value in values)


def _codes(module: types.ModuleType) -> Iterator[types.CodeType]:
    """The code of every function that the module defines, of methods and inner functions, too.

    Types are asked, not objects: a proxy may raise anything when it is inspected.
    """
    for value in list(vars(module).values()):
        inside = list(vars(value).values()) if issubclass(type(value), type) else [value]
        for found in inside:
            function = found.__func__ if type(found) in (classmethod, staticmethod) else found
            if type(function) is types.FunctionType and function.__module__ == module.__name__:
                yield from _with_inner(function.__code__)


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_inner(constant)


def _is_users(name: str, module: types.ModuleType) -> bool:
    if is_ours_or_pythons(name, module):
        return False
    return not {"site-packages", "dist-packages"} & set(vars(module)["__file__"].split("/"))
