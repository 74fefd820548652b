"""Reports jobs without waiting for their handler, which cannot be ended. Floor 3.

A handler that ignores even GreenletExit, or is importing a module at the end of its grace period, would keep its slot and
its client waiting for ever. What such a handler sends later is discarded, and so is its outcome.
"""

from __future__ import annotations

from collections.abc import Callable

from gevent import GreenletExit

from gearpool.jobs import Draining, End, Job, Outcome
from gearpool.worker.importing import is_importing
from gearpool.worker.runs import Run
from gearpool.worker.verdicts import Verdicts, outcome_of


class Abandoned:
    """The abandoned runs of one process.

    Args:
        replace: called with the reason why this process should be replaced; None without a supervisor.
    """

    def __init__(self, verdicts: Verdicts, replace: Callable[[str], None] | None) -> None:
        self.replace = replace
        self._verdicts = verdicts
        self._jobs: set[Job] = set()

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def overdue(self, run: Run) -> None:
        """The grace period of ``run`` is over: report why it was interrupted, and release its slot."""
        self._report(run, outcome_of(run.thrown[0], run.thrown))

    def stuck(self, run: Run) -> None:
        """``run`` cannot be ended: request a replacement of this process."""
        if self.replace is not None:
            self.replace(f"a handler of {run.job.function} cannot be ended")

    def cut_off(self, run: Run) -> None:
        """The drain deadline has passed: kill the handler, and report its job even if it does not end. Called in the hub."""
        if run.abandoned:
            return
        if not is_importing(run.greenlet.gr_frame):
            run.throw(GreenletExit())
        if not run.ended:
            self._report(run, Outcome(End.DRAINED, error=Draining("the process is going away")))

    def ended(self, run: Run) -> None:
        """The handler of an abandoned run has ended after all."""
        self._jobs.discard(run.job)

    def _report(self, run: Run, outcome: Outcome) -> None:
        run.abandon()
        self._jobs.add(run.job)
        self._verdicts.conclude(run, outcome)
