from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gearpool import messages
from gearpool.children.worker_commands import Commands
from gearpool.figures import Figures, read, size
from gearpool.page import Activity, Reading
from gearpool.worker.failures import Failures
from gearpool.worker.stalls import Stalls


class Process:
    """A worker process with a pool that records its calls, and a channel on which only the given commands arrive."""

    def __init__(self, *commands: messages.Command) -> None:
        self.calls: list[Any] = []
        self.sent: list[messages.Event] = []
        self.pool: Any = SimpleNamespace(
            quiet=lambda: self.calls.append("quiet"), pause=lambda name: self.calls.append(("pause", name)),
            resume=lambda name: self.calls.append(("resume", name)), stop=self.stop, kill=self.kill,
            incarnations=SimpleNamespace(), suspects=SimpleNamespace(set_notes=lambda *notes: self.calls.append(notes)),
            sessions=[], functions={}, servers=[], lanes=[], server_log=SimpleNamespace(reconnects=0),
            admission=SimpleNamespace(limit=1, used=0, quiet=False), running=SimpleNamespace(runs={}),
            retries=SimpleNamespace(jobs=list),
        )  # fmt: skip
        self.channel: Any = SimpleNamespace(send=self.send, commands=lambda: self.arrive(commands))
        self.memory = bytearray(size(0))
        figures = Figures(self.memory, 0, 0)
        self.pool.failures = failures = Failures()
        self.stalls = Stalls(figures, failures, {})
        self.commands = Commands(self.pool, self.channel, figures, self.stalls)  # type: ignore[arg-type] # what it uses

    def arrive(self, commands: tuple[messages.Command, ...]) -> Iterator[messages.Command]:
        yield from commands
        gevent.sleep(3600)

    def send(self, event: messages.Event) -> bool:
        self.sent.append(event)
        return True

    def stop(self, _deadline: object, progress: Any) -> bool:
        progress(2, ["work H:1"])
        return False

    def kill(self, handle: str) -> bool:
        if handle == "bad":
            raise KeyError(handle)
        return handle == "H:1"

    def run(self) -> int:
        with gevent.Timeout(20):
            return self.commands.run()

    def replies(self) -> list[messages.Event]:
        return [event for event in self.sent if isinstance(event, messages.Reply)]


def test_commands_are_executed_in_order_and_a_drain_ends_the_run() -> None:
    process = Process(
        messages.Quiet(), messages.Resume(), messages.Pause("work"), messages.SetNotes([["a"]], 2), messages.Drain(5.0)
    )
    assert process.run() == 0
    assert process.calls == ["quiet", ("resume", None), ("pause", "work"), ([["a"]], 2)]
    assert messages.Draining(2, ["work H:1"]) in process.sent
    assert process.sent[-1] == messages.Drained(False)


def test_a_query_is_answered_with_its_id() -> None:
    process = Process(messages.KillJob(4, "H:1"), messages.KillJob(5, "H:2"), messages.ListJobs(6), messages.Drain())
    process.run()
    assert process.replies() == [messages.Reply(4, True), messages.Reply(5, False), messages.Reply(6, [])]


def test_an_error_in_a_query_is_its_answer(caplog: pytest.LogCaptureFixture) -> None:
    process = Process(messages.KillJob(4, "bad"), messages.Drain())
    assert process.run() == 0
    assert process.replies() == [messages.Reply(4, error="KeyError: 'bad'")]
    assert caplog.records[0].levelname == "ERROR"


def test_an_unsupported_command_is_logged_and_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    process = Process(messages.Start(settings=None), messages.Quiet(), messages.Drain())  # type: ignore[arg-type]
    assert process.run() == 0
    assert process.calls == ["quiet"]
    assert "start" in caplog.text


def test_a_status_is_sent_once_until_it_changes() -> None:
    process = Process(messages.Drain())
    process.run()
    (status,) = [event for event in process.sent if isinstance(event, messages.WorkerStatus)]
    assert status.snapshot["quiet"] is False


def test_the_time_of_the_last_look_and_the_longest_stall_are_in_shared_memory() -> None:
    process = Process(messages.Drain())
    before = time.monotonic()
    process.stalls.began(Reading(1, before - 9.0, 0, Activity.JOB, b"H", b""), None, sys._getframe())
    gevent.sleep(0)
    process.run()
    figures = read(process.memory, 0, 0)
    assert figures is not None
    assert figures["told_at"] >= before
    assert figures["loop_lag_s"] >= 0.0
    assert (figures["other_stalls"], sum(figures["stall_buckets"])) == (1, 1)


def test_what_the_pool_learns_of_servers_and_jobs_is_sent() -> None:
    process = Process(messages.Drain())
    process.pool.incarnations.on_learned("a:4730", "77")
    process.pool.suspects.on_server_lost("b:4730")
    process.pool.suspects.on_reported(("work", "a:4730", b"u\xff"))
    process.run()
    assert [event for event in process.sent if not isinstance(event, messages.WorkerStatus)][:3] == [
        messages.ServerPid("a:4730", "77"),
        messages.ServerLost("b:4730"),
        messages.Reported([["work", "a:4730", "u\udcff"]]),
    ]


def test_stacks_of_running_jobs_are_listed() -> None:
    job = SimpleNamespace(function="work", handle="H:1", unique="u")
    process = Process(messages.ListStacks(3), messages.Drain())
    suspended = gevent.spawn(gevent.sleep, 3600)
    gevent.sleep(0)
    finished = SimpleNamespace(gr_frame=None)
    process.pool.running.runs = {
        number: SimpleNamespace(greenlet=greenlet, job=job, row=0)
        for number, greenlet in enumerate([suspended, finished])
    }
    process.pool.stop = lambda *_: process.pool.running.runs.clear() or True
    try:
        process.run()
    finally:
        suspended.kill()
    (reply,) = process.replies()
    assert isinstance(reply, messages.Reply)
    first, second = reply.result
    assert (first["function"], first["handle"], first["unique"]) == ("work", "H:1", "u")
    assert "in sleep" in first["stack"]
    assert second["stack"] == ""


def test_an_exception_raised_in_the_main_greenlet_is_logged_and_the_run_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process(messages.Drain())
    main = gevent.getcurrent()

    def drain(*_: object) -> bool:
        gevent.get_hub().loop.run_callback(main.throw, SystemExit(3))
        gevent.sleep(0.01)
        return True

    process.pool.stop = drain
    assert process.run() == 0
    assert any("SystemExit: 3" in str(vars(record)) for record in caplog.records)
