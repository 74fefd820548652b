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
from gearpool.supervisor.evidence import MAX_NAMED, NOBODY, RECENT_S, Evidence, evidence, named

SETTINGS = Settings(
    servers=(ServerSettings(host="a"), ServerSettings(host="b")),
    functions=(FunctionSettings(name="f", handler="x.f"), FunctionSettings(name="g", handler="x.g")),
)
SEGFAULT, ABORT, KILL = -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGKILL
FATAL = "Fatal Python error: Segmentation fault\n\nThread 0x0000000000000001 (most recent call first):\n  x\n\n"


def job(number: int, server: int = 0) -> Suspect:
    return Suspect("f", ("a:4730", "b:4730")[server], b"H:%d" % number, b"u%d" % number)


class Left:
    """What a worker has left behind."""

    def __init__(self) -> None:
        self.page = Page.create()

    def shows(self, activity: Activity, suspect: Suspect | None = None, ago: float = 0.0) -> Left:
        since = time.monotonic() - ago
        if suspect is None:
            self.page.write(since, NO_FUNCTION, activity, b"", b"")
        else:
            self.page.write(since, 0, activity, suspect.handle, suspect.unique, int(suspect.server == "b:4730"))
        return self

    def flies(self, *suspects: Suspect, thread: int = 0) -> Left:
        for suspect in suspects:
            tag = tagged(0, Activity.JOB, int(suspect.server == "b:4730"))
            self.page.jobs.add(tag, suspect.handle, suspect.unique, thread)
        return self

    def means(self, returncode: int | None, stacks: str = "", *, stalled: bool = False) -> Evidence:
        child: Any = SimpleNamespace(page=self.page, returncode=returncode)
        return evidence(child, SETTINGS, stacks, stalled=stalled)


@pytest.fixture
def left() -> Left:
    return Left()


def test_a_unique_id_that_is_longer_than_gearmand_s_is_recognized_when_it_comes_again(left: Left) -> None:
    """The embedded job server takes 64 bytes, as a sha256 hex digest has; the page shows 63."""
    unique = b"5e" * 32
    seen = left.shows(Activity.JOB, Suspect("f", "a:4730", b"H:1", unique)).means(SEGFAULT).suspects
    assert seen[0].key[2].encode() == job_key(b"H:2", unique)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_process_has_written_over_its_page_is_judged(left: Left, seed: int) -> None:
    chance = random.Random(seed)
    left.flies(job(1), job(2))
    for at in range(0, 4096 + 1024, 8):
        if chance.random() < 0.5:
            left.page.memory[at : at + 8] = chance.choice((chance.randbytes(8), b"\xff" * 8, b"\0" * 8))
    for returncode in (SEGFAULT, KILL, 0, 1):
        left.means(returncode, FATAL)
    left.means(None, stalled=True)


def test_where_a_process_was_when_it_was_asked_says_nothing_about_its_end(left: Left) -> None:
    asked = "Current thread 0x00000000000000a1 (most recent call first):\n  x\n"
    left.flies(job(1), thread=0xA1).flies(job(2), thread=0xB2).shows(Activity.HUB)
    assert not left.means(1, asked).certain
    crashed = asked + FATAL + "Current thread 0x00000000000000b2 (most recent call first):\n  y"
    assert left.means(SEGFAULT, crashed).suspects == [job(2)]


@pytest.mark.parametrize("activity", [Activity.JOB, Activity.LEFT])
@pytest.mark.parametrize("returncode", [SEGFAULT, ABORT, 0, 1, 3])
def test_the_job_on_the_cpu_did_it_and_not_those_in_flight(left: Left, activity: Activity, returncode: int) -> None:
    found = left.flies(job(1), job(2)).shows(activity, job(2)).means(returncode)
    assert (found.suspects, found.certain) == ([job(2)], True)


