"""Dead letters, where something is in their way."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from gearpool import deadfile
from gearpool.jobs import Job
from gearpool.settings import DeadLetterSettings
from gearpool.worker.letters import LetterFailed, Letters


@pytest.fixture
def job() -> Job:
    reporter: Any = SimpleNamespace(server="s:1")  # nothing is reported here
    return Job(reporter, "f", b"H:1", b"u", b"x")


def write(letters: Letters, path: Path | str, job: Job) -> None:
    session: Any = None  # a file needs no server
    letters.write(DeadLetterSettings(file=str(path)), session, job, "it failed", None)


def test_a_letter_is_written_while_handlers_use_all_of_gevents_threads(tmp_path: Path, job: Job) -> None:
    release = threading.Event()
    pool = gevent.get_hub().threadpool
    taken = [pool.spawn(release.wait, 60) for _ in range(pool.maxsize)]
    with gevent.Timeout(30):
        write(Letters(str(tmp_path)), "dead.jsonl", job)
    release.set()
    gevent.joinall(taken, timeout=60)
    ((_, letter),) = deadfile.read(tmp_path / "dead.jsonl")
    assert isinstance(letter, deadfile.Letter)
    assert letter.payload == b"x"


def test_a_file_that_somebody_locked_delays_no_other_file(tmp_path: Path, job: Job) -> None:
    letters = Letters(str(tmp_path))
    with (tmp_path / "locked.jsonl").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = [gevent.spawn(write, letters, "locked.jsonl", job) for _ in range(20)]
        gevent.sleep(0)
        with gevent.Timeout(30):
            write(letters, "free.jsonl", job)
        assert not any(each.dead for each in waiting)
    gevent.joinall(waiting, timeout=30, raise_error=True)
    assert len(list(deadfile.read(tmp_path / "locked.jsonl"))) == 20


def test_what_cannot_be_written_says_the_file_and_why(tmp_path: Path, job: Job) -> None:
    with pytest.raises(LetterFailed, match="No such file"):
        write(Letters(str(tmp_path)), "nowhere/dead.jsonl", job)
