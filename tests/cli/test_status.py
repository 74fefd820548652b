"""What `gearpool status` and `gearpool top` make of the daemon's answer."""

from __future__ import annotations

from typing import Any

import pytest

from gearpool.cli import status, top
from gearpool.metrics import BOUNDS


def worker(pid: int = 11, **changes: Any) -> dict[str, Any]:
    plain = {
        "pid": pid, "state": "ready", "age_s": 600.0, "memory_bytes": 40 << 20, "jobs": 5, "in_progress": 3,
        "slots": 100, "told": True, "stalled_s": 0.0,
    }  # fmt: skip
    return {**plain, **changes}


def function(**changes: Any) -> dict[str, Any]:
    outcomes = {"complete": 41, **changes.pop("outcomes", {})}
    return {"outcomes": outcomes, "in_progress": 3, "slots": 20, "waiting_retry": 0, "paused": False, **changes}


def answer(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "state": "running", "pid": 10, "uptime_s": 600.0, "config": "/etc/workers.yaml", "in_progress": 3, "paused": [],
        "jobserver": None, "workers": [worker()], "functions": {"mail": function()}, "servers": {"s:4730": True},
    }  # fmt: skip
    return {**plain, **changes}


def row(text: str, name: str) -> list[str]:
    (found,) = [line.split() for line in text.split("\n") if line.split()[:1] == [name]]
    return found


def test_limits_stand_beside_use() -> None:
    text = status.as_text(answer())
    assert row(text, "mail")[1] == "3/20"
    assert "3/100" in row(text, "11")


@pytest.mark.parametrize("end", ["failed", "exception", "timeout", "dead_letter", "poisoned"])
def test_what_failed_counts_as_failed_whatever_its_end(end: str) -> None:
    text = status.as_text(answer(functions={"mail": function(outcomes={end: 7})}))
    assert row(text, "mail")[2:4] == ["41", "7"]
    assert end == "failed" or f"mail: 7 {end}" in text


def test_retries_that_wait_breakers_and_pauses_are_told() -> None:
    functions = {"mail": function(waiting_retry=12, breaker_open=True, paused=True, outcomes={"retried": 30})}
    text = status.as_text(answer(functions=functions))
    assert row(text, "mail")[4] == "12"
    assert "mail: paused, breaker open, 30 retried" in text


def test_durations_come_from_the_histogram() -> None:
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[BOUNDS.index(0.025)], buckets[BOUNDS.index(2.5)] = 90, 10
    assert row(status.as_text(answer(functions={"mail": function(duration_buckets=buckets)})), "mail")[-2:] == [
        "<25ms", "<2.5s",
    ]  # fmt: skip
    buckets[-1] = 1000
    assert status.percentile(buckets, 0.5) == ">30m"
    assert status.percentile([0] * 18, 0.5) == ""


def test_the_process_that_serves_http_is_shown() -> None:
    web = {"pid": 12, "state": "ready", "listen": "127.0.0.1:8730"}
    assert "http: process 12, ready, on 127.0.0.1:8730" in status.as_text(answer(web=web))
    assert "http: process (being restarted), starting" in status.as_text(
        answer(web=web | {"pid": None, "state": "starting"})
    )
    assert "http" not in status.as_text(answer(web=None))


def test_just_after_the_start_it_says_what_is_not_known_yet() -> None:
    young = worker(age_s=0.4, told=False, jobs=0, in_progress=0, slots=None)
    text = status.as_text(answer(workers=[young], functions={}, servers={}))
    assert row(text, "11")[-2:] == ["0", "?"]
    assert "worker 11 has told nothing yet" in text
    assert "no worker has told of its functions and job servers yet" in text


def test_a_connection_that_is_not_there_yet_is_not_called_lost() -> None:
    assert "connecting" in status.as_text(answer(workers=[worker(age_s=0.4)], servers={"s:4730": False}))
    assert "s:4730  not connected" in status.as_text(answer(servers={"s:4730": False}))


