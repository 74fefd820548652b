from __future__ import annotations

import pytest

from gearpool.page import NO_FUNCTION, Activity, Beat
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.stare import IN_PLACE_S, Stare, Verdict, limits

SETTINGS = Settings(
    servers=(ServerSettings(host="x"),),
    functions=(
        FunctionSettings(name="free", handler="a.b"),
        FunctionSettings(name="limited", handler="a.b", timeout_s=1.0, timeout_grace_s=0.5),
    ),
    stall_timeout_s=30.0,
)
FREE, LIMITED = 0, 1


def beat(turn: int, since: float, activity: Activity = Activity.JOB, function: int = FREE) -> Beat:
    return Beat(turn, since, function, activity, b"H:1", b"u")


def verdicts(reading: Beat, end: float, step: float = 0.05, start: float = 100.0) -> list[tuple[float, Verdict]]:
    """What is not FINE while the same reading is seen every ``step`` seconds, with the seconds since ``start``."""
    stare = Stare()
    stare.look(beat(0, start - 1, Activity.HUB), start, SETTINGS)
    looks = [round(step * number, 3) for number in range(1, int(end / step) + 1)]
    found = [(at, stare.look(reading, start + at, SETTINGS)) for at in looks]
    return [(at, verdict) for at, verdict in found if verdict is not Verdict.FINE]


def test_a_hub_is_never_a_stall() -> None:
    assert verdicts(beat(1, 100.0, Activity.HUB), 100.0) == []


def first_overdue(turn: int, end: float, *, keeps_turning: bool = False) -> float | None:
    """After how many seconds in its hub a worker with a pulse is overdue."""
    stare = Stare(pulse=True)
    for number in range(int(end / 0.25)):
        at = number * 0.25
        reading = beat(turn + int(at) * keeps_turning, 100.0 + int(at) * keeps_turning, Activity.HUB)
        if stare.look(reading, 100.0 + at, SETTINGS) is Verdict.OVERDUE:
            return at
    return None


def test_a_hub_whose_pulse_has_stopped_is_overdue_after_stall_timeout() -> None:
    assert first_overdue(1, 40.0) == pytest.approx(30.0, abs=0.6)


def test_a_hub_with_a_pulse_is_never_a_stall() -> None:
    assert first_overdue(1, 100.0, keeps_turning=True) is None


def test_a_process_that_still_imports_has_no_pulse_yet() -> None:
    assert first_overdue(0, 100.0) is None


def test_a_job_without_a_limit_is_asked_once_about_its_stall() -> None:
    asked = verdicts(beat(1, 100.0), 5.0)
    assert [verdict for _, verdict in asked] == [Verdict.ASK]
    assert asked[0][0] == pytest.approx(0.25, abs=0.06)


def test_a_job_with_a_limit_is_asked_four_times_a_second_and_then_ever_faster() -> None:
    asked = [at for at, _ in verdicts(beat(1, 100.0, function=LIMITED), 1.4)]
    assert len([at for at in asked if at < 0.95]) == 3
    assert len([at for at in asked if at >= 1.0]) >= 7


def test_a_job_with_a_limit_is_overdue_after_its_grace() -> None:
    overdue = [at for at, verdict in verdicts(beat(1, 100.0, function=LIMITED), 3.0) if verdict is Verdict.OVERDUE]
    assert overdue[0] == pytest.approx(1.5 + IN_PLACE_S, abs=0.11)


def test_a_job_without_a_limit_is_overdue_after_stall_timeout() -> None:
    overdue = [at for at, verdict in verdicts(beat(1, 100.0), 32.0) if verdict is Verdict.OVERDUE]
    assert overdue[0] == pytest.approx(30.0, abs=0.11)


def test_a_turn_starts_the_count_anew() -> None:
    stare = Stare()
    for number in range(1, 1000):
        assert stare.look(beat(number, 100.0 + number * 0.1), 100.05 + number * 0.1, SETTINGS) is Verdict.FINE


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    stare = Stare()
    stare.look(beat(1, 100.0), 100.0, SETTINGS)
    assert stare.look(beat(1, 100.0), 5000.0, SETTINGS) is not Verdict.OVERDUE
    assert stare.stuck_s <= 2.0


def test_a_greenlet_without_a_job_has_only_the_stall_timeout() -> None:
    assert limits(Beat(1, 0.0, NO_FUNCTION, Activity.OTHER, b"", b""), SETTINGS) == (None, 30.0)


def test_the_earlier_of_the_two_limits_holds() -> None:
    assert limits(beat(1, 0.0, function=LIMITED), SETTINGS) == (1.0, 1.5 + IN_PLACE_S)
