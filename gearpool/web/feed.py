"""Sends the document of `view` to every listener once, and then what has changed in it. Floor 3.

The document and its differences are made once for all listeners, and only while there are any. A listener that does not keep
up is disconnected; it connects again and gets the document of then.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import Full, Queue

from gearpool.web.merge_patch import merge_patch

MAX_LISTENERS = 50
EVERY_S = 1.0
"""An event is sent at least this often, also when nothing has changed: its absence tells the dashboard that we are gone."""
AT_MOST_EVERY_S = 0.2
BEHIND = 30
"""Events that may wait for a listener."""

Object = dict[str, Any]


class TooManyListenersError(Exception):
    """There are `MAX_LISTENERS` already."""


class Feed:
    """The events of one site.

    Args:
        make: returns the document of now.
    """

    def __init__(self, make: Callable[[], Object]) -> None:
        self._make = make
        self._listeners: set[Queue[bytes | None]] = set()
        self._number = 0
        self._document: Object = {}
        self._changed = Event()
        self._running: gevent.Greenlet[..., Any] | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    def changed(self) -> None:
        """Something has changed: the next event need not wait for its second."""
        self._changed.set()

    def listen(self) -> Iterator[bytes]:
        """The events for a new listener, until it or the feed is closed.

        Raises:
            TooManyListenersError: there is no room.
        """
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooManyListenersError(f"there are {MAX_LISTENERS} listeners already")
        queue: Queue[bytes | None] = Queue(BEHIND)
        self._listeners.add(queue)
        return self._events(queue)

    def close(self) -> None:
        """End every listener's events."""
        for queue in list(self._listeners):
            self._end(queue)
        if self._running is not None:
            self._running.kill(block=False)
            self._running = None

    def _events(self, queue: Queue[bytes | None]) -> Iterator[bytes]:
        try:
            if self._running is None:
                self._document = self._make()
                self._running = gevent.spawn(self._run)
            # What was queued meanwhile is a part of this document already.
            while not queue.empty():
                if queue.get() is None:
                    return
            yield _event("view", self._number, self._document)
            while (event := queue.get()) is not None:
                yield event
        finally:
            self._listeners.discard(queue)

    def _run(self) -> None:
        while self._listeners:
            self._changed.wait(EVERY_S)
            self._changed.clear()
            document = self._make()
            patch = merge_patch(self._document, document)
            self._document = document
            self._number += 1
            event = _event("change", self._number, patch)
            for queue in list(self._listeners):
                try:
                    queue.put_nowait(event)
                except Full:
                    self._end(queue)
            gevent.sleep(AT_MOST_EVERY_S)
        self._running = None

    def _end(self, queue: Queue[bytes | None]) -> None:
        self._listeners.discard(queue)
        with contextlib.suppress(Full):
            while queue.full():
                queue.get_nowait()
            queue.put_nowait(None)


def _event(name: str, number: int, value: Object) -> bytes:
    return f"event: {name}\nid: {number}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode("ascii")