def test_a_blocked_worker_is_named_with_its_job_and_how_old_its_numbers_are() -> None:
    blocked = worker(stalled_s=12.3, function="mail", handle="H:x:1\n")
    text = status.as_text(answer(workers=[blocked]))
    assert "worker 11 has been blocked for 12.3s by mail H:x:1" in text
    assert "figures" not in text, "it has told nothing"
    text = status.as_text(answer(workers=[{**blocked, "told_s": 12.9}]))
    assert "by mail H:x:1\\n: figures 12.9s old" in text.replace("\n: ", "\\n: ")


def test_figures_that_are_old_are_said_to_be() -> None:
    assert "worker 11: figures 12.0s old" in status.as_text(answer(workers=[worker(told_s=12.0)]))
    assert "old" not in status.as_text(answer(workers=[worker(told_s=1.2)]))


def test_the_lag_of_each_event_loop_is_shown() -> None:
    assert row(status.as_text(answer(workers=[worker(loop_lag_s=0.012)])), "11")[-1] == "12ms"
    wide = worker(4194304, state="draining", loop_lag_s=12.0, stalled_s=12.0, in_progress=100, jobs=123456789)
    assert all(len(line) <= 80 for line in status.workers_table([wide]).split("\n"))


def test_tables_fit_the_screen() -> None:
    status_ = answer(functions={"shop." + "x" * 100: function(duration_buckets=[9] * (len(BOUNDS) + 1))})
    assert all(len(line) <= 80 for line in status.as_text(status_, (), 80).split("\n"))


def test_stalls_restarts_and_failed_reloads_are_told() -> None:
    text = status.as_text(
        answer(stalls={"mail": 3, "": 1}, restarts={"crashed": 2, "memory": 1}, reloads={"ok": 1, "failed": 2})
    )
    assert "stalls: (no job) 1, mail 3\nworkers replaced: 2 crashed, 1 memory\nreloads that failed: 2" in text


def test_recent_failures_are_shown_by_status_and_top() -> None:
    assert "mail: ValueError at a.py:1, 3 times" in status.as_text(answer(), ["mail: ValueError at a.py:1, 3 times"])
    text = top.as_text(many(30), {}, 80, 24, ["mail: " + "x" * 100])
    assert "mail: xxx" in text
    assert all(len(line) <= 80 for line in text.split("\n"))
    assert len(text.split("\n")) < 24


def many(count: int) -> dict[str, Any]:
    return answer(
        functions={f"shop.background.function{number:03}": function() for number in range(count)},
        workers=[worker(100 + number) for number in range(9)],
    )


def test_top_fits_its_screen_and_says_how_many_it_leaves_out() -> None:
    rate = {f"shop.background.function{number:03}": float(number) for number in range(30)}
    lines = top.as_text(many(30), rate, 80, 24).split("\n")
    assert len(lines) <= 23
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1].endswith(" more")
    shown = [line.split()[1] for line in lines if "function0" in line]
    assert shown == [f"{number}.0" for number in range(29, 29 - len(shown), -1)], "the busiest first"
    assert lines[-1] == f"{30 - len(shown)} more"
    assert "JOBS/S" in next(line for line in lines if line.startswith("FUNCTION"))


@pytest.mark.parametrize("height", [8, 12, 24, 60])
@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_top_fits_any_screen(width: int, height: int, count: int) -> None:
    functions = {f"f{number}": function(paused=number == 0, breaker_open=number == 1) for number in range(count)}
    workers = [worker(100 + number, stalled_s=number % 2 * 3.0) for number in range(min(count, 9))]
    text = top.as_text(answer(functions=functions, workers=workers), {"f0": 123456.7}, width, height)
    assert all(len(line) <= max(width, 72) for line in text.split("\n"))
    if height >= 24:
        assert len(text.split("\n")) < height


def test_top_without_a_screen_leaves_nothing_out() -> None:
    text = top.as_text(many(30), {})
    assert all(f"shop.background.function{number:03}" in text for number in range(30))
    assert "COMPLETE" in text
    assert "more" not in text


def test_rates_are_those_since_the_last_look() -> None:
    assert top.rates({"f": 10, "g": 5}, {"f": 30, "g": 5, "new": 9}, 2.0) == {"f": 10.0, "g": 0.0}
