"""Makes calls that block in threads, so that the event loop serves other requests meanwhile. Floor 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gevent

_T = TypeVar("_T")


def in_thread(call: Callable[..., _T], *arguments: Any) -> _T:
    """Make the call in a thread; other requests are served meanwhile."""

    def guarded() -> tuple[_T | None, Exception | None]:
        # gevent would log what leaves the thread as an error, too.
        try:
            return call(*arguments), None
        except Exception as error:  # noqa: BLE001 - it is raised again below
            return None, error

    result, error = gevent.get_hub().threadpool.apply(guarded)
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]
