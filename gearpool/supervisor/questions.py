"""Questions to the workers: asked of all at once, answered as far as they can answer. Floor 4.

Law: a worker that is blocked delays nobody. What its page and its faulthandler show is its answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import Child, beat_fields
from gearpool.supervisor.guard import Guard
from gearpool.supervisor.loop import Loop, Timer
from gearpool.supervisor.pool import Pool
from gearpool.supervisor.states import Stage

WAIT_S = 1.0
"""What a worker that does turn is given to answer."""


@dataclass
class Question:
    """One question to several workers; ``answers`` has one entry a worker: ``worker`` and ``result`` or ``error``.

    Attributes:
        wants_stacks: a worker that is blocked answers with its stacks.
        dumping: pids of those that are writing them.
    """

    done: Callable[[list[Message]], object]
    open: dict[int, Child]
    wants_stacks: bool = False
    dumping: set[int] = field(default_factory=set)
    answers: list[Message] = field(default_factory=list)
    timer: Timer | None = None


class Questions:
    """Asks and collects."""

    def __init__(self, loop: Loop, pool: Pool, guard: Guard) -> None:
        self._loop = loop
        self._pool = pool
        self._guard = guard
        self._ids = itertools.count(1)
        self._open: dict[int, Question] = {}

    def ask(self, do: str, done: Callable[[list[Message]], object], **fields: Any) -> None:
        """Ask every worker ``{"do": do, …fields}``; ``done(answers)`` is called once, within a few seconds."""
        number = next(self._ids)
        asked = {
            child.pid: child
            for child in self._pool.all()
            if child.stage in {Stage.READY, Stage.RETIRING, Stage.DRAINING}
        }
        question = self._open[number] = Question(done, dict(asked), wants_stacks=do == "stacks")
        question.timer = self._loop.later(WAIT_S, lambda: self._overdue(number))
        for child in asked.values():
            child.send({"do": do, "id": number, **fields})
            if self._guard.stalled_s(child):
                self._answer_for(number, question, child)
        if not asked:
            self._loop.soon(lambda: self._close(number))

    def answered(self, child: Child, message: Message) -> None:
        """A worker's reply has come."""
        number = message.get("id")
        if isinstance(number, int):
            kept: Message = {name: value for name, value in message.items() if name in {"result", "error"}}
            self._take(number, child, kept)

    def gone(self, child: Child) -> None:
        """A worker has gone: it will not answer."""
        for number in list(self._open):
            self._take(number, child, {"error": "the process has ended"})

    def _take(self, number: int, child: Child, answer: Message) -> None:
        question = self._open.get(number)
        if question is None or question.open.pop(child.pid, None) is None:
            return
        question.answers.append({"worker": child.pid, **answer})
        if not question.open:
            self._close(number)

    def _answer_for(self, number: int, question: Question, child: Child) -> None:
        if question.wants_stacks:
            question.dumping.add(child.pid)
            child.ask_for_stacks(lambda dump: self._blocked(number, child, dump))
        else:
            self._loop.later(0.0, lambda: self._blocked(number, child))

    def _blocked(self, number: int, child: Child, stacks: str = "") -> None:
        if child.stage is Stage.GONE:
            return
        beat = child.beat()
        answer: Message = {
            "error": "blocked",
            "blocked_s": round(self._guard.stalled_s(child), 3),
            "stacks": stacks or None,
        }
        for name, value in beat_fields(beat, self._pool.settings_of(child).functions).items():
            answer[name] = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        self._take(number, child, answer)

    def _overdue(self, number: int) -> None:
        question = self._open.get(number)
        if question is None:
            return
        for child in list(question.open.values()):
            if child.pid in question.dumping:
                continue  # that has a limit of its own
            if child.stage is Stage.GONE:
                self._take(number, child, {"error": "the process has ended"})
            elif self._guard.stalled_s(child):
                self._answer_for(number, question, child)
            else:
                self._take(number, child, {"error": f"no answer within {WAIT_S:g} s"})

    def _close(self, number: int) -> None:
        question = self._open.pop(number, None)
        if question is not None:
            if question.timer is not None:
                question.timer.cancel()
            question.answers.sort(key=lambda answer: answer["worker"])
            question.done(question.answers)
