from __future__ import annotations

import random
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.jobs import job_key
from gearpool.page import NO_FUNCTION, NO_SERVER, Activity, Page, tagged
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.evidence import MAX_NAMED, NO_SUSPECTS, RECENT_S, Evidence, evidence, named

SETTINGS = Settings(
    servers=(ServerSettings(host="a"), ServerSettings(host="b")),
    functions=(FunctionSettings(name="f", handler="x.f"), FunctionSettings(name="g", handler="x.g")),
)
SEGFAULT, ABORT, KILL = -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGKILL
FATAL = "Fatal Python error: Segmentation fault\n\nThread 0x0000000000000001 (most recent call first):\n  x\n\n"


def job(number: int, server: int = 0) -> Suspect:
    return Suspect("f", ("a:4730", "b:4730")[server], b"H:%d" % number, b"u%d" % number)


class DeadWorker:
    """The page that a dead worker leaves behind."""

    def __init__(self) -> None:
        self.page = Page.create()

    def shows(self, activity: Activity, suspect: Suspect | None = None, ago: float = 0.0) -> DeadWorker:
        since = time.monotonic() - ago
        if suspect is None:
            self.page.write(since, NO_FUNCTION, activity, b"", b"")
        else:
            self.page.write(since, 0, activity, suspect.handle, suspect.unique, int(suspect.server == "b:4730"))
        return self

    def in_flight(self, *suspects: Suspect, thread: int = 0) -> DeadWorker:
        for suspect in suspects:
            tag = tagged(0, Activity.JOB, int(suspect.server == "b:4730"))
            self.page.jobs.add(tag, suspect.handle, suspect.unique, thread)
        return self

    def evidence(self, returncode: int | None, stacks: str = "", *, stalled: bool = False) -> Evidence:
        child: Any = SimpleNamespace(page=self.page, returncode=returncode)
        return evidence(child, SETTINGS, stacks, stalled=stalled)


@pytest.fixture
def dead() -> DeadWorker:
    return DeadWorker()


def test_a_unique_id_of_64_bytes_is_recognized_again(dead: DeadWorker) -> None:
    """The embedded job server accepts 64 bytes, the length of a SHA-256 hex digest; the page holds 63."""
    unique = b"5e" * 32
    seen = dead.shows(Activity.JOB, Suspect("f", "a:4730", b"H:1", unique)).evidence(SEGFAULT).suspects
    assert seen[0].key[2].encode() == job_key(b"H:2", unique)


@pytest.mark.parametrize("seed", range(20))
def test_a_page_overwritten_with_garbage_does_no_harm(dead: DeadWorker, seed: int) -> None:
    chance = random.Random(seed)
    dead.in_flight(job(1), job(2))
    for at in range(0, 4096 + 1024, 8):
        if chance.random() < 0.5:
            dead.page.memory[at : at + 8] = chance.choice((chance.randbytes(8), b"\xff" * 8, b"\0" * 8))
    for returncode in (SEGFAULT, KILL, 0, 1):
        dead.evidence(returncode, FATAL)
    dead.evidence(None, stalled=True)


def test_stacks_dumped_on_request_are_no_evidence(dead: DeadWorker) -> None:
    asked = "Current thread 0x00000000000000a1 (most recent call first):\n  x\n"
    dead.in_flight(job(1), thread=0xA1).in_flight(job(2), thread=0xB2).shows(Activity.HUB)
    assert not dead.evidence(1, asked).certain
    crashed = asked + FATAL + "Current thread 0x00000000000000b2 (most recent call first):\n  y"
    assert dead.evidence(SEGFAULT, crashed).suspects == [job(2)]


@pytest.mark.parametrize("activity", [Activity.JOB, Activity.LEFT])
@pytest.mark.parametrize("returncode", [SEGFAULT, ABORT, 0, 1, 3])
def test_the_job_on_the_cpu_is_blamed_not_those_in_flight(
    dead: DeadWorker, activity: Activity, returncode: int
) -> None:
    found = dead.in_flight(job(1), job(2)).shows(activity, job(2)).evidence(returncode)
    assert (found.suspects, found.certain) == ([job(2)], True)


