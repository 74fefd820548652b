"""When jobs are asked about: decided for a whole connection at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gearpool.client.aio import checks
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.orders import make_order
from gearpool.client.session import Session
from gearpool.client.submission import CHECK_MOST_S, CHECK_S, CHECK_SOON_S
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

REQUEST_TIMEOUT = 10.0


@dataclass
class Owner:
    loop: asyncio.AbstractEventLoop
    request_timeout: float = REQUEST_TIMEOUT

    def ended(self, job: AsyncJob) -> None: ...

    def distrust(self, server: str) -> None: ...


class Talk:
    """A session and what was submitted on it."""

    def __init__(self) -> None:
        self.session = Session()
        self.owner = Owner(asyncio.new_event_loop())
        self.count = 0

    def submit(self, now: float, *, unique: bytes = b"", acknowledged: bool = True, handle: bytes = b"") -> AsyncJob:
        job = AsyncJob(self.owner, make_order("f"), unique, b"", Deadline.never(), verify=bool(unique))
        job.departs("server:1", now)
        self.session.pending.append(job)
        if acknowledged:
            self.count += 1
            self.session.feed(response(PacketType.JOB_CREATED, handle or b"H:%d" % self.count))
        return job

    def due(self, now: float, heard_at: float = 0.0) -> checks.Due:
        return checks.due(self.session, now, heard_at, REQUEST_TIMEOUT)


@pytest.fixture
def talk() -> Iterator[Talk]:
    made = Talk()
    yield made
    made.owner.loop.close()


def test_nothing_under_way_is_never_due(talk: Talk) -> None:
    assert talk.due(0.0).next_at == math.inf


def test_a_plain_job_is_asked_about_late_and_then_seldom(talk: Talk) -> None:
    job = talk.submit(100.0)
    assert talk.due(100.0).next_at == 100.0 + CHECK_S
    assert talk.due(100.0 + CHECK_S).ask == [job]
    job.checks, job.checked_at = 1, 115.0
    assert talk.due(116.0).next_at == 115.0 + CHECK_MOST_S


def test_a_job_under_an_id_that_others_may_use_is_asked_about_soon(talk: Talk) -> None:
    plain, shared = talk.submit(100.0), talk.submit(100.0, unique=b"u")
    found = talk.due(100.0 + CHECK_SOON_S)
    assert found.ask == [shared]
    assert found.next_at == 100.0 + CHECK_S
    assert checks.doubtful(talk.session, [plain]) == [shared]
    assert checks.doubtful(talk.session, [shared]) == []


def test_all_that_are_due_are_asked_about_together(talk: Talk) -> None:
    jobs = [talk.submit(100.0) for _ in range(200)]
    assert talk.due(120.0).ask == jobs


def test_jobs_that_share_a_handle_are_each_asked_about(talk: Talk) -> None:
    jobs = [talk.submit(100.0, unique=b"u", handle=b"H:7") for _ in range(2)]
    assert talk.due(120.0).ask == jobs


def test_a_submission_is_unanswered_after_the_servers_silence(talk: Talk) -> None:
    first, second = talk.submit(100.0, acknowledged=False), talk.submit(105.0, acknowledged=False)
    assert talk.due(109.0).unanswered == []
    assert talk.due(109.0).next_at == 110.0
    found = talk.due(110.0)
    assert found.unanswered == [first]
    assert found.next_at == 115.0
    assert talk.due(115.0).unanswered == [first, second]


def test_a_server_that_speaks_of_other_things_is_not_silent(talk: Talk) -> None:
    talk.submit(100.0, acknowledged=False)
    assert talk.due(110.0, heard_at=105.0).unanswered == []
    assert talk.due(110.0, heard_at=105.0).next_at == 115.0


def test_what_has_ended_is_not_asked_about(talk: Talk) -> None:
    job, given_up = talk.submit(100.0), talk.submit(100.0)
    talk.session.feed(response(PacketType.WORK_COMPLETE, b"H:1", b"r"))
    given_up.cancel()
    assert job.done()
    assert talk.due(200.0).ask == []
    assert talk.due(200.0).next_at == math.inf


def test_what_is_sent_now_may_be_due_when_its_acknowledgement_or_its_first_check_is(talk: Talk) -> None:
    plain, shared = talk.submit(100.0), talk.submit(100.0, unique=b"u")
    assert checks.first_due([plain], 100.0, 5.0) == 105.0
    assert checks.first_due([plain], 100.0, 50.0) == 100.0 + CHECK_S
    assert checks.first_due([plain, shared], 100.0, 50.0) == 100.0 + CHECK_SOON_S
