"""How failures are reported, with both job servers."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from pathlib import Path
from typing import Any

import gevent
import pytest

from gearpool import Abort, Client, Draining, Job, JobException, JobFailed, JobTimeout, Retry, Skip
from gearpool.jobs import End, Killed
from gearpool.policy import CONDEMNED
from gearpool.settings import BreakerSettings, DeadLetterSettings, RetrySettings
from gearpool.testing.servers import job_server
from gearpool.worker import snapshots
from gearpool.worker.functions import Note
from gearpool.worker.pool import WorkerPool
from gearpool.worker.verdicts import outcome_of
from tests.processes import wait_for
from tests.worker.serving import Serving, function, serving

QUICKLY = RetrySettings(attempts=5, delay_s=0.01, backoff=1.0, jitter=0.0)


def boom(arg: bytes) -> bytes:
    raise ValueError("bad")


class Counting:
    """A handler that fails in its first ``failures`` runs."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.attempts: list[int] = []

    def __call__(self, arg: bytes, job: Job) -> bytes:
        self.attempts.append(job.attempt)
        if len(self.attempts) <= self.failures:
            raise ValueError("not yet")
        return b"done"


def test_abort_fails_the_job(server: str, client: Client) -> None:
    with serving([function("boom", boom)], server), pytest.raises(JobFailed):
        client.submit_job("boom", b"", timeout=10)


def test_skip_completes_the_job_with_an_empty_result(server: str, client: Client) -> None:
    with serving([function("boom", boom, on_error="skip")], server):
        assert client.submit_job("boom", b"", timeout=10) == b""


def test_retry_runs_the_handler_again_with_the_same_handle_while_the_client_waits(server: str, client: Client) -> None:
    handler = Counting(failures=2)
    with serving([function("flaky", handler, on_error="retry", retry=QUICKLY)], server) as running:
        assert client.submit_job("flaky", b"", timeout=10) == b"done"
        assert handler.attempts == [1, 2, 3]
        assert running.outcomes("flaky") == {"complete": 1, "retried": 2}


def test_a_job_to_be_retried_during_a_drain_is_handed_back(server: str, client: Client) -> None:
    began, draining = threading.Event(), threading.Event()

    def fail(arg: bytes) -> bytes:
        began.set()
        while not draining.is_set():
            gevent.sleep(0.005)
        raise ValueError("again")

    slowly = RetrySettings(attempts=5, delay_s=3600.0, max_delay_s=3600.0)
    with serving([function("flaky", fail, on_error="retry", retry=slowly)], server) as running:
        future = client.submit("flaky", b"")
        assert began.wait(20)
        running.call(lambda pool: gevent.spawn(wait_for_drain, pool, draining))
        assert running.stop(5.0), "nothing was cut off"
        assert running.pool.functions["flaky"].counters.snapshot()["outcomes"]["retried"] == 1
    with serving([function("flaky", lambda arg: b"elsewhere")], server):
        assert future.result(20) == b"elsewhere"


def wait_for_drain(pool: WorkerPool, draining: threading.Event) -> None:
    while not pool.verdicts.draining:
        gevent.sleep(0.005)
    draining.set()


def test_retry_fails_the_job_after_its_attempts(server: str, client: Client) -> None:
    handler = Counting(failures=99)
    with serving([function("flaky", handler, on_error="retry", retry=QUICKLY)], server), pytest.raises(JobFailed):
        client.submit_job("flaky", b"", timeout=10)
    assert handler.attempts == [1, 2, 3, 4, 5]


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit


def test_a_function_stays_served_after_an_exception_that_cannot_be_printed(server: str, client: Client) -> None:
    def handle(arg: bytes) -> bytes:
        if arg == b"odd":
            raise Unprintable
        return arg

    with serving([function("handle", handle, report="exception")], server):
        with pytest.raises(JobException, match="Unprintable"):
            client.submit_job("handle", b"odd", timeout=10)
        assert client.submit_job("handle", b"next", timeout=10) == b"next"


def test_a_handler_that_raises_draining_itself_fails_as_with_any_exception(server: str, client: Client) -> None:
    def leave(arg: bytes) -> bytes:
        raise Draining

    with serving([function("leave", leave)], server), pytest.raises(JobFailed):
        client.submit_job("leave", b"", timeout=10)


