from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.page import Activity, Beat
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.supervisor.questions import WAIT_S, Questions
from gearpool.supervisor.states import Stage
from tests.supervisor.fake_loop import FakeLoop

SETTINGS = Settings(servers=(ServerSettings(host="a"),), functions=(FunctionSettings(name="f", handler="x.f"),))


class Worker:
    """A worker that answers nothing by itself."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.stage = Stage.READY
        self.stalled_s = 0.0
        self.waiting: list[Callable[[str], object]] = []

    def send(self, message: dict[str, Any]) -> None:
        pass

    def beat(self) -> Beat:
        return Beat(1, 0.0, 0, Activity.JOB, b"H:1", b"")

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        self.waiting.append(then)


class Asking:
    def __init__(self, *workers: Worker) -> None:
        self.loop = FakeLoop()
        self.answers: list[list[dict[str, Any]]] = []
        pool = SimpleNamespace(all=lambda: list(workers), settings_of=lambda _worker: SETTINGS)
        guard = SimpleNamespace(stalled_s=lambda worker: worker.stalled_s)
        self.questions = Questions(self.loop, pool, guard)  # type: ignore[arg-type] # what they use of them

    def ask(self, do: str) -> None:
        self.questions.ask(do, self.answers.append)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_is_blocked_before_or_after_it_is_asked_answers_with_its_stacks(when: str) -> None:
    worker = Worker(7)
    asking = Asking(worker)
    worker.stalled_s = 3.0 if when == "before" else 0.0
    asking.ask("stacks")
    worker.stalled_s = 3.0
    asking.loop.advance(WAIT_S + 0.5)
    assert asking.answers == [], "its dump is waited for, however long it takes"
    (then,) = worker.waiting
    then("File shop.py")
    assert asking.answers == [
        [{"worker": 7, "error": "blocked", "blocked_s": 3.0, "stacks": "File shop.py", "function": "f", "handle": "H:1"}
         | {"unique": None}]
    ]  # fmt: skip


def test_a_worker_that_is_blocked_is_asked_for_its_stacks_only_if_they_are_wanted() -> None:
    worker = Worker(7)
    worker.stalled_s = 3.0
    asking = Asking(worker)
    asking.ask("jobs")
    asking.loop.advance(0.5)
    assert worker.waiting == []
    assert asking.answers[0][0]["handle"] == "H:1"


def test_a_worker_that_does_not_answer_delays_the_others_by_no_more_than_the_limit() -> None:
    first, second = Worker(7), Worker(8)
    asking = Asking(second, first)
    asking.ask("jobs")
    asking.questions.answered(second, {"id": 1, "result": []})  # type: ignore[arg-type]
    asking.loop.advance(WAIT_S - 0.5)
    assert asking.answers == []
    asking.loop.advance(0.5)
    assert asking.answers == [[{"worker": 7, "error": "no answer within 1 s"}, {"worker": 8, "result": []}]]


def test_a_worker_that_goes_while_its_stacks_are_waited_for_is_answered_for() -> None:
    worker = Worker(7)
    worker.stalled_s = 3.0
    asking = Asking(worker)
    asking.ask("stacks")
    worker.stage = Stage.GONE
    asking.questions.gone(worker)  # type: ignore[arg-type]
    worker.waiting[0]("")
    assert asking.answers == [[{"worker": 7, "error": "the process has ended"}]]
