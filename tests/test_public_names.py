"""The public names of the objects that users get: exactly these.

A name that is added here is kept for ever; one that is removed is a line in CHANGELOG.md.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import re
from collections.abc import Iterator
from typing import Any

import pytest

import gearpool
from gearpool.client.dispatch import Dispatch
from gearpool.client.orders import make_order
from gearpool.client.payloads import BYTES
from gearpool.jobs import Reporter
from gearpool.timing import Deadline

NOBODY = "127.0.0.1:1"
"""Nothing is connected before the first call."""

SUBMITTING = {"submit", "submit_job", "submit_background_job", "submit_background_jobs", "submit_many", "map"}
SUBMITTED = {"function", "handle", "server", "unique", "sent", "retries", "job", "events"}
NAMES = {
    gearpool.Client: {
        *SUBMITTING, "gather", "get_job_status", "echo", "close", "admin", "servers", "request_timeout",
    },
    gearpool.AsyncClient: {*SUBMITTING, "get_job_status", "echo", "close", "admin", "servers", "request_timeout"},
    gearpool.JobFuture: {
        *SUBMITTED,
        # of concurrent.futures.Future
        "add_done_callback", "cancel", "cancelled", "done", "exception", "result", "running", "set_exception", "set_result",
        "set_running_or_notify_cancel",
    },
    gearpool.AsyncJob: {
        *SUBMITTED,
        # of asyncio.Future
        "add_done_callback", "cancel", "cancelled", "done", "exception", "get_loop", "remove_done_callback", "result",
        "set_exception", "set_result",
    },
    gearpool.Worker: {
        "add_ability", "remove_ability", "reset_abilities", "work", "run", "stop", "close", "snapshot",
    },
    gearpool.Job: {
        "argument", "attempt", "data", "deadline", "function", "handle", "log", "progress", "remaining", "server", "unique",
        "warning",
        # what the worker uses of it
        "extend", "logger", "raw_handle", "raw_unique", "set_limit", "started", "status", "status_at",
    },
}  # fmt: skip


class Silent:
    """A `Reporter` of a job that reports nothing."""

    server = NOBODY

    def send_data(self, job: gearpool.Job, data: bytes) -> None:
        raise NotImplementedError

    send_warning = send_data

    def send_status(self, job: gearpool.Job, numerator: int, denominator: int) -> None:
        raise NotImplementedError


class Owner:
    """The owner of an `AsyncJob`."""

    request_timeout = 1.0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def ended(self, job: gearpool.AsyncJob[Any]) -> None:
        raise NotImplementedError

    distrust = forget = withdraw = ended


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[type, object]]:
    """One of each class."""
    order, never = make_order("f"), Deadline.never()
    loop = asyncio.new_event_loop()
    reporter: Reporter = Silent()
    with gearpool.Client(NOBODY) as client, gearpool.Worker(NOBODY) as worker:
        dispatch: Dispatch = client._dispatch
        made: list[object] = [
            client,
            worker,
            gearpool.AsyncClient(NOBODY),
            gearpool.JobFuture[bytes](dispatch, order, b"", b"", never, BYTES),
            gearpool.AsyncJob[bytes](Owner(loop), order, b"", b"", never, BYTES),
            gearpool.Job(reporter, "f", b"H:h:1", b"", b""),
        ]
        yield {type(one): one for one in made}
    del made
    loop.close()
    gc.collect()


def _names(value: object) -> set[str]:
    return {name for name in dir(value) if not name.startswith("_")}


@pytest.mark.parametrize("kind", NAMES, ids=lambda kind: kind.__name__)
def test_an_object_exposes_exactly_these_public_names(objects: dict[type, object], kind: type) -> None:
    assert _names(objects[kind]) == NAMES[kind]


@pytest.mark.parametrize("kind", NAMES, ids=lambda kind: kind.__name__)
def test_every_public_name_of_an_object_is_documented(objects: dict[type, object], kind: type) -> None:
    futures = _names(concurrent.futures.Future) | _names(asyncio.Future)
    described = " ".join(base.__doc__ or "" for base in kind.__mro__ if base.__module__.startswith("gearpool."))
    undocumented = []
    for name in sorted(_names(objects[kind]) - futures):
        member = getattr(kind, name, None)
        documented = bool(getattr(member, "__doc__", None)) and not isinstance(member, str | int)
        if not documented and not re.search(rf"\b{name}(:|``)", described):
            undocumented.append(name)
    assert not undocumented