def test_a_handler_may_raise_skip_abort_and_retry(server: str, client: Client) -> None:
    tries: list[bytes] = []

    def choose(arg: bytes) -> bytes:
        tries.append(arg)
        if arg == b"skip":
            raise Skip("enough")
        if arg == b"abort":
            raise Abort("no")
        if tries.count(arg) == 1:
            raise Retry(delay=0.001)
        return b"second"

    with serving([function("choose", choose, on_error="skip")], server):
        assert client.submit_job("choose", b"skip", timeout=10) == b"enough"
        with pytest.raises(JobFailed):
            client.submit_job("choose", b"abort", timeout=10)
        assert client.submit_job("choose", b"retry", timeout=10) == b"second"


def test_with_report_exception_the_client_gets_the_reason(server: str, client: Client) -> None:
    with serving([function("boom", boom, report="exception")], server):
        with pytest.raises(JobException) as raised:
            client.submit_job("boom", b"", timeout=10)
        assert raised.value.payload == b"ValueError: bad"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), gevent.GreenletExit()])
def test_any_exception_of_a_handler_fails_only_its_job(server: str, client: Client, error: BaseException) -> None:
    def leave(arg: bytes) -> bytes:
        if arg == b"later":
            gevent.sleep(0.001)
        raise error

    with serving([function("leave", leave), function("echo", lambda arg: arg)], server):
        for arg in (b"now", b"later"):
            with pytest.raises(JobFailed):
                client.submit_job("leave", arg, timeout=10)
        assert client.submit_job("echo", b"alive", timeout=10) == b"alive"


def test_a_job_that_waits_for_its_retry_releases_its_slot(server: str, client: Client) -> None:
    handler = Counting(failures=1)
    # Longer than any test, so that the second job ends while the first waits.
    slow = RetrySettings(attempts=2, delay_s=3600.0, backoff=1.0, jitter=0.0)
    with serving([function("flaky", handler, on_error="retry", retry=slow, concurrency=1)], server) as running:
        first = client.submit("flaky", b"")
        wait_for(lambda: running.snapshot()["functions"]["flaky"]["waiting_retry"] == 1, "the first job to wait")
        assert client.submit_job("flaky", b"", timeout=10) == b"done"
        assert not first.done()
        assert running.snapshot()["functions"]["flaky"]["waiting_retry"] == 1


def test_beyond_max_waiting_a_job_keeps_its_slot(server: str, client: Client) -> None:
    retry = RetrySettings(attempts=2, delay_s=30.0, backoff=1.0, jitter=0.0, max_waiting=2)
    with serving([function("boom", boom, on_error="retry", retry=retry, concurrency=3)], server) as running:
        for _ in range(10):
            client.submit_background_job("boom", b"")
        wait_for(lambda: running.snapshot()["functions"]["boom"]["waiting_retry"] == 5, "2 without and 3 with a slot")
        gevent.sleep(0)
        assert running.snapshot()["slots"]["used"] == 3


def test_a_job_that_waits_for_its_retry_is_forgotten_with_its_connection_and_its_slot_released() -> None:
    handler = Counting(failures=1)
    retry = RetrySettings(attempts=2, delay_s=3600.0, max_delay_s=3600.0, max_waiting=0)
    with job_server() as ours, Client(ours.address) as client:
        flaky = function("flaky", handler, on_error="retry", retry=retry, concurrency=1)
        with serving([flaky], ours.address) as running:
            client.submit_background_job("flaky", b"")
            wait_for(lambda: running.snapshot()["functions"]["flaky"]["waiting_retry"] == 1, "the job to wait")
            assert running.snapshot()["slots"]["used"] == 1
            ours.drop_connections()
            # The server hands it out again, and it is run in the only slot.
            wait_for(lambda: running.outcomes("flaky").get("complete") == 1, "its second run")
            assert running.snapshot()["functions"]["flaky"]["waiting_retry"] == 0


