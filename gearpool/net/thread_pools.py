"""Native threads of gearpool's own, for calls that would block the event loop. Floor 2.

gearpool never uses the hub's thread pool, because handlers may fill it (the whole process shares its ten threads, see
config/README). Each piece that makes blocking calls has a small pool of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gevent.event import AsyncResult
from gevent.hub import get_hub
from gevent.threadpool import ThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")

IDLE_S = 30.0
"""An idle thread ends after this time."""


class ThreadsOfOurOwn:
    """At most ``size`` native threads; none before the first call.

    It may be called in any native thread that has an event loop, and in a forked child: with another event loop the
    threads are new ones, too.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: Any = None

    def start(self, call: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> AsyncResult:
        """Run ``call`` in a thread; waits only while all threads are busy.

        Returns:
            An AsyncResult that ends with (value, None) or (None, the exception raised): what leaves a gevent thread as
            an exception is printed on standard error.
        """
        hub = get_hub()
        if self._pool is None or self._pool.hub is not hub:
            self._pool = ThreadPool(self._size, hub=hub, idle_task_timeout=IDLE_S)
        return self._pool.spawn(_outcome, call, arguments, options)

    def run(self, call: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
        """Run ``call`` in a thread and wait for what it returns; raises what it raises."""
        value, error = self.start(call, *arguments, **options).get()
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]  # gevent has no types


def _outcome(call: Callable[..., _T], arguments: Any, options: Any) -> tuple[_T | None, Exception | None]:
    try:
        return call(*arguments, **options), None
    except Exception as error:  # noqa: BLE001 - the caller gets it
        return None, error
