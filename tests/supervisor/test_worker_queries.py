from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.messages import Command, ListJobs, ListStacks, Query, Reply
from gearpool.page import Activity, Reading
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.supervisor.states import ChildState
from gearpool.supervisor.worker_queries import WAIT_S, WorkerQueries
from tests.supervisor.fake_loop import FakeLoop

SETTINGS = Settings(servers=(ServerSettings(host="a"),), functions=(FunctionSettings(name="f", handler="x.f"),))


class Worker:
    """A worker that answers only when a test says so."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.state = ChildState.READY
        self.stalled_s = 0.0
        self.waiting: list[Callable[[str], object]] = []

    def send(self, command: Command) -> None:
        pass

    def read_page(self) -> Reading:
        return Reading(1, 0.0, 0, Activity.JOB, b"H:1", b"")

    def ask_for_stacks(self, then: Callable[[str], object]) -> None:
        self.waiting.append(then)


class Asking:
    def __init__(self, *workers: Worker) -> None:
        self.loop = FakeLoop()
        self.answers: list[list[dict[str, Any]]] = []
        pool = SimpleNamespace(all=lambda: list(workers), settings_of=lambda _worker: SETTINGS)
        guard = SimpleNamespace(stalled_s=lambda worker: worker.stalled_s)
        self.queries = WorkerQueries(self.loop, pool, guard)  # type: ignore[arg-type] # what they use of them

    def ask(self, query: Callable[[int], Query]) -> None:
        self.queries.ask(query, self.answers.append)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_answer_of_a_blocked_worker_includes_its_stacks(when: str) -> None:
    worker = Worker(7)
    asking = Asking(worker)
    worker.stalled_s = 3.0 if when == "before" else 0.0
    asking.ask(ListStacks)
    worker.stalled_s = 3.0
    asking.loop.advance(WAIT_S + 0.5)
    assert asking.answers == [], "the dump has its own time limit"
    (then,) = worker.waiting
    then("File shop.py")
    assert asking.answers == [
        [{"worker": 7, "error": "blocked", "blocked_s": 3.0, "stacks": "File shop.py", "function": "f", "handle": "H:1"}
         | {"unique": None}]
    ]  # fmt: skip


def test_stacks_of_a_blocked_worker_are_dumped_only_for_a_stacks_query() -> None:
    worker = Worker(7)
    worker.stalled_s = 3.0
    asking = Asking(worker)
    asking.ask(ListJobs)
    asking.loop.advance(0.5)
    assert worker.waiting == []
    assert asking.answers[0][0]["handle"] == "H:1"


def test_a_worker_that_does_not_answer_delays_the_result_by_no_more_than_the_limit() -> None:
    first, second = Worker(7), Worker(8)
    asking = Asking(second, first)
    asking.ask(ListJobs)
    asking.queries.answered(second, Reply(1, []))  # type: ignore[arg-type]
    asking.loop.advance(WAIT_S - 0.5)
    assert asking.answers == []
    asking.loop.advance(0.5)
    assert asking.answers == [[{"worker": 7, "error": "no answer within 1 s"}, {"worker": 8, "result": []}]]


def test_a_worker_that_ends_while_its_stacks_are_dumped_gets_an_error_answer() -> None:
    worker = Worker(7)
    worker.stalled_s = 3.0
    asking = Asking(worker)
    asking.ask(ListStacks)
    worker.state = ChildState.ENDED
    asking.queries.child_ended(worker)  # type: ignore[arg-type]
    worker.waiting[0]("")
    assert asking.answers == [[{"worker": 7, "error": "the process has ended"}]]