def test_jobs_that_fail_at_random_each_end_once_within_the_configured_attempts(server: str, client: Client) -> None:
    runs: dict[bytes, int] = {}

    def unsure(arg: bytes, job: Job) -> bytes:
        runs[arg] = runs.get(arg, 0) + 1
        assert job.attempt == runs[arg]
        if runs[arg] < int(arg) % 7 + 1:
            if int(arg) % 2:
                gevent.sleep(0)
            raise ValueError("again")
        return arg

    retry = RetrySettings(attempts=5, delay_s=0.001, backoff=1.0, jitter=0.2)
    with serving([function("unsure", unsure, on_error="retry", retry=retry, concurrency=10)], server) as running:
        futures = {number: client.submit("unsure", b"%d" % number) for number in range(700)}
        for number, future in futures.items():
            if number % 7 < 5:
                assert future.result(20) == b"%d" % number
            else:
                with pytest.raises(JobFailed):
                    future.result(20)
        assert running.outcomes("unsure")["complete"] == 500
        assert running.outcomes("unsure")["failed"] == 200
        assert running.snapshot()["slots"]["used"] == running.call(
            lambda pool: sum(s.grabs.under_way for s in pool.sessions)
        )
    assert all(runs[b"%d" % number] == min(number % 7 + 1, 5) for number in range(700))


def test_a_handler_that_has_yielded_gets_job_timeout_and_may_clean_up(server: str, client: Client) -> None:
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()

    def slow(arg: bytes) -> bytes:
        try:
            gevent.sleep(30)
        except JobTimeout as error:
            seen.put(str(error))
            raise
        return arg

    with serving([function("slow", slow, timeout_s=0.05)], server) as running:
        with pytest.raises(JobFailed):
            client.submit_job("slow", b"", timeout=10)
        assert seen.get(timeout=5) == "over its time limit of 0.05 s"
        assert running.outcomes("slow") == {"timeout": 1}


def test_except_exception_does_not_catch_a_timeout(server: str, client: Client) -> None:
    def careless(arg: bytes) -> bytes:
        try:
            gevent.sleep(30)
        except Exception:
            return b"swallowed"
        return arg

    with serving([function("careless", careless, timeout_s=0.05)], server), pytest.raises(JobFailed):
        client.submit_job("careless", b"", timeout=10)


def test_a_handler_that_catches_its_timeout_and_returns_completes_the_job(server: str, client: Client) -> None:
    def partial(arg: bytes) -> bytes:
        try:
            gevent.sleep(30)
        except JobTimeout:
            return b"half"
        return b"whole"

    with serving([function("partial", partial, timeout_s=0.05)], server):
        assert client.submit_job("partial", b"", timeout=10) == b"half"


def test_a_handler_that_ignores_its_timeout_is_killed_after_the_grace_period(server: str, client: Client) -> None:
    def stubborn(arg: bytes) -> bytes:
        while True:
            with contextlib.suppress(JobTimeout):
                gevent.sleep(30)

    with serving([function("stubborn", stubborn, timeout_s=0.05, timeout_grace_s=0.05)], server) as running:
        with pytest.raises(JobFailed):
            client.submit_job("stubborn", b"", timeout=10)
        assert running.outcomes("stubborn") == {"timeout": 1}
        assert running.snapshot()["in_progress"] == 0


def test_the_job_of_a_handler_that_ignores_even_its_killing_is_reported_and_the_process_replaced(
    server: str, client: Client
) -> None:
    let_go = threading.Event()

    def monster(arg: bytes) -> bytes:
        while not let_go.is_set():
            with contextlib.suppress(BaseException):
                gevent.sleep(0.02)
        return b"too late"

    with serving([function("monster", monster, timeout_s=0.05, timeout_grace_s=0.05)], server) as running:
        asked: list[str] = []
        running.pool.abandoned.replace = asked.append
        with pytest.raises(JobFailed):
            client.submit_job("monster", b"", timeout=10)
        wait_for(lambda: asked, "the request for a replacement")
        assert running.outcomes("monster") == {"timeout": 1}
        let_go.set()
        wait_for(lambda: running.snapshot()["in_progress"] == 0, "the greenlet to end")
        assert running.outcomes("monster") == {"timeout": 1}
        assert client.submit_job("monster", b"", timeout=10) == b"too late"


def test_on_timeout_retry_runs_the_job_again(server: str, client: Client) -> None:
    attempts: list[int] = []

    def slow_at_first(arg: bytes, job: Job) -> bytes:
        attempts.append(job.attempt)
        if job.attempt == 1:
            gevent.sleep(30)
        return b"done"

    with serving([function("slow", slow_at_first, timeout_s=0.05, on_timeout="retry", retry=QUICKLY)], server):
        assert client.submit_job("slow", b"", timeout=10) == b"done"
    assert attempts == [1, 2]


