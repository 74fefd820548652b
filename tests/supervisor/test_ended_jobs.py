"""What ended together with its process, as groups."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gearpool.page import NO_FUNCTION, Activity, Reading
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.status import MAX_TRACE, group_id
from gearpool.supervisor.blame import Suspect
from gearpool.supervisor.ended_jobs import BLOCKED, failure_of, stall_of


def settings(base: Path) -> Settings:
    functions = (FunctionSettings(name="f", handler="shop.images:thumbnail"),)
    return Settings(servers=(ServerSettings(host="s"),), functions=functions, base=str(base), import_path=("code",))


def dump(base: Path) -> str:
    return (
        "Current thread 0x7 (most recent call first):\n"
        '  File "/usr/lib/python3/dist-packages/PIL/Image.py", line 3 in load\n'
        f'  File "{base}/code/shop/images.py", line 41 in thumbnail\n'
    )


CHILD: Any = SimpleNamespace(pid=7, killed_for="stalled", describe_end=lambda: "killed by SIGSEGV")
SUSPECT = Suspect("f", "s:4730", b"H:1", b"")


def test_a_stall_is_of_the_job_on_the_page_at_the_place_in_the_dump(tmp_path: Path) -> None:
    reading = Reading(9, 0.0, 0, Activity.JOB, b"H:1", b"u")
    stall = stall_of(CHILD, settings(tmp_path), reading, dump(tmp_path), 31.0)
    place = "shop/images.py:41 in thumbnail"
    assert (stall["id"], stall["function"], stall["place"]) == (group_id("f", "stall", place), "f", place)
    assert (stall["total_s"], stall["longest_s"], stall["handle"], stall["worker"]) == (31.0, 31.0, "H:1", 7)
    assert stall["stack"] == dump(tmp_path).strip()


def test_a_stopped_process_has_a_stall_of_no_function(tmp_path: Path) -> None:
    stall = stall_of(CHILD, settings(tmp_path), Reading(9, 0.0, NO_FUNCTION, Activity.HUB, b"", b""), "", 31.0)
    assert (stall["function"], stall["place"], stall["handle"], stall["stack"]) == ("", "", None, "")


def test_a_blamed_job_is_a_failure_that_says_how_its_process_ended(tmp_path: Path) -> None:
    crashed: Any = SimpleNamespace(pid=7, killed_for="", describe_end=lambda: "killed by SIGSEGV")
    failure = failure_of(crashed, settings(tmp_path), SUSPECT, dump(tmp_path) + "x" * MAX_TRACE, "it was on the CPU")
    assert (failure["exception"], failure["outcome"]) == ("process killed by SIGSEGV", "requeued")
    assert failure["place"] == "shop/images.py:41 in thumbnail"
    assert (failure["handle"], failure["unique"], failure["server"]) == ("H:1", None, "s:4730")
    assert len(failure["traceback"].encode()) <= MAX_TRACE
    assert failure_of(CHILD, settings(tmp_path), SUSPECT, "", "")["exception"] == BLOCKED
