"""A program that ends jobs in every possible way, without garbage collection, and prints what is still kept of them.

``python -m tests.worker.ends FOLDER`` prints a JSON object: for each kind of outcome, what is still reachable after the
report. It is a separate process because handlers are interrupted by signals only in the main thread, and because other code
that keeps exceptions (pytest's log capture, say) would be found, too.
"""

from __future__ import annotations

import collections
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import gevent

from gearpool import Client, Job
from gearpool.handlers import examine
from gearpool.jobs import Interrupt
from gearpool.net.addresses import parse_server
from gearpool.page import Activity, Page
from gearpool.policy import Rules
from gearpool.server.records import Job as Record
from gearpool.settings import (
    DeadLetterSettings,
    FunctionSettings,
    PoisonSettings,
    ReconnectSettings,
    RetrySettings,
    Settings,
)
from gearpool.testing.servers import ThreadedJobServer, job_server
from gearpool.timing import Deadline
from gearpool.worker.functions import Function, Note
from gearpool.worker.pool import WorkerPool
from gearpool.worker.retries import WaitingJob
from gearpool.worker.runs import Run
from gearpool.worker.watchdog import watched
from tests.worker.ending_handlers import (
    KEPT,
    PATIENCE_S,
    SHARED,
    abort,
    attend,
    complete,
    compute,
    compute_and_keep_the_error,
    compute_on,
    fail,
    fail_and_keep_the_error,
    fail_with_a_cause,
    payloads,
    raise_a_shared_error,
    retry_later,
    retry_once,
    skip,
    stream,
    stream_and_compute,
    stream_and_fail,
    stream_and_wait,
    swallow,
    wait,
    wait_and_complete,
    wait_and_compute,
    wait_and_fail,
    wait_fail_and_keep_the_error,
    wait_on,
    witnesses,
)

GONE_S = 3.0
"""How long to wait for objects to be freed."""

RECORD = "gearpool.server.records.Job"

Act = Callable[["Stage"], object]
TIMED: dict[str, Any] = {"timeout_s": 0.3}
LETTER: dict[str, Any] = {"on_error": "retry", "retry": RetrySettings(attempts=1, then="dead_letter")}
KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any], Act | None]] = {
    "complete": (complete, {}, None),
    "complete, having waited": (wait_and_complete, {}, None),
    "exception": (fail, {}, None),
    "exception, having waited": (wait_and_fail, {}, None),
    "exception with a cause": (fail_with_a_cause, {}, None),
    "exception that the handler keeps": (fail_and_keep_the_error, {}, None),
    "exception that the handler keeps, having waited": (wait_fail_and_keep_the_error, {}, None),
    "exception that all share": (raise_a_shared_error, {}, None),
    "exception reported": (fail, {"report": "exception"}, None),
    "payload that does not decode": (complete, {"payload": "json"}, None),
    "result that does not encode": (lambda arg, job: attend(arg), {}, None),
    "skip": (skip, {}, None),
    "abort": (abort, {}, None),
    "retry, then done": (retry_once, {}, None),
    "retries used up": (fail, {"on_error": "retry", "retry": RetrySettings(attempts=2, delay_s=0.001)}, None),
    "dead letter to a file": (fail, {**LETTER, "dead_letter": DeadLetterSettings(file="dead")}, None),
    "dead letter to a function": (
        fail, {**LETTER, "dead_letter": DeadLetterSettings(function="grave")}, None,
    ),
    "timeout in place": (compute, TIMED, None),
    "timeout in place, having waited": (wait_and_compute, TIMED, None),
    "timeout in place that the handler keeps": (compute_and_keep_the_error, TIMED, None),
    "timeout in place, swallowed": (compute_on, {"timeout_s": 0.3, "timeout_grace_s": 0.1}, None),
    "timeout while waiting": (wait, TIMED, None),
    "timeout while waiting, swallowed": (wait_on, {"timeout_s": 0.3, "timeout_grace_s": 0.1}, None),
    "timeout, everything swallowed": (swallow, {"timeout_s": 0.3, "timeout_grace_s": 0.1}, None),
    "stream": (stream, {}, None),
    "stream that fails": (stream_and_fail, {}, None),
    "stream, timeout in place": (stream_and_compute, TIMED, None),
    "stream, timeout while waiting": (stream_and_wait, TIMED, None),
    "killed while waiting": (wait, {}, lambda stage: stage.kill()),
    "killed in place": (compute, {}, lambda stage: stage.kill_in_place()),
    "killed in place, having waited": (wait_and_compute, {}, lambda stage: stage.kill_in_place()),
    "killed while it waits for its retry": (retry_later, {}, lambda stage: stage.kill_waiting()),
    "poisoned": (complete, {"poison": PoisonSettings(kills=1)}, None),
    "drained": (wait, {}, lambda stage: stage.drain()),
    "drained, failed": (wait, {"on_drain": "fail"}, lambda stage: stage.drain()),
    "drained while it waits for its retry": (retry_later, {}, lambda stage: stage.drain()),
    "connection lost while it runs": (wait, TIMED, lambda stage: stage.cut()),
    "connection lost while it waits for its retry": (retry_later, {}, lambda stage: stage.cut()),
}  # fmt: skip


KNOWN_TO_THE_SERVER = frozenset(
    kind for kind in KINDS if kind.startswith(("drained", "connection lost", "dead letter to a function"))
)
"""Outcomes after which the server has the job again, or its dead letter."""


