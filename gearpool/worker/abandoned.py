"""Jobs that are reported without waiting for their handler, which cannot be ended. Floor 3.

A handler that swallows even its killing, or that is in the midst of an import at the end of its grace, would hold its slot
and its client for ever. Law: what such a handler says of its job later goes nowhere, and when it ends nobody asks why.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent import GreenletExit

from gearpool.jobs import Draining, End, Job, Outcome
from gearpool.worker.importing import is_importing
from gearpool.worker.runs import Run
from gearpool.worker.verdicts import Verdicts


class Abandoned:
    """Those of one pool.

    Args:
        verdicts: reports them.
        replace: called with the reason why this process should be replaced; None: nobody can.
    """

    def __init__(self, verdicts: Verdicts, replace: Callable[[str], None] | None) -> None:
        self.replace = replace
        self._verdicts = verdicts
        self._jobs: set[Job] = set()

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def overdue(self, run: Run) -> None:
        """The grace of ``run`` is over: report what it was interrupted for, and give back its slot."""
        self._report(run, self._verdicts.outcome(run, run.thrown[0]))

    def stuck(self, run: Run) -> None:
        """This process cannot get rid of ``run``: have it replaced."""
        if self.replace is not None:
            self.replace(f"a handler of {run.job.function} cannot be ended")

    def cut_off(self, run: Run) -> None:
        """The drain is over: kill the handler, and report its job, or hand it back, whether or not it ends. In the hub."""
        if run.abandoned:
            return
        if not is_importing(run.greenlet.gr_frame):
            run.throw(GreenletExit())
        if not run.ended:
            self._report(run, Outcome(End.DRAINED, error=Draining("the process is going away")))

    def ended(self, run: Run) -> None:
        """The handler of one of them has ended at last."""
        self._jobs.discard(run.job)

    def _report(self, run: Run, outcome: Outcome) -> None:
        run.abandoned = True
        self._jobs.add(run.job)
        self._verdicts.conclude(run, outcome)
