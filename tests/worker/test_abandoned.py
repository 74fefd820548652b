"""Jobs that are reported without waiting for their handler."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from gevent import GreenletExit

from gearpool.jobs import Draining, End, JobTimeout, Outcome
from gearpool.worker.abandoned import Abandoned
from gearpool.worker.runs import Run
from tests.worker.plain import Owed


class Reports:
    """Abandoned runs, what is concluded of them, and the reasons for a replacement."""

    def __init__(self) -> None:
        self.concluded: list[tuple[Run, Outcome]] = []
        self.reasons: list[str] = []
        verdicts: Any = SimpleNamespace(conclude=lambda run, outcome: self.concluded.append((run, outcome)))
        self.abandoned = Abandoned(verdicts, self.reasons.append)


def make_run(throw: Any = None, *, importing: bool = False) -> Run:
    code = SimpleNamespace(co_filename="<frozen importlib._bootstrap>" if importing else "shop.py")
    owed = Owed()
    return Run(
        owed.replies, owed.job(), SimpleNamespace(gr_frame=SimpleNamespace(f_code=code, f_back=None), throw=throw)
    )


@pytest.fixture
def reports() -> Reports:
    return Reports()


def test_an_overdue_run_is_reported_with_the_reason_of_its_interrupt(reports: Reports) -> None:
    run = make_run()
    run.interrupted(JobTimeout("over"))
    run.interrupted(GreenletExit())
    reports.abandoned.overdue(run)
    ((concluded, outcome),) = reports.concluded
    assert concluded is run
    assert outcome.end is End.TIMED_OUT
    assert run.abandoned
    assert run.job in reports.abandoned
    reports.abandoned.ended(run)
    assert run.job not in reports.abandoned


def test_a_stuck_run_requests_a_replacement_of_the_process(reports: Reports) -> None:
    reports.abandoned.stuck(make_run())
    assert reports.reasons == ["a handler of work cannot be ended"]
    reports.abandoned.replace = None
    reports.abandoned.stuck(make_run())


def test_a_run_that_is_cut_off_is_killed_and_concluded_by_its_own_end(reports: Reports) -> None:
    run: Run = make_run(lambda error: run.end())
    reports.abandoned.cut_off(run)
    assert [type(error) for error in run.thrown] == [GreenletExit]
    assert reports.concluded == []


@pytest.mark.parametrize("importing", [False, True])
def test_a_run_that_does_not_end_when_it_is_cut_off_is_reported_once_as_drained(
    reports: Reports, importing: bool
) -> None:
    run = make_run(lambda error: None, importing=importing)
    reports.abandoned.cut_off(run)
    reports.abandoned.cut_off(run)
    ((_, outcome),) = reports.concluded
    assert outcome.end is End.DRAINED
    assert isinstance(outcome.error, Draining)
    assert len(run.thrown) == (0 if importing else 1)
