"""What gevent's patching does not reach: modules that were there before it, and drivers that wait in C. Floor 3.

Only what prevents handlers from yielding is reported. It is normal that the standard library was imported before, and
so is a module that uses it by name (``socket.socket``); a module that imported the function itself (``from time import
sleep``) keeps the unpatched one.
"""

from __future__ import annotations

import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

_WAITING = {
    "time": ("sleep",),
    "socket": ("socket", "create_connection", "getaddrinfo", "gethostbyname", "socketpair"),
    "ssl": ("SSLContext", "SSLSocket"),
    "select": ("select", "poll", "epoll"),
    "selectors": ("DefaultSelector", "EpollSelector"),
    "threading": ("Lock", "RLock", "local"),  # not Thread or Event, which find their lock when they wait
    "_thread": ("allocate_lock", "start_new_thread", "RLock"),
    "queue": ("Queue", "SimpleQueue", "LifoQueue", "PriorityQueue"),
    "subprocess": ("Popen", "run", "call", "check_call", "check_output"),
}
"""What waits, of all that gevent replaces."""

_SHOWN = 4


def patch(before: Iterable[str]) -> list[str]:
    """Patch the standard library; what that did not reach is returned, a sentence each.

    Args:
        before: names of the modules that the interpreter had loaded when it started, as a worker has them, too.
    """
    from gevent import monkey

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", monkey.MonkeyPatchWarning)
        monkey.patch_all()
    found = [
        f"{name} was imported before the patching, by sitecustomize or a .pth file, and keeps {_some(kept)} unpatched, "
        "which does not know greenlets: what waits there blocks every job; import it in the handlers' modules"
        for name, kept in unpatched({name: sys.modules[name] for name in before if name in sys.modules}).items()
    ]
    for warning in caught:
        if issubclass(warning.category, monkey.MonkeyPatchWarning):
            found.append(f"gevent: {' '.join(str(warning.message).split())}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return found


def unpatched(modules: Mapping[str, Any]) -> dict[str, list[str]]:
    """By top-level package what those of ``modules`` that are neither Python's nor ours kept of before the patching."""
    originals = _originals()
    found: dict[str, list[str]] = {}
    for name, module in sorted(modules.items()):
        if not isinstance(module, ModuleType) or is_ours_or_pythons(name, module):
            continue
        for each in _kept(module, originals):
            names = found.setdefault(name.partition(".")[0], [])
            if each not in names:
                names.append(each)
    return found


def _originals() -> dict[int, str]:
    """Names by the identity of what gevent replaced."""
    from gevent import monkey

    found: dict[int, str] = {}
    for module, names in _WAITING.items():
        for name in names:
            now = getattr(sys.modules.get(module), name, None)
            original = monkey.get_original(module, name) if now is not None else None
            if original is not None and original is not now:
                found.setdefault(id(original), f"{module}.{name}")
    return found


def _kept(module: ModuleType, originals: Mapping[int, str]) -> Iterator[str]:
    for value in list(vars(module).values()):
        if id(value) in originals:
            yield originals[id(value)]
        elif isinstance(value, type) and getattr(value, "__module__", None) == module.__name__:
            for base in value.__mro__[1:]:
                if id(base) in originals:
                    yield f"{originals[id(base)]} (in its class {value.__name__})"
                    break


def is_ours_or_pythons(name: str, module: ModuleType) -> bool:
    """Whether a module is of the standard library, gearpool, gevent or greenlet, or no file of Python's at all."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("gearpool", "gevent", "greenlet", "__main__"):
        return True
    path = vars(module).get("__file__")
    return not isinstance(path, str) or ("site-packages" not in path and path.startswith(sysconfig.get_path("stdlib")))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


_BLOCKING = {
    "psycopg2": "call psycogreen.gevent.patch_psycopg(), or use psycopg 3 or pg8000",
    "MySQLdb": "use PyMySQL",
    "_mysql_connector": "connect with use_pure=True, or use PyMySQL",
    "cx_Oracle": "use oracledb in its thin mode",
    "pymssql": "use pytds",
    "pyodbc": "run it in gevent's thread pool",
    "grpc": "call grpc.experimental.gevent.init_gevent()",
    "zmq": "use zmq.green",
    "pycurl": "use geventhttpclient or requests",
    "pylibmc": "use pymemcache",
    "confluent_kafka": "use kafka-python",
}
"""Modules that wait in C where gevent does not see it, and what to do instead."""


def blocking() -> dict[str, str]:
    """Drivers that handlers have imported and that hold up all jobs of a process when they wait, and what to do."""
    return {name: instead for name, instead in _BLOCKING.items() if name in sys.modules and not _is_tamed(name)}


def _is_tamed(name: str) -> bool:
    """Whether somebody has made it wait in greenlets already, as far as can be seen."""
    if name == "psycopg2":
        extensions = sys.modules.get("psycopg2.extensions")
        callback = getattr(extensions, "get_wait_callback", None)
        return callback is not None and callback() is not None
    if name == "zmq":
        return "zmq.green" in sys.modules
    return name == "grpc" and "grpc.experimental.gevent" in sys.modules
