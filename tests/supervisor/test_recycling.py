from __future__ import annotations

from types import SimpleNamespace

import pytest

from gearpool.settings import RecycleSettings
from gearpool.supervisor import control_client
from gearpool.supervisor.recycling import Limits, Recycler, refusal
from gearpool.supervisor.states import ChildState
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings
from tests.supervisor.fake_loop import FakeLoop


def test_recycle_replaces_the_workers_one_after_the_other(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=3)).start().until_ready()
    before = daemon.workers()
    assert sorted(daemon.ask("recycle")["workers"]) == sorted(before)
    fewest = 3

    def replaced() -> bool:
        nonlocal fewest
        states = daemon.ask("status")["workers"]
        fewest = min(fewest, sum(worker["state"] in {"ready", "retiring"} for worker in states))
        return len(states) == 3 and not {worker["pid"] for worker in states} & set(before)

    wait_for(replaced, "three new workers")
    assert fewest == 3


def test_a_memory_limit_below_the_size_of_a_new_worker_is_refused_at_the_start(daemons: Factory) -> None:
    daemon = daemons(plain_settings(recycle=RecycleSettings(memory_bytes=1_000_000)))
    assert daemon.start().wait() == 78
    assert "recycle.memory" in daemon.events("daemon.start_failed")[0]["message"]


def test_a_memory_limit_below_the_size_of_a_new_worker_is_refused_by_a_reload(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    before = daemon.workers()
    daemon.configure(plain_settings(recycle=RecycleSettings(memory_bytes=1_000_000)))
    with pytest.raises(control_client.RefusedError, match=r"recycle\.memory"):
        daemon.ask("reload")
    assert daemon.workers() == before


def test_a_worker_that_has_run_enough_jobs_is_replaced(daemons: Factory) -> None:
    daemon = daemons(plain_settings(recycle=RecycleSettings(jobs=10, jitter=0.0))).start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, count=["complete", 10])
    daemon.until_workers(1, without=pid)
    assert daemon.ask("status")["restarts"] == {"jobs": 1}


def test_a_worker_that_asks_to_be_replaced_is_replaced(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.tell(pid, say={"event": "recycle", "reason": "stuck"})
    daemon.until_workers(1, without=pid)
    assert daemon.until_received(pid, "drain")


def test_each_limit_is_lowered_by_at_most_the_jitter() -> None:
    settings = RecycleSettings(jobs=100, memory_bytes=1000, jitter=0.2)
    assert Limits.draw(settings, lambda: 0.0) == Limits(100, None, 1000)
    assert Limits.draw(settings, lambda: 1.0) == Limits(80, None, 800)


@pytest.mark.parametrize(
    ("jobs", "age_s", "memory_bytes", "reason"),
    [(9, 59.0, 999, None), (10, 0.0, 0, "jobs"), (0, 60.0, 0, "age"), (0, 0.0, 1000, "memory")],
)
def test_the_limit_that_was_reached_is_named(jobs: int, age_s: float, memory_bytes: int, reason: str | None) -> None:
    assert Limits(10, 60.0, 1000).reached(jobs, age_s, memory_bytes) == reason
    assert Limits(None, None, None).reached(jobs, age_s, memory_bytes) is None


def test_a_memory_limit_is_refused_only_if_a_new_worker_may_exceed_it() -> None:
    settings = plain_settings(recycle=RecycleSettings(memory_bytes=1000, jitter=0.2))
    assert refusal(settings, 799) is None
    assert refusal(settings, 800) is not None
    assert refusal(settings, 0) is None, "nothing was measured yet"
    assert refusal(plain_settings(), 800) is None


class Worker:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.state = ChildState.READY
        self.generation = 1
        self.jobs = 0
        self.served_s = 0.0

    def memory_bytes(self) -> int:
        return 100


class Scene:
    """A recycler on a fake loop; a recycled worker retires until a test removes it."""

    def __init__(self, recycle: RecycleSettings | None, *workers: Worker) -> None:
        self.loop = FakeLoop()
        self.workers = list(workers)
        self.recycled: list[tuple[int, str]] = []
        fleet = SimpleNamespace(
            settings=plain_settings(recycle=recycle), generation=1, all=lambda: self.workers, serving=lambda: self.workers,
            find=lambda pid: next((each for each in self.workers if each.pid == pid), None), recycle=self.recycle,
        )  # fmt: skip
        self.recycler = Recycler(self.loop, fleet)  # type: ignore[arg-type] # what it uses of them
        self.recycler.start()

    def recycle(self, worker: Worker, reason: str) -> bool:
        worker.state = ChildState.RETIRING
        self.recycled.append((worker.pid, reason))
        return True

    def end(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.recycler.forget(worker)  # type: ignore[arg-type]


def test_workers_at_their_limit_are_replaced_one_after_the_other() -> None:
    first, second, third = Worker(1), Worker(2), Worker(3)
    scene = Scene(RecycleSettings(age_s=60.0, jitter=0.0), first, second, third)
    scene.loop.advance(5.0)
    assert scene.recycled == []
    first.served_s = second.served_s = 61.0
    scene.loop.advance(5.0)
    assert scene.recycled == [(1, "age")]
    scene.end(first)
    scene.loop.advance(1.0)
    assert scene.recycled == [(1, "age"), (2, "age")]


def test_a_worker_of_an_older_configuration_is_not_recycled() -> None:
    old = Worker(1)
    old.generation, old.served_s = 0, 61.0
    scene = Scene(RecycleSettings(age_s=60.0, jitter=0.0), old)
    scene.loop.advance(5.0)
    assert scene.recycled == []


def test_without_limits_only_requested_workers_are_replaced_and_nothing_is_checked() -> None:
    worker = Worker(1)
    scene = Scene(None, worker)
    assert scene.loop.timers == []
    scene.recycler.ask([worker], "asked")  # type: ignore[list-item]
    assert scene.recycled == [(1, "asked")]


def test_stop_ends_the_checks() -> None:
    scene = Scene(RecycleSettings(age_s=60.0))
    scene.recycler.stop()
    assert scene.loop.timers == []