def test_a_dead_letter_is_in_the_file_before_the_client_sees_the_failure(
    server: str, client: Client, tmp_path: Path
) -> None:
    retry = RetrySettings(attempts=2, delay_s=0.01, then="dead_letter")
    letters = DeadLetterSettings(file="dead.jsonl")
    with serving(
        [function("boom", boom, on_error="retry", retry=retry, dead_letter=letters)], server, base=tmp_path
    ) as running:
        with pytest.raises(JobFailed):
            client.submit_job("boom", b"\0payload", unique="u", timeout=10)
        (line,) = (tmp_path / "dead.jsonl").read_text().splitlines()
        letter = json.loads(line)
        assert letter["function"] == "boom"
        assert letter["unique"] == "u"
        assert letter["attempts"] == 2
        assert letter["payload"] == "AHBheWxvYWQ="
        assert "ValueError: bad" in letter["error"]
        assert 'raise ValueError("bad")' in letter["traceback"]
        assert running.outcomes("boom") == {"retried": 1, "dead_letter": 1}


def test_a_dead_letter_to_a_function_is_submitted_as_a_background_job(server: str, client: Client) -> None:
    retry = RetrySettings(attempts=1, then="dead_letter")
    buried: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    functions = [
        function("boom", boom, on_error="retry", retry=retry, dead_letter=DeadLetterSettings(function="bury")),
        function("bury", buried.put),
    ]
    with serving(functions, server):
        with pytest.raises(JobFailed):
            client.submit_job("boom", b"body", timeout=10)
        assert buried.get(timeout=10) == b"body"


def test_a_job_whose_dead_letter_cannot_be_written_is_handed_back_and_not_failed(
    server: str, client: Client, tmp_path: Path
) -> None:
    retry = RetrySettings(attempts=1, then="dead_letter")
    letters = DeadLetterSettings(file="missing/dead.jsonl")
    with serving(
        [function("boom", boom, on_error="retry", retry=retry, dead_letter=letters)], server, base=tmp_path
    ) as running:
        future = client.submit("boom", b"")
        wait_for(lambda: running.outcomes("boom").get("requeued", 0) >= 1, "the first attempt to be handed back")
        assert not future.done()
        (tmp_path / "missing").mkdir()
        with pytest.raises(JobFailed):
            future.result(20)
        assert len((tmp_path / "missing" / "dead.jsonl").read_text().splitlines()) == 1


def test_a_poisoned_job_fails_without_being_run(server: str, client: Client) -> None:
    ran: list[bytes] = []
    poisonous = function("risky", ran.append)
    poisonous.notes_of(server)[b"ukiller"] = Note(kills=3, suspected=0)
    with serving([poisonous], server) as running:
        with pytest.raises(JobFailed):
            client.submit_job("risky", b"1", unique="killer", timeout=10)
        assert client.submit_job("risky", b"2", unique="innocent", timeout=10) == b""
        assert running.outcomes("risky") == {"poisoned": 1, "complete": 1}
    assert ran == [b"2"]


class Recorded:
    """The failures of a pool, by exception and outcome, each with its count."""

    def __init__(self, running: Serving) -> None:
        self._running = running
        running.call(self._listen)

    def _listen(self, pool: WorkerPool) -> None:
        pool.failures.on_new = lambda: None

    def take(self) -> dict[tuple[str, str], int]:
        taken = self._running.call(lambda pool: pool.failures.take())
        return {(each["exception"], each["outcome"]): each["count"] for each in taken.failures} if taken else {}


def test_what_is_given_up_or_retried_is_recorded_and_what_is_skipped_is_not(
    server: str, client: Client, tmp_path: Path
) -> None:
    once = RetrySettings(attempts=2, delay_s=0.01, then="dead_letter")
    functions = [
        function("letters", boom, on_error="retry", retry=once, dead_letter=DeadLetterSettings(file="dead.jsonl")),
        function("reports", boom, report="exception"),
        function("skips", boom, on_error="skip"),
    ]
    with serving(functions, server, base=tmp_path) as running:
        recorded = Recorded(running)
        for name in ("letters", "reports", "skips"):
            with contextlib.suppress(JobFailed, JobException):
                client.submit_job(name, b"", timeout=20)
        taken = running.call(lambda pool: pool.failures.take())
        assert taken is not None
        assert {each["function"]: (each["outcome"], each["count"]) for each in taken.failures} == {
            "letters": ("dead_letter", 2), "reports": ("exception", 1),
        }  # fmt: skip
        assert recorded.take() == {}


