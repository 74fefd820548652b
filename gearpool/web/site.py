"""What is served: the parts that the resources share. Floor 3."""

from __future__ import annotations

import contextlib
from typing import Any

import gevent

from gearpool.settings import Settings
from gearpool.web.feed import Feed
from gearpool.web.history import History
from gearpool.web.letter_counts import LetterFiles
from gearpool.web.published import Published
from gearpool.web.queues import QueuePoller
from gearpool.web.rates import Rates
from gearpool.web.samples import take
from gearpool.web.supervisor import NoAnswerError, Supervisor
from gearpool.web.view import document, listed

JOBS_S = 5.0
"""How long the workers may take to list their jobs; for one that is blocked the supervisor answers at once."""
WAIT_FOR_JOBS_S = 0.3
"""How long an event waits for the list of jobs; then it is sent with the one before."""

Object = dict[str, Any]


class Site:
    """One daemon, as it is shown.

    Args:
        settings: the configuration in effect.
        supervisor: serves requests.

    Attributes:
        settings: replaced by a reload, see `apply`.
        published: what the supervisor has published.
        supervisor: serves requests.
        poller: asks the job servers.
        rates: what functions do now.
        history: what they did in the last hour.
        letters: the files of dead letters.
        feed: sends events.
    """

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.published = Published()
        self.poller = QueuePoller(settings.servers)
        self.rates = Rates()
        self.history = History()
        self.letters = LetterFiles(lambda: self.settings)
        self.feed = Feed(self.document)
        self._jobs: dict[str, list[Object]] = {"jobs": [], "blocked": []}
        self._asking: gevent.Greenlet[..., Any] | None = None
        self.published.on_update.append(self._on_update)

    def start(self) -> None:
        """Begin to ask the job servers."""
        self.poller.start()

    def apply(self, settings: Settings) -> None:
        """A reload has put ``settings`` into effect; the tokens in them are those of before."""
        self.settings = settings
        self.poller.follow(settings.servers)

    def close(self) -> None:
        """End all events, and ask the job servers no more."""
        self.feed.close()
        self.poller.close()

    def jobs(self) -> dict[str, list[Object]]:
        """The jobs in progress.

        Raises:
            NoAnswerError: the supervisor did not answer, or refused.
        """
        answer = self.supervisor.ask("jobs", JOBS_S)
        if not answer.get("ok"):
            raise NoAnswerError(str(answer.get("error")))
        return listed(answer["result"])

    def document(self) -> Object:
        """Everything that the dashboard shows."""
        self.letters.count_soon()
        if self._asking is None:
            self._asking = gevent.spawn(self._ask_for_jobs)
        self._asking.join(WAIT_FOR_JOBS_S)
        return document(
            status=self.published.status,
            failures=self.published.failures,
            jobs=self._jobs,
            queues=self.poller.snapshot(),
            dead_letters=self.letters.counts,
            rates=self.rates.functions(),
            total=self.rates.total(),
        )

    def _ask_for_jobs(self) -> None:
        try:
            with contextlib.suppress(NoAnswerError):
                self._jobs = self.jobs()
        finally:
            self._asking = None

    def _on_update(self) -> None:
        status = self.published.status
        sample = take(status)
        self.rates.add(sample, status["duration_bounds"])
        self.history.add(sample, status, self._queued())
        self.feed.changed()

    def _queued(self) -> dict[str, int]:
        """Jobs that wait on all servers, by function."""
        waiting: dict[str, int] = {}
        for server in self.poller.snapshot()["servers"].values():
            for function, row in server["functions"].items() if server["up"] else ():
                waiting[function] = waiting.get(function, 0) + max(0, row["jobs"] - row["running"])
        return waiting
