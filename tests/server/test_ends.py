"""The core keeps nothing of a job's payload once the job has ended, whatever its end."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from gearpool.server.core import Core
from tests.server.talk import T as Type
from tests.server.talk import Talker, worker


def complete(core: Core, client: Talker) -> None:
    runner = worker(core)
    handle = runner.grab()[1]
    runner.say(Type.WORK_COMPLETE, handle, b"done")


def fail(core: Core, client: Talker) -> None:
    runner = worker(core)
    handle = runner.grab()[1]
    runner.say(Type.WORK_FAIL, handle)


def raise_exception(core: Core, client: Talker) -> None:
    runner = worker(core)
    handle = runner.grab()[1]
    runner.say(Type.WORK_EXCEPTION, handle, b"why")


def run_too_often(core: Core, client: Talker) -> None:
    runner = worker(core)
    runner.grab()
    runner.leave()


def leave_while_it_waits(core: Core, client: Talker) -> None:
    client.leave()


def leave_while_it_runs(core: Core, client: Talker) -> None:
    runner = worker(core)
    handle = runner.grab()[1]
    client.leave()
    runner.say(Type.WORK_COMPLETE, handle, b"done")


def cancel_what_waits(core: Core, client: Talker) -> None:
    (handle,) = core.ledger.jobs
    assert Talker(core).ask(f"cancel job {handle.decode()}").startswith("OK")


def cancel_what_runs(core: Core, client: Talker) -> None:
    runner = worker(core)
    handle = runner.grab()[1]
    assert Talker(core).ask(f"cancel job {handle.decode()}").startswith("OK")
    runner.say(Type.WORK_COMPLETE, handle, b"done")


ENDS = [
    complete, fail, raise_exception, run_too_often, leave_while_it_waits, leave_while_it_runs, cancel_what_waits,
    cancel_what_runs,
]  # fmt: skip
WAITS_FOR_NOBODY = {leave_while_it_waits, leave_while_it_runs}
"""How a job in the background does not end."""


CASES = [
    (end, how)
    for end in ENDS
    for how in ("foreground", "background", "scheduled")
    if how == "foreground" or end not in WAITS_FOR_NOBODY
]


@pytest.mark.parametrize("unique", [b"", b"u", b"-"])
@pytest.mark.parametrize(("end", "how"), CASES)
def test_nothing_of_a_payload_is_kept_after_the_end(
    end: Callable[[Core, Talker], None], how: str, unique: bytes
) -> None:
    core = Core(job_retries=1)
    client = Talker(core)
    payload = b"the payload of " + how.encode()
    if how == "scheduled":
        core._clients.submit_epoch(client.peer, [b"f", unique, b"1000", payload])
        if end is not cancel_what_waits:
            core.ledger.release_due(2000.0)
    else:
        kind = Type.SUBMIT_JOB if how == "foreground" else Type.SUBMIT_JOB_BG
        core._handlers[kind](client.peer, [b"f", unique, payload])
    alone = b"a payload that only this function refers to".upper()
    assert sys.getrefcount(payload) > sys.getrefcount(alone)
    end(core, client)
    assert core.ledger.jobs == {}
    client.raw()
    # How many those are depends on the version of Python.
    assert sys.getrefcount(payload) == sys.getrefcount(alone)