def test_a_dead_letter_that_cannot_be_written_is_a_failure_itself(server: str, client: Client, tmp_path: Path) -> None:
    retry = RetrySettings(attempts=1, then="dead_letter")
    letters = DeadLetterSettings(file="missing/dead.jsonl")
    boomer = function("boom", boom, on_error="retry", retry=retry, dead_letter=letters)
    with serving([boomer], server, base=tmp_path) as running:
        recorded = Recorded(running)
        future = client.submit("boom", b"")
        wait_for(lambda: running.outcomes("boom").get("requeued", 0) >= 1, "the first attempt to be handed back")
        assert recorded.take().keys() >= {("gearpool.DeadLetterFailed", "requeued")}
        (tmp_path / "missing").mkdir()
        with pytest.raises(JobFailed):
            future.result(20)


def test_jobs_that_are_not_run_and_jobs_that_are_killed_while_they_wait_are_recorded(
    server: str, client: Client
) -> None:
    poisonous = function("risky", lambda arg: arg)
    poisonous.notes_of(server)[b"ukiller"] = Note(kills=3, suspected=0)
    poisonous.notes_of(server)[b"ucondemned"] = Note(kills=CONDEMNED, suspected=0)
    retry = RetrySettings(attempts=2, delay_s=3600.0, max_delay_s=3600.0)
    with serving([poisonous, function("boom", boom, on_error="retry", retry=retry)], server) as running:
        recorded = Recorded(running)
        for unique in ("killer", "condemned"):
            with pytest.raises(JobFailed):
                client.submit_job("risky", b"1", unique=unique, timeout=10)
        assert recorded.take() == {("poisoned job", "poisoned"): 1, ("gearpool.Killed", "failed"): 1}
        future = client.submit("boom", b"")
        wait_for(lambda: running.snapshot()["functions"]["boom"]["waiting_retry"] == 1, "the job to wait")
        (row,) = running.call(snapshots.jobs)
        assert running.call(lambda pool: pool.kill(f"{row['server']}/{row['handle']}"))
        with pytest.raises(JobFailed):
            future.result(10)
        assert recorded.take() == {("ValueError", "retried"): 1, ("gearpool.Killed", "failed"): 1}


def test_an_open_breaker_leaves_jobs_on_the_server_until_a_probe_succeeds(server: str, client: Client) -> None:
    ran: list[bytes] = []
    decide = threading.Event()

    def unsteady(arg: bytes) -> bytes:
        ran.append(arg)
        if len(ran) <= 4:
            raise ValueError("down")  # three failures open the breaker, the fourth is the first probe
        while not decide.is_set():
            gevent.sleep(0.005)
        return arg

    breaker = BreakerSettings(failures=3, within_s=60.0, pause_s=0.05)
    with serving([function("unsteady", unsteady, breaker=breaker, concurrency=10)], server) as running:
        for number in range(3):
            assert client.submit("unsteady", b"%d" % number).exception(20) is not None
        assert running.snapshot()["functions"]["unsteady"]["breaker_open"]
        futures = [client.submit("unsteady", b"%d" % number) for number in range(3, 20)]
        wait_for(lambda: len(ran) == 5, "a failed probe and one that is still running")
        state = running.snapshot()["functions"]["unsteady"]
        assert state["breaker_open"]
        assert (state["in_progress"], len(ran)) == (1, 5), "the other jobs stay on the server although slots are free"
        decide.set()
        failed = [future.exception(20) for future in futures]
        assert [error is not None for error in failed].count(True) == 1
        assert not running.snapshot()["functions"]["unsteady"]["breaker_open"]


