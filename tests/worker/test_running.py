"""The table of running jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import getcurrent

from gearpool.jobs import Killed, Outcome
from gearpool.page import Page
from gearpool.protocol.packets import PacketType
from gearpool.worker.admission import Admission
from gearpool.worker.running import Running
from gearpool.worker.runs import Run
from tests.worker.plain import Owed
from tests.worker.serving import function


class Table:
    """The running jobs over plain parts, with one slot in use."""

    def __init__(self) -> None:
        self.owed = Owed(function("work", lambda arg: arg, timeout_s=60.0))
        self.admission = Admission(10)
        self.admission.used = self.owed.function.slots.used = 1
        self.concluded: list[Outcome] = []
        self.limited: list[Run] = []
        self.interrupts: list[BaseException] = []
        self.abandoned: list[Run] = []
        verdicts: Any = SimpleNamespace(conclude=lambda run, outcome: self.concluded.append(outcome))
        abandoned: Any = SimpleNamespace(ended=self.abandoned.append)
        limits: Any = SimpleNamespace(
            arm=lambda run, timeout_s: self.limited.append(run),
            disarm=self.limited.remove,
            interrupt=lambda run, interrupt: self.interrupts.append(interrupt),
        )
        self.page = Page.private()
        self.running = Running(self.admission, verdicts, abandoned, limits, self.page)

    def begin(self, greenlet: Any = None) -> Run:
        job = self.owed.job()
        job.started = 1.0
        run = Run(self.owed.replies, job, getcurrent() if greenlet is None else greenlet)
        self.owed.replies.unreported += 1
        self.running.begin(run)
        return run


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_run_is_listed_limited_and_on_the_page_until_it_returns(table: Table) -> None:
    run = table.begin()
    assert table.running.current() is run
    assert table.running.on_cpu() is run.job
    assert table.limited == [run]
    assert [row.handle for row in table.page.jobs.rows()] == [b"H:1"]
    table.running.returned(run, b"result", 2.0)
    assert table.owed.sent() == [(PacketType.WORK_COMPLETE, [b"H:1", b"result"])]
    assert (table.running.runs, table.limited, list(table.page.jobs.rows())) == ({}, [], [])
    assert (table.admission.used, table.owed.replies.unreported) == (0, 0)
    assert table.owed.function.counters.snapshot()["outcomes"]["complete"] == 1


def test_the_outcome_of_a_handler_that_raises_is_concluded(table: Table) -> None:
    error = ValueError("no")
    table.running.raised(table.begin(), error)
    assert [outcome.error for outcome in table.concluded] == [error]


@pytest.mark.parametrize("raises", [False, True])
def test_the_outcome_of_an_abandoned_run_is_discarded(table: Table, raises: bool) -> None:
    run = table.begin()
    run.abandon()
    if raises:
        table.running.raised(run, ValueError("late"))
    else:
        table.running.returned(run, b"late", 2.0)
    assert (table.concluded, table.owed.sent(), table.abandoned) == ([], [], [run])
    assert table.admission.used == 1, "its slot was released when it was reported"


def test_the_job_of_a_leader_becomes_a_run_only_if_the_run_is_needed(table: Table) -> None:
    run = Run(table.owed.replies, table.owed.job(), getcurrent())
    leader: Any = SimpleNamespace(on_cpu=run.job, single_out=lambda: run)
    assert table.running.current() is None
    assert table.running.on_cpu() is None
    table.running.leaders[getcurrent()] = leader
    assert table.running.on_cpu() is run.job
    assert table.running.current() is run


def test_a_job_is_killed_once_by_its_handle(table: Table) -> None:
    run = table.begin()
    assert not table.running.kill("H:2")
    assert table.running.kill("server:4730/H:1")
    gevent.sleep(0)
    assert [type(each) for each in table.interrupts] == [Killed]
    run.interrupted(table.interrupts[0])
    assert table.running.kill("H:1")
    gevent.sleep(0)
    assert len(table.interrupts) == 1
    run.abandon()
    assert not table.running.kill("H:1")


def test_in_hub_calls_back_for_every_run(table: Table) -> None:
    runs = [table.begin(gevent.Greenlet()), table.begin(gevent.Greenlet())]
    called: list[tuple[Run, Any]] = []
    table.running.in_hub(lambda run: called.append((run, getcurrent())))
    hub = gevent.get_hub()
    assert called == [(run, hub) for run in runs]
