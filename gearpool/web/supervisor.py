"""Sends requests to the supervisor, as an operator does to the control socket, and waits for the answers. Floor 3."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult

Object = dict[str, Any]

WAIT_S = 15.0
"""How long an answer may take. Workers that are blocked do not delay one."""


class NoAnswerError(Exception):
    """The supervisor did not answer in time."""


class Supervisor:
    """The supervisor as seen from the web child.

    Args:
        send: sends a request with its number.
    """

    def __init__(self, send: Callable[[int, Object], object]) -> None:
        self._send = send
        self._numbers = itertools.count(1)
        self._open: dict[int, AsyncResult[Object]] = {}

    def ask(self, do: str, wait_s: float = WAIT_S, **fields: Any) -> Object:
        """Send a request; returns ``{"ok": true, "result": …}`` or ``{"ok": false, "error": TEXT}``.

        Raises:
            NoAnswerError: there was no answer within ``wait_s``.
        """
        number = next(self._numbers)
        answer: AsyncResult[Object] = AsyncResult()
        self._open[number] = answer
        try:
            self._send(number, {"do": do, **fields})
            result: Object = answer.get(timeout=wait_s)
            return result
        except gevent.Timeout:
            raise NoAnswerError(f"the daemon did not answer within {wait_s:g} s") from None
        finally:
            del self._open[number]

    def answered(self, number: int, answer: Object) -> None:
        """An answer has arrived; one that is no longer waited for is dropped."""
        waiting = self._open.get(number)
        if waiting is not None:
            waiting.set(answer)
