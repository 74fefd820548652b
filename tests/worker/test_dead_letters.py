"""Dead letters that are delayed or cannot be written."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult
from gevent.monkey import get_original

from gearpool import dead_letter_file
from gearpool.jobs import Job
from gearpool.settings import DeadLetterSettings
from gearpool.worker import dead_letters
from gearpool.worker.dead_letters import DeadLetterFailed, DeadLetters


@pytest.fixture
def job() -> Job:
    reporter: Any = SimpleNamespace(server="s:1")  # reports nothing
    return Job(reporter, "f", b"H:1", b"u", b"x")


def write(letters: DeadLetters, path: Path | str, job: Job) -> None:
    replies: Any = None  # a file needs no server
    letters.write(DeadLetterSettings(file=str(path)), replies, job, "it failed", None)


def test_a_dead_letter_is_written_while_handlers_occupy_the_whole_thread_pool_of_gevent(
    tmp_path: Path, job: Job
) -> None:
    release = threading.Event()
    pool = gevent.get_hub().threadpool
    taken = [pool.spawn(release.wait, 60) for _ in range(pool.maxsize)]
    with gevent.Timeout(30):
        write(DeadLetters(str(tmp_path)), "dead.jsonl", job)
    release.set()
    gevent.joinall(taken, timeout=60)
    ((_, letter),) = dead_letter_file.read(tmp_path / "dead.jsonl")
    assert isinstance(letter, dead_letter_file.Letter)
    assert letter.payload == b"x"


def test_a_locked_file_does_not_delay_other_files(tmp_path: Path, job: Job) -> None:
    letters = DeadLetters(str(tmp_path))
    with (tmp_path / "locked.jsonl").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = [gevent.spawn(write, letters, "locked.jsonl", job) for _ in range(20)]
        gevent.sleep(0)
        with gevent.Timeout(30):
            write(letters, "free.jsonl", job)
        assert not any(each.dead for each in waiting)
    gevent.joinall(waiting, timeout=30, raise_error=True)
    assert len(list(dead_letter_file.read(tmp_path / "locked.jsonl"))) == 20


def test_a_failure_names_the_file_and_the_reason(tmp_path: Path, job: Job) -> None:
    with pytest.raises(DeadLetterFailed, match="No such file"):
        write(DeadLetters(str(tmp_path)), "nowhere/dead.jsonl", job)


def submit(job: Job, answer: Callable[[AsyncResult], None]) -> None:
    """Submit a dead letter to a server that answers as ``answer`` does."""

    def submit_dead_letter(_function: bytes, _unique: bytes, _payload: bytes, result: AsyncResult) -> bool:
        gevent.spawn(answer, result)
        return True

    replies: Any = SimpleNamespace(submit_dead_letter=submit_dead_letter)
    DeadLetters(".").write(DeadLetterSettings(function="dead"), replies, job, "it failed", None)


def test_time_in_which_the_process_was_blocked_does_not_count_against_the_acknowledgement(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "ANSWER_S", 0.5)

    def block_and_acknowledge(result: AsyncResult) -> None:
        gevent.sleep(0.01)
        get_original("time", "sleep")(1.0)
        gevent.sleep(0.1)
        result.set(None)

    submit(job, block_and_acknowledge)
    with pytest.raises(DeadLetterFailed, match="did not acknowledge"):
        submit(job, lambda result: None)


def test_the_error_of_a_server_that_refuses_a_dead_letter_is_the_reason(job: Job) -> None:
    with pytest.raises(DeadLetterFailed, match="QUEUE_ERROR"):
        submit(job, lambda result: result.set(ConnectionError("QUEUE_ERROR")))