def test_a_poisoned_job_does_not_count_as_a_probe(server: str, client: Client) -> None:
    unsteady = function("unsteady", boom, breaker=BreakerSettings(failures=1, within_s=60.0, pause_s=0.05))
    unsteady.notes_of(server)[b"upoison"] = Note(kills=3, suspected=0)
    with serving([unsteady], server):
        for unique in ("opens", "poison", "probe"):
            with pytest.raises(JobFailed):
                client.submit_job("unsteady", b"", unique=unique, timeout=20)


def test_a_rate_limits_the_jobs_started(server: str, client: Client) -> None:
    times: list[float] = []

    def stamp(arg: bytes) -> bytes:
        times.append(time.monotonic())
        return arg

    with serving([function("stamp", stamp, rate_per_s=20.0)], server):
        list(client.map("stamp", [b""] * 30, window=30))
    # 20 jobs at once as a burst; the last of the ten others starts no sooner than the rate allows.
    assert times[-1] - times[0] > 0.4


def test_an_operator_kills_a_running_job(server: str, client: Client) -> None:
    def slow(arg: bytes) -> bytes:
        gevent.sleep(60)
        return arg

    with serving([function("slow", slow)], server) as running:
        future = client.submit("slow", b"")
        rows: list[dict[str, Any]] = wait_for(lambda: running.call(snapshots.jobs), "the job to run")
        assert running.call(lambda pool: pool.kill(rows[0]["handle"]))
        with pytest.raises(JobFailed):
            future.result(10)
        assert not running.call(lambda pool: pool.kill("H:none:1"))


def test_an_operator_kills_a_job_that_waits_for_its_retry(server: str, client: Client) -> None:
    retry = RetrySettings(attempts=2, delay_s=3600.0, max_delay_s=3600.0)
    with serving([function("boom", boom, on_error="retry", retry=retry)], server) as running:
        future = client.submit("boom", b"")
        wait_for(lambda: running.snapshot()["functions"]["boom"]["waiting_retry"] == 1, "the job to wait")
        (row,) = running.call(snapshots.jobs)
        assert running.call(lambda pool: pool.kill(f"{row['server']}/{row['handle']}"))
        with pytest.raises(JobFailed):
            future.result(10)
        assert running.outcomes("boom") == {"retried": 1, "failed": 1}
        assert running.snapshot()["functions"]["boom"]["waiting_retry"] == 0
        assert running.snapshot()["slots"]["used"] == 0


def test_a_handler_that_ignores_being_killed_by_an_operator_is_ended_after_the_grace_period(
    server: str, client: Client
) -> None:
    def stubborn(arg: bytes) -> bytes:
        with contextlib.suppress(Killed):
            gevent.sleep(60)
        gevent.sleep(60)
        return arg

    with serving([function("stubborn", stubborn, timeout_grace_s=0.1)], server) as running:
        future = client.submit("stubborn", b"")
        rows: list[dict[str, Any]] = wait_for(lambda: running.call(snapshots.jobs), "the job to run")
        assert running.call(lambda pool: pool.kill(rows[0]["handle"]))
        with pytest.raises(JobFailed):
            future.result(10)
        assert running.outcomes("stubborn") == {"failed": 1}


OVER, GOING, KILLED, EXIT = JobTimeout("over"), Draining("going"), Killed("killed"), gevent.GreenletExit()


@pytest.mark.parametrize(
    ("raised", "thrown", "end"),
    [
        (ValueError(), [], End.RAISED),
        (OVER, [OVER], End.TIMED_OUT),
        (EXIT, [OVER, EXIT], End.TIMED_OUT),
        (ValueError(), [OVER], End.TIMED_OUT),
        (ValueError(), [OVER, EXIT], End.TIMED_OUT),
        (ValueError(), [GOING, EXIT], End.DRAINED),
        (KILLED, [KILLED], End.KILLED),
        (KILLED, [OVER, KILLED], End.KILLED),
        (EXIT, [OVER, KILLED, EXIT], End.KILLED),
        (OVER, [OVER, KILLED], End.KILLED),
        (ValueError(), [KILLED, EXIT], End.KILLED),
        (ValueError(), [KILLED, GOING], End.KILLED),
    ],
)
def test_the_outcome_is_the_reason_of_the_interrupt_and_killed_takes_precedence(
    raised: BaseException, thrown: list[BaseException], end: End
) -> None:
    assert outcome_of(raised, thrown).end is end
