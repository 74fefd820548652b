"""Sends a query to all workers and collects the answers. Floor 4.

Invariant: a blocked worker does not delay the answer. Its shared page and its faulthandler provide its part of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from gearpool.messages import ListStacks, Query, Reply
from gearpool.supervisor.channel import Object
from gearpool.supervisor.child import Child, job_fields
from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.guard import Guard
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.states import ChildState

WAIT_S = 1.0
"""How long a worker that is not blocked has to answer."""


@dataclass
class WorkerQuery:
    """One query to several workers.

    Attributes:
        done: called with the answers.
        open: workers that have not answered yet.
        wants_stacks: whether a blocked worker's answer includes its stacks.
        dumping: pids of the workers that are writing their stacks.
        answers: one for each worker: ``worker``, and ``result`` or ``error``.
    """

    done: Callable[[list[Object]], object]
    open: dict[int, Child]
    wants_stacks: bool = False
    dumping: set[int] = field(default_factory=set)
    answers: list[Object] = field(default_factory=list)
    timer: Timer | None = None


class WorkerQueries:
    """Sends queries and collects the answers."""

    def __init__(self, loop: Loop, fleet: Fleet, guard: Guard) -> None:
        self._loop = loop
        self._fleet = fleet
        self._guard = guard
        self._ids = itertools.count(1)
        self._open: dict[int, WorkerQuery] = {}

    def ask(self, query: Callable[[int], Query], done: Callable[[list[Object]], object]) -> None:
        """Send every worker ``query(id)``; ``done(answers)`` is called once, within a few seconds."""
        number = next(self._ids)
        asked = {
            child.pid: child
            for child in self._fleet.all()
            if child.state in {ChildState.READY, ChildState.RETIRING, ChildState.DRAINING}
        }
        pending = self._open[number] = WorkerQuery(done, dict(asked), wants_stacks=query is ListStacks)
        pending.timer = self._loop.later(WAIT_S, lambda: self._overdue(number))
        for child in asked.values():
            child.send(query(number))
            if self._guard.stalled_s(child):
                self._answer_for(number, pending, child)
        if not asked:
            self._loop.soon(lambda: self._close(number))

    def answered(self, child: Child, reply: Reply) -> None:
        """A worker has replied."""
        answer: Object = {"result": reply.result} if reply.error is None else {"error": reply.error}
        self._take(reply.id, child, answer)

    def child_ended(self, child: Child) -> None:
        """A worker has ended: it will not answer."""
        for number in list(self._open):
            self._take(number, child, {"error": "the process has ended"})

    def _take(self, number: int, child: Child, answer: Object) -> None:
        pending = self._open.get(number)
        if pending is None or pending.open.pop(child.pid, None) is None:
            return
        pending.answers.append({"worker": child.pid, **answer})
        if not pending.open:
            self._close(number)

    def _answer_for(self, number: int, pending: WorkerQuery, child: Child) -> None:
        if pending.wants_stacks:
            pending.dumping.add(child.pid)
            child.ask_for_stacks(lambda dump: self._blocked(number, child, dump))
        else:
            self._loop.later(0.0, lambda: self._blocked(number, child))

    def _blocked(self, number: int, child: Child, stacks: str = "") -> None:
        if child.state is ChildState.ENDED:
            return
        answer: Object = {
            "error": "blocked",
            "blocked_s": round(self._guard.stalled_s(child), 3),
            "stacks": stacks or None,
            **job_fields(child.read_page(), self._fleet.settings_of(child).functions),
        }
        self._take(number, child, answer)

    def _overdue(self, number: int) -> None:
        pending = self._open.get(number)
        if pending is None:
            return
        for child in list(pending.open.values()):
            if child.pid in pending.dumping:
                continue  # the dump has its own time limit
            if child.state is ChildState.ENDED:
                self._take(number, child, {"error": "the process has ended"})
            elif self._guard.stalled_s(child):
                self._answer_for(number, pending, child)
            else:
                self._take(number, child, {"error": f"no answer within {WAIT_S:g} s"})

    def _close(self, number: int) -> None:
        pending = self._open.pop(number, None)
        if pending is not None:
            if pending.timer is not None:
                pending.timer.cancel()
            pending.answers.sort(key=lambda answer: answer["worker"])
            pending.done(pending.answers)
