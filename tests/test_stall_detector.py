from __future__ import annotations

import pytest

from gearpool.page import NO_FUNCTION, Activity, Reading
from gearpool.settings import FunctionSettings, ServerSettings, Settings
from gearpool.stall_detector import IN_PLACE_S, Finding, StallDetector, limits

SETTINGS = Settings(
    servers=(ServerSettings(host="x"),),
    functions=(
        FunctionSettings(name="free", handler="a.b"),
        FunctionSettings(name="limited", handler="a.b", timeout_s=1.0, timeout_grace_s=0.5),
    ),
    stall_timeout_s=30.0,
)
FREE, LIMITED = 0, 1


def shows(turn: int, since: float, activity: Activity = Activity.JOB, function: int = FREE) -> Reading:
    return Reading(turn, since, function, activity, b"H:1", b"u")


def findings(reading: Reading, end: float, step: float = 0.05, start: float = 100.0) -> list[tuple[float, Finding]]:
    """What is not FINE while the same reading is seen every ``step`` seconds, with the seconds since ``start``."""
    detector = StallDetector()
    detector.check(shows(0, start - 1, Activity.HUB), start, SETTINGS)
    looks = [round(step * number, 3) for number in range(1, int(end / step) + 1)]
    found = [(at, detector.check(reading, start + at, SETTINGS)) for at in looks]
    return [(at, finding) for at, finding in found if finding is not Finding.FINE]


def test_a_hub_is_never_a_stall() -> None:
    assert findings(shows(1, 100.0, Activity.HUB), 100.0) == []


def first_overdue(turn: int, end: float, *, keeps_turning: bool = False) -> float | None:
    """After how many seconds in its hub a worker with a pulse is overdue."""
    detector = StallDetector(heartbeat=True)
    for number in range(int(end / 0.25)):
        at = number * 0.25
        reading = shows(turn + int(at) * keeps_turning, 100.0 + int(at) * keeps_turning, Activity.HUB)
        if detector.check(reading, 100.0 + at, SETTINGS) is Finding.OVERDUE:
            return at
    return None


def test_an_event_loop_whose_heartbeat_has_stopped_is_overdue_after_stall_timeout() -> None:
    assert first_overdue(1, 40.0) == pytest.approx(30.0, abs=0.6)


def test_an_event_loop_with_a_heartbeat_is_never_stalled() -> None:
    assert first_overdue(1, 100.0, keeps_turning=True) is None


def test_a_process_that_is_still_importing_has_no_heartbeat_yet() -> None:
    assert first_overdue(0, 100.0) is None


def test_a_job_without_a_limit_is_asked_once_about_its_stall() -> None:
    asked = findings(shows(1, 100.0), 5.0)
    assert [finding for _, finding in asked] == [Finding.SIGNAL]
    assert asked[0][0] == pytest.approx(0.25, abs=0.06)


def test_a_job_with_a_limit_is_asked_four_times_a_second_and_then_ever_faster() -> None:
    asked = [at for at, _ in findings(shows(1, 100.0, function=LIMITED), 1.4)]
    assert len([at for at in asked if at < 0.95]) == 3
    assert len([at for at in asked if at >= 1.0]) >= 7


def test_a_job_with_a_limit_is_overdue_after_its_grace() -> None:
    overdue = [at for at, finding in findings(shows(1, 100.0, function=LIMITED), 3.0) if finding is Finding.OVERDUE]
    assert overdue[0] == pytest.approx(1.5 + IN_PLACE_S, abs=0.11)


def test_a_job_without_a_limit_is_overdue_after_stall_timeout() -> None:
    overdue = [at for at, finding in findings(shows(1, 100.0), 32.0) if finding is Finding.OVERDUE]
    assert overdue[0] == pytest.approx(30.0, abs=0.11)


def test_a_new_sequence_number_resets_the_count() -> None:
    detector = StallDetector()
    for number in range(1, 1000):
        assert detector.check(shows(number, 100.0 + number * 0.1), 100.05 + number * 0.1, SETTINGS) is Finding.FINE


def test_time_in_which_the_supervisor_did_not_run_does_not_count() -> None:
    detector = StallDetector()
    detector.check(shows(1, 100.0), 100.0, SETTINGS)
    assert detector.check(shows(1, 100.0), 5000.0, SETTINGS) is not Finding.OVERDUE
    assert detector.stuck_s <= 2.0


def test_a_greenlet_without_a_job_has_only_the_stall_timeout() -> None:
    assert limits(Reading(1, 0.0, NO_FUNCTION, Activity.OTHER, b"", b""), SETTINGS) == (None, 30.0)


def test_the_earlier_of_the_two_limits_holds() -> None:
    assert limits(shows(1, 0.0, function=LIMITED), SETTINGS) == (1.0, 1.5 + IN_PLACE_S)
