"""What a connection's calls need as time passes, with a clock of the test's."""

from __future__ import annotations

import pytest

from gearpool.client.orders import make_order
from gearpool.client.results import Data
from gearpool.client.session import Call, Session
from gearpool.client.submission import CHECK_MOST_S, Submission
from gearpool.client.upkeep import FORGOTTEN, Due, Upkeep
from gearpool.errors import JobTimedOut, SubmitUnknown
from gearpool.protocol.codec import response
from gearpool.protocol.packets import PacketType
from gearpool.timing import Deadline

T = PacketType
SERVER = "s:1"


class Line:
    """A session and its upkeep, and a clock that the test moves."""

    def __init__(self, request_timeout: float = 10.0) -> None:
        self.now = 1000.0
        self.session = Session()
        self.forgotten: list[Call] = []
        self.upkeep = Upkeep(self.session, SERVER, request_timeout, self.now, self.left)

    def left(self, server: str, reason: str, calls: list[Call]) -> None:
        assert (server, reason) == (SERVER, FORGOTTEN)
        self.forgotten += calls

    def submit(self, *, verify: bool = False, seconds: float = 1e9, retries: int = 0) -> Submission:
        job = Submission(
            make_order("f"), b"u", b"payload", Deadline(self.now + seconds), verify=verify, retries=retries
        )
        job._departs(SERVER, self.now)
        self.session.pending.append(job)
        return job

    def hear(self, kind: PacketType, *arguments: bytes) -> None:
        self.session.feed(response(kind, *arguments))
        self.upkeep.heard = True

    def tick(self, passed: float | None = None, *, drained: bool = True) -> Due:
        self.now += self.upkeep.step_s if passed is None else passed
        due = self.upkeep.tick(self.now, drained=drained)
        self.session.pending.extend(due.calls)
        return due

    def asked(self, seconds: float) -> list[Call]:
        calls: list[Call] = []
        end = self.now + seconds
        while self.now < end:
            calls += self.tick().calls
        return calls


def test_a_server_that_is_silent_for_the_request_timeout_leaves_submissions_unknown() -> None:
    line = Line()
    job = line.submit()
    assert not any(line.tick().silent for _ in range(9))
    assert not job._over
    assert line.tick().silent
    assert isinstance(job._failure(), SubmitUnknown)


def test_received_bytes_reset_the_silence() -> None:
    line = Line()
    first, second = line.submit(), line.submit()
    for _ in range(9):
        line.tick()
    line.hear(T.JOB_CREATED, b"H:1")
    assert not any(line.tick().silent for _ in range(10))
    assert line.tick().silent
    assert not first._over
    assert second._over


def test_silence_while_nothing_is_owed_is_none() -> None:
    line = Line()
    for _ in range(100):
        line.tick()
    job = line.submit()
    assert not any(line.tick().silent for _ in range(9))
    assert not job._over


def test_time_in_which_we_did_not_run_is_not_the_servers_silence() -> None:
    line = Line()
    job = line.submit()
    for _ in range(5):
        assert not line.tick(60.0).silent
    assert not job._over


def test_a_late_tick_ends_no_job_while_there_are_bytes_to_read() -> None:
    line = Line()
    job = line.submit(seconds=5)
    line.hear(T.JOB_CREATED, b"H:1")
    line.tick(60.0, drained=False)
    assert not job._over
    line.hear(T.WORK_COMPLETE, b"H:1", b"r")
    line.tick()
    assert job._succeeded


def test_a_job_whose_time_is_over_is_forgotten_but_for_its_handle() -> None:
    line = Line()
    job, unacknowledged = line.submit(seconds=5, retries=3), line.submit(seconds=5)
    line.hear(T.JOB_CREATED, b"H:1")
    line.tick(6.0)
    line.tick()
    late = job._failure()
    assert isinstance(late, JobTimedOut)
    assert (late.handle, late.function, late.server) == ("H:1", "f", SERVER)
    assert isinstance(unacknowledged._failure(), SubmitUnknown)
    assert b"payload" not in (job._data, unacknowledged._data)
    assert job.retries == 0
    assert not line.session.under_way()
    assert list(line.session.jobs) == [b"H:1"]
    # What comes afterwards changes nothing.
    line.hear(T.WORK_COMPLETE, b"H:1", b"r")
    assert job._failure() is late
    line.hear(T.JOB_CREATED, b"H:2")
    assert isinstance(unacknowledged._failure(), SubmitUnknown)