def test_a_sigkill_from_outside_does_not_incriminate_the_job_on_the_cpu(dead: DeadWorker) -> None:
    found = dead.in_flight(job(1)).shows(Activity.JOB, job(2)).evidence(KILL)
    assert (set(found.suspects), found.certain) == ({job(1), job(2)}, False)


def test_a_kill_for_blocking_blames_the_job_on_the_cpu(dead: DeadWorker) -> None:
    found = dead.in_flight(job(1)).shows(Activity.JOB, job(2)).evidence(KILL, stalled=True)
    assert (found.suspects, found.certain) == ([job(2)], True)


def test_a_crash_in_a_thread_blames_the_job_that_started_it(dead: DeadWorker) -> None:
    dead.in_flight(job(1), job(2)).in_flight(job(1), thread=0xA1).in_flight(job(3, server=1), thread=0x7FFF00B2)
    stacks = FATAL + "Current thread 0x000000007fff00b2 (most recent call first):\n  y"
    for activity, on_cpu in ((Activity.HUB, None), (Activity.JOB, job(2))):
        found = dead.shows(activity, on_cpu).evidence(SEGFAULT, stacks)
        assert (found.suspects, found.certain) == ([job(3, server=1)], True)


def test_a_crash_in_an_unknown_thread_suspects_all_jobs_in_flight(dead: DeadWorker) -> None:
    stacks = FATAL + "Current thread 0x00000000000000ff (most recent call first):\n  y"
    found = dead.in_flight(job(1)).in_flight(job(2), thread=0xA1).shows(Activity.HUB).evidence(SEGFAULT, stacks)
    assert (set(found.suspects), found.certain) == ({job(1), job(2)}, False)


def test_os_exit_also_suspects_jobs_in_native_threads(dead: DeadWorker) -> None:
    found = dead.in_flight(job(1)).in_flight(job(2), thread=5).shows(Activity.JOB, job(1)).evidence(1)
    assert (set(found.suspects), found.certain) == ({job(1), job(2)}, False)


def test_a_blocked_event_loop_suspects_jobs_in_native_threads(dead: DeadWorker) -> None:
    dead.in_flight(job(1), job(2)).in_flight(job(2), thread=5).shows(Activity.HUB)
    assert dead.evidence(None, stalled=True).suspects == [job(2)]


def test_each_job_in_flight_is_suspected_once(dead: DeadWorker) -> None:
    dead.in_flight(job(1), job(2)).in_flight(job(2), thread=5).in_flight(job(2), thread=6).shows(Activity.HUB)
    assert dead.evidence(KILL).suspects == [job(1), job(2)]


def test_the_last_job_on_the_cpu_is_a_suspect_shortly_afterwards(dead: DeadWorker) -> None:
    dead.in_flight(job(1)).shows(Activity.JOB, job(2)).shows(Activity.HUB)
    assert set(dead.evidence(ABORT).suspects) == {job(1), job(2)}
    assert dead.evidence(KILL).suspects == [job(1)], "no job causes a SIGKILL"


def test_a_last_job_of_long_ago_is_no_suspect(dead: DeadWorker) -> None:
    dead.shows(Activity.JOB, job(2), ago=RECENT_S + 60).shows(Activity.HUB)
    assert dead.evidence(ABORT) == NO_SUSPECTS


def test_an_idle_worker_that_is_killed_has_no_suspects(dead: DeadWorker) -> None:
    assert dead.shows(Activity.HUB).evidence(KILL) == NO_SUSPECTS


def test_a_torn_write_is_not_mistaken_for_a_job(dead: DeadWorker) -> None:
    dead.page.jobs.add(tagged(7, Activity.JOB), b"H:1", b"")
    dead.page.jobs.add(tagged(0, Activity.JOB, NO_SERVER), b"H:1", b"")
    assert dead.shows(Activity.HUB).evidence(KILL) == NO_SUSPECTS


def test_the_number_of_suspects_in_a_log_event_is_limited() -> None:
    assert named([Suspect("f", "a:4730", b"H:\xff", b"")]) == [
        {"function": "f", "handle": "H:\\xff", "unique": None, "server": "a:4730"}
    ]
    assert len(named([job(number) for number in range(MAX_NAMED + 5)])) == MAX_NAMED