class Stage:
    """A pool that serves one function, and its server."""

    def __init__(self, kind: str, server: ThreadedJobServer, folder: str) -> None:
        handler, options, self._act = KINDS[kind]
        action = options.pop("on_error", "abort")
        self._name = kind.replace(" ", "_")  # a different one for each kind, because jobs may have been handed back
        settings = FunctionSettings(name=self._name, handler="f", **options)
        self.function = Function(settings, examine(handler, "f"), Rules({}, action), 0, 10)
        if kind == "poisoned":
            self.function.notes_of(server.address)[b"u" + kind.encode()] = Note(kills=1, suspected=0)
        self.settings = Settings(servers=(parse_server(server.address),), functions=(settings,))
        self.pool = WorkerPool(
            [self.function], self.settings.servers, concurrency=10, base=folder,
            reconnect=ReconnectSettings(delay_s=3600.0, max_delay_s=3600.0),
        )  # fmt: skip
        self._kind = kind
        self._server = server
        self._ended_jobs = 0
        self._watcher: threading.Thread | None = None
        self._before = collections.Counter(reachable())
        self.pool.admission.on_job_ended = self._count

    def run(self, client: Client) -> list[str]:
        """Run one job to its end; returns what is left of it."""
        pool = self.pool
        pool.start()
        unique = self._kind.encode()
        client.submit_background_job(self._name, b"payload of " + unique, unique=unique)
        if self._act is not None and "in place" in self._kind:
            self._act(self)
        elif self._act is not None:
            until(lambda: witnesses, "the job to run")
            self._act(self)
        until(self._ended, "its end")
        if self._watcher is not None:
            self._watcher.join()  # the signal has a handler only while the pool is watched
        return self._left()

    def kill(self) -> None:
        (run,) = self.pool.running.runs.values()
        assert self.pool.kill(run.job.handle)

    def kill_in_place(self) -> None:
        """Kill the job as the supervisor does for a blocked worker."""

        page = self.pool.running.page
        assert page is not None

        def watch(page: Page) -> None:
            while not self._ended_jobs:
                time.sleep(0.01)
                reading = page.read()
                if reading.activity is Activity.JOB and witnesses and time.monotonic() - reading.since > 0.05:
                    page.ask_to_kill(reading.sequence)
                    os.kill(os.getpid(), signal.SIGUSR2)

        self._watcher = threading.Thread(target=watch, args=(page,))
        self._watcher.start()

    def kill_waiting(self) -> None:
        until(lambda: len(self.pool.retries), "the job to wait")
        ((job, _),) = self.pool.retries.jobs()
        assert self.pool.kill(job.handle)

    def drain(self) -> None:
        self.pool.stop(Deadline.after(0.05))
        self._ended_jobs += 1

    def cut(self) -> None:
        until(lambda: self.pool.running.runs or len(self.pool.retries), "the job to wait")
        self._server.drop_connections()
        until(lambda: not self.pool.sessions, "the session to end")
        self._ended_jobs += not self.pool.running.runs

    def close(self) -> None:
        self.pool.close()

    def _count(self, jobs: int) -> None:
        self._ended_jobs += jobs

    def _ended(self) -> bool:
        return bool(self._ended_jobs) and not self.pool.running.runs

    def _left(self) -> list[str]:
        end = time.monotonic() + GONE_S
        while True:
            gevent.sleep(0.01)
            found = collections.Counter(reachable()) - self._before
            left = [what for what in found.elements() if what != RECORD or self._kind not in KNOWN_TO_THE_SERVER]
            if not left or time.monotonic() > end:
                return left


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}")
        gevent.sleep(0.005)


def reachable() -> list[str]:
    """What is left of jobs in this process."""
    found = [f"frame of {reference().__class__.__name__}" for reference in witnesses if reference() is not None]
    for thing in gc.get_objects():
        kind = type(thing)
        if kind in (Job, Run, WaitingJob, Record) or (issubclass(kind, Interrupt) and thing not in KEPT):
            found.append(f"{kind.__module__}.{kind.__name__}")
        elif kind is types.FrameType and thing.f_code in CODES:
            found.append(f"frame of {thing.f_code.co_name}") if thing.f_locals else None
    # Those of the list, the loop and the call; how many that are depends on the version of Python.
    (alone,) = [sys.getrefcount(each) for each in [bytes(100)]]
    found += [f"payload {payload!r}" for payload in payloads if sys.getrefcount(payload) > alone]
    return found


CODES = {kind[0].__code__ for kind in KINDS.values()}


def main() -> Iterator[tuple[str, list[str]]]:
    """Every kind, with what is left."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    gc.collect()
    gc.freeze()
    with job_server() as server, Client(server.address) as client:
        for kind in sys.argv[2:] or KINDS:
            stage = Stage(kind, server, sys.argv[1])
            settings = stage.settings
            with watched(stage.pool.running, stage.pool.greenlets, lambda settings=settings: settings) as in_place:  # type: ignore[misc]
                assert in_place
                try:
                    left = stage.run(client)
                except (TimeoutError, AssertionError) as error:
                    left = [repr(error)]
                stage.close()
            del stage
            yield kind, left
            witnesses.clear()
            payloads.clear()
            KEPT.clear()
            SHARED.__traceback__ = None
            gc.collect()


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(dict(main())))