def test_a_sigkill_from_outside_proves_nothing_against_the_job_on_the_cpu(left: Left) -> None:
    found = left.flies(job(1)).shows(Activity.JOB, job(2)).means(KILL)
    assert (set(found.suspects), found.certain) == ({job(1), job(2)}, False)


def test_a_sigkill_of_ours_for_a_stall_is_the_fault_of_the_job_on_the_cpu(left: Left) -> None:
    found = left.flies(job(1)).shows(Activity.JOB, job(2)).means(KILL, stalled=True)
    assert (found.suspects, found.certain) == ([job(2)], True)


def test_a_crash_in_a_thread_is_the_fault_of_the_job_that_started_it(left: Left) -> None:
    left.flies(job(1), job(2)).flies(job(1), thread=0xA1).flies(job(3, server=1), thread=0x7FFF00B2)
    stacks = FATAL + "Current thread 0x000000007fff00b2 (most recent call first):\n  y"
    for activity, on_cpu in ((Activity.HUB, None), (Activity.JOB, job(2))):
        found = left.shows(activity, on_cpu).means(SEGFAULT, stacks)
        assert (found.suspects, found.certain) == ([job(3, server=1)], True)


def test_a_crash_in_a_thread_of_nobody_is_suspected_of_all_in_flight(left: Left) -> None:
    stacks = FATAL + "Current thread 0x00000000000000ff (most recent call first):\n  y"
    found = left.flies(job(1)).flies(job(2), thread=0xA1).shows(Activity.HUB).means(SEGFAULT, stacks)
    assert (set(found.suspects), found.certain) == ({job(1), job(2)}, False)


def test_a_process_that_left_by_itself_may_have_done_so_in_a_native_thread(left: Left) -> None:
    found = left.flies(job(1)).flies(job(2), thread=5).shows(Activity.JOB, job(1)).means(1)
    assert (set(found.suspects), found.certain) == ({job(1), job(2)}, False)


def test_an_event_loop_that_does_not_go_on_is_held_up_by_who_runs_in_native_threads(left: Left) -> None:
    left.flies(job(1), job(2)).flies(job(2), thread=5).shows(Activity.HUB)
    assert left.means(None, stalled=True).suspects == [job(2)]


def test_of_those_in_flight_each_is_named_once(left: Left) -> None:
    left.flies(job(1), job(2)).flies(job(2), thread=5).flies(job(2), thread=6).shows(Activity.HUB)
    assert left.means(KILL).suspects == [job(1), job(2)]


def test_the_last_job_on_the_cpu_may_have_broken_what_the_process_dies_of_a_moment_later(left: Left) -> None:
    left.flies(job(1)).shows(Activity.JOB, job(2)).shows(Activity.HUB)
    assert set(left.means(ABORT).suspects) == {job(1), job(2)}
    assert left.means(KILL).suspects == [job(1)], "nobody in the process did that"


def test_a_last_job_of_long_ago_has_nothing_to_do_with_it(left: Left) -> None:
    left.shows(Activity.JOB, job(2), ago=RECENT_S + 60).shows(Activity.HUB)
    assert left.means(ABORT) == NOBODY


def test_an_idle_worker_that_is_killed_has_no_suspects(left: Left) -> None:
    assert left.shows(Activity.HUB).means(KILL) == NOBODY


def test_what_a_torn_write_left_is_not_taken_for_a_job(left: Left) -> None:
    left.page.jobs.add(tagged(7, Activity.JOB), b"H:1", b"")
    left.page.jobs.add(tagged(0, Activity.JOB, NO_SERVER), b"H:1", b"")
    assert left.shows(Activity.HUB).means(KILL) == NOBODY


def test_a_log_event_names_no_more_than_it_can_hold() -> None:
    assert named([Suspect("f", "a:4730", b"H:\xff", b"")]) == [
        {"function": "f", "handle": "H:\\xff", "unique": None, "server": "a:4730"}
    ]
    assert len(named([job(number) for number in range(MAX_NAMED + 5)])) == MAX_NAMED
