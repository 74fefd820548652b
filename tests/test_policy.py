from __future__ import annotations

from typing import Any

import pytest

from gearpool.jobs import Abort, Draining, End, JobTimeout, Outcome, Retry, Skip
from gearpool.policy import Action, Rules, decide, explain, poisoned
from gearpool.settings import DeadLetterSettings, ErrorAction, FunctionSettings, RetrySettings

ABORT = Rules({}, "abort")


def settings(**changes: object) -> FunctionSettings:
    return FunctionSettings(name="f", handler="a.b", **changes)  # type: ignore[arg-type]


def raised(error: BaseException) -> Outcome:
    return Outcome(End.RAISED, error=error)


def test_what_returned_is_complete_with_its_result() -> None:
    decision = decide(settings(), ABORT, Outcome(End.RETURNED, b"x"), 1)
    assert (decision.action, decision.label, decision.result) == (Action.COMPLETE, "complete", b"x")


@pytest.mark.parametrize(
    ("action", "attempt", "expected", "label"),
    [
        ("abort", 1, Action.FAIL, "failed"),
        ("skip", 1, Action.COMPLETE, "skipped"),
        ("retry", 1, Action.RETRY, "retried"),
        ("retry", 4, Action.RETRY, "retried"),
        ("retry", 5, Action.FAIL, "failed"),
        ("retry", 9, Action.FAIL, "failed"),
    ],
)
def test_an_exception_means_what_on_error_says(action: ErrorAction, attempt: int, expected: Action, label: str) -> None:
    decision = decide(settings(), Rules({}, action), raised(ValueError("x")), attempt)
    assert (decision.action, decision.label) == (expected, label)


def test_the_nearest_class_in_the_mro_wins() -> None:
    rules = Rules({OSError: "skip", ConnectionError: "retry", Exception: "abort"}, "skip")
    assert rules.action(ConnectionResetError()) == "retry"
    assert rules.action(FileNotFoundError()) == "skip"
    assert rules.action(ValueError()) == "abort"
    assert rules.action(SystemExit()) == "skip"


def test_skip_abort_and_retry_raised_by_the_handler_beat_on_error() -> None:
    for rules in (Rules({}, "abort"), Rules({}, "skip"), Rules({}, "retry")):
        assert decide(settings(), rules, raised(Skip("ok")), 1)[:3] == (Action.COMPLETE, "skipped", b"ok")
        assert decide(settings(), rules, raised(Abort("no")), 1).reason == "no"
        assert decide(settings(), rules, raised(Retry(7.0)), 1).delay_s == 7.0


def test_a_retry_of_the_handlers_own_counts_against_the_attempts() -> None:
    retry = RetrySettings(attempts=2)
    assert decide(settings(retry=retry), ABORT, raised(Retry()), 2).action is Action.FAIL


def test_delays_grow_up_to_the_most_and_vary_by_the_jitter() -> None:
    retry = RetrySettings(attempts=99, delay_s=1.0, backoff=2.0, max_delay_s=5.0, jitter=0.5)

    def delay(attempt: int, chance: float) -> float:
        return decide(
            settings(retry=retry), Rules({}, "retry"), raised(ValueError()), attempt, lambda: chance
        ).delay_s  # fmt: skip

    assert [delay(attempt, 0.5) for attempt in (1, 2, 3, 4, 90)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert (delay(1, 0.0), delay(1, 1.0)) == (0.5, 1.5)


@pytest.mark.parametrize(
    ("then", "expected"),
    [("abort", Action.FAIL), ("skip", Action.COMPLETE), ("dead_letter", Action.DEAD_LETTER)],
)
def test_the_last_failure_means_what_then_says(then: str, expected: Action) -> None:
    retry = RetrySettings(attempts=1, then=then)  # type: ignore[arg-type]
    decision = decide(settings(retry=retry), Rules({}, "retry"), raised(ValueError("x")), 1)
    assert decision.action is expected
    assert decision.reason == "gave up after 1 attempts: ValueError: x"


@pytest.mark.parametrize(
    ("action", "expected", "label"),
    [("abort", Action.FAIL, "timeout"), ("skip", Action.COMPLETE, "skipped"), ("retry", Action.RETRY, "retried")],
)
def test_over_the_limit_on_timeout_decides(action: str, expected: Action, label: str) -> None:
    outcome = Outcome(End.TIMED_OUT, error=JobTimeout("over"))
    decision = decide(settings(on_timeout=action), Rules({}, "skip"), outcome, 1)
    assert (decision.action, decision.label) == (expected, label)


@pytest.mark.parametrize(("on_drain", "expected"), [("requeue", Action.REQUEUE), ("fail", Action.FAIL)])
def test_at_the_drain_deadline_on_drain_decides(on_drain: str, expected: Action) -> None:
    outcome = Outcome(End.DRAINED, error=Draining())
    assert decide(settings(on_drain=on_drain), ABORT, outcome, 1).action is expected


def test_a_poisoned_job_is_dead_lettered_if_there_is_a_place_for_it_else_failed() -> None:
    assert poisoned(settings(), 3).action is Action.FAIL
    assert poisoned(settings(dead_letter=DeadLetterSettings(file="x")), 3).action is Action.DEAD_LETTER


def test_an_exception_that_cannot_print_itself_is_still_explained() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert explain(Mute()) == "Mute: <unprintable>"
    assert explain(ValueError()) == "ValueError"
    assert explain(None) == ""


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text for you")


def spoilt(error: Any, **attributes: object) -> BaseException:
    for name, value in attributes.items():
        setattr(error, name, value)
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "error",
    [
        Unprintable(),
        Abort("\ud800 is no byte"),
        spoilt(Abort(), reason=5),
        spoilt(Skip(), result={"not": "bytes"}),
        spoilt(Retry(), delay="soon"),
        spoilt(Retry(), delay=-1.0),
        spoilt(Retry(), delay=float("nan")),
    ],
    ids=repr,
)
def test_whatever_a_handler_raises_the_job_fails_with_a_reason_that_can_be_sent(error: BaseException) -> None:
    decision = decide(settings(), ABORT, raised(error), 1)
    assert (decision.action, decision.label) == (Action.FAIL, "failed")
    assert decision.reason.encode("utf-8", "surrogateescape")