def test_the_copies_for_a_job_given_up_go_to_nobody() -> None:
    line = Line()
    first, second = line.submit(seconds=5), line.submit()
    line.hear(T.JOB_CREATED, b"H:1")
    line.hear(T.JOB_CREATED, b"H:1")
    line.tick(6.0)
    line.tick()
    assert first._over
    for part in (b"a", b"a", b"b", b"b"):
        line.hear(T.WORK_DATA, b"H:1", part)
    assert second._events is not None
    assert [second._events.popleft() for _ in range(2)] == [Data(b"a"), Data(b"b")]
    assert not second._events


def test_a_doubtful_job_is_asked_about_at_growing_intervals_and_others_seldom() -> None:
    line = Line()
    line.submit(verify=True)
    line.submit()
    line.hear(T.JOB_CREATED, b"H:1")
    line.hear(T.JOB_CREATED, b"H:2")
    times: list[float] = []
    for _ in range(130):
        due = line.tick()
        for call in due.calls:
            assert call._answer is T.STATUS_RES
            times.append(line.now - 1000.0)
            line.hear(T.STATUS_RES, b"H:1", b"1", b"1", b"0", b"0")
    assert times == [1, 3, 7, 15, 15, 31, 45, 61, 75, 91, 105, 121]


def test_a_job_of_many_hours_is_asked_about_to_its_end() -> None:
    job = Line().submit(verify=True)
    for check in range(2000):  # 2 ** 1024 is no float
        now = check * CHECK_MOST_S
        job._checked(now)
        assert job._check_due(now + CHECK_MOST_S)
    assert not job._check_due(now + CHECK_MOST_S - 1)


def test_nothing_is_asked_while_an_answer_is_awaited() -> None:
    line = Line(request_timeout=1000.0)
    for number in range(3):
        line.submit(verify=True)
        line.hear(T.JOB_CREATED, b"H:%d" % number)
    assert len(line.asked(100)) == 3


def test_when_one_job_is_forgotten_all_doubtful_ones_are_asked_about_at_once() -> None:
    line = Line()
    first = line.submit(verify=True)
    line.hear(T.JOB_CREATED, b"H:0")
    line.tick(0.9)
    for number in range(1, 1000):
        line.submit(verify=True)
        line.hear(T.JOB_CREATED, b"H:%d" % number)
    sure = line.submit()
    line.hear(T.JOB_CREATED, b"H:sure")
    assert len(line.tick(0.25).calls) == 1
    line.hear(T.STATUS_RES, b"H:0", b"0", b"0", b"0", b"0")
    assert line.forgotten == [first]
    due = line.tick(0.01)
    assert len(due.calls) == 999
    for number in range(1, 1000):
        line.hear(T.STATUS_RES, b"H:%d" % number, b"%d" % (number % 2), b"0", b"0", b"0")
    assert len(line.forgotten) == 500
    assert not sure._over
    assert b"H:0" not in line.session.jobs


def test_an_error_for_an_answer_tells_nothing() -> None:
    line = Line()
    line.submit(verify=True)
    line.hear(T.JOB_CREATED, b"H:1")
    assert line.asked(2)
    line.hear(T.ERROR, b"WHY", b"not")
    assert not line.forgotten


@pytest.mark.parametrize("request_timeout", [0.0, 0.1, 0.5, 10.0, 1e9])
def test_a_step_is_short_enough_for_the_limit(request_timeout: float) -> None:
    assert 0 < Line(request_timeout).upkeep.step_s <= 1.0
