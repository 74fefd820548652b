"""The daemon's metrics, as a scraper reads them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gearpool.metrics import BOUNDS, OUTCOMES, STALL_BOUNDS
from gearpool.supervisor.states import ChildState
from gearpool.web import metric_names
from gearpool.web.exposition import expose
from gearpool.web.metrics import families

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"


def function(**changes: Any) -> dict[str, Any]:
    """A row of a function that has run nothing."""
    row = {
        "outcomes": {}, "duration_buckets": [0] * (len(BOUNDS) + 1), "duration_sum_s": 0.0, "stalls": 0,
        "in_progress": 0, "slots": None, "waiting_retry": 0, "paused": False, "breaker_open": False, "age_s": None,
    }  # fmt: skip
    return row | changes


def status(**changes: Any) -> Any:
    """A status with one worker and two functions."""
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[0], buckets[-1] = 2, 1
    worker = {"pool": "default", "pid": 7, "state": "ready", "memory_bytes": 1000}
    full: dict[str, Any] = {
        "started": 1_700_000_000.5,
        "workers": [worker, worker | {"pid": 8, "state": "draining", "memory_bytes": 2000}],
        "functions": {
            "busy": function(
                outcomes=dict.fromkeys(OUTCOMES, 0) | {"complete": 2, "timeout": 1}, duration_buckets=buckets,
                duration_sum_s=2000.5, stalls=3, in_progress=4, slots=20, waiting_retry=5, breaker_open=True,
            ),
            'odd "\n': function(),
        },
        "slots": {"limit": 100, "used": 4},
        "servers": {"a:4730": True, "b:4730": False},
        "reconnects": 6,
        "stalls": {"busy": 3, "gone": 1},
        "stall_bounds": list(STALL_BOUNDS),
        "stall_buckets": [1] * (len(STALL_BOUNDS) + 1),
        "stall_sum_s": 9.5,
        "duration_bounds": list(BOUNDS),
        "restarts": {"crashed": 2},
        "reloads": {"ok": 1, "failed": 0},
    }  # fmt: skip
    return full | changes


def samples(found: Any, accept: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The samples that a scraper reads, by name and labels."""
    body, media_type = expose(lambda: families(found), accept)
    parse = parse_openmetrics if "openmetrics" in media_type else parse_text
    read = [sample for family in parse(body.decode()) for sample in family.samples]
    by_key = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in read}
    assert len(by_key) == len(read)
    return by_key


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_the_status_is_exposed_in_both_formats(accept: str) -> None:
    found = samples(status(), accept)

    def value(name: str, **labels: str) -> float:
        return found[name, tuple(sorted(labels.items()))]

    assert value("gearpool_start_time_seconds") == 1_700_000_000.5
    assert value("gearpool_workers", pool="default", state="ready") == 1
    assert value("gearpool_workers", pool="default", state="draining") == 1
    assert value("gearpool_workers", pool="default", state="starting") == 0
    assert value("gearpool_jobs_total", function="busy", outcome="complete") == 2
    assert value("gearpool_jobs_total", function='odd "\n', outcome="failed") == 0
    assert value("gearpool_job_duration_seconds_bucket", function="busy", le="0.001") == 2
    assert value("gearpool_job_duration_seconds_bucket", function="busy", le="1800.0") == 2
    assert value("gearpool_job_duration_seconds_bucket", function="busy", le="+Inf") == 3
    assert value("gearpool_job_duration_seconds_count", function="busy") == 3
    assert value("gearpool_job_duration_seconds_sum", function="busy") == 2000.5
    assert value("gearpool_jobs_in_progress", function="busy") == 4
    assert value("gearpool_jobs_waiting_retry", function="busy") == 5
    assert value("gearpool_slots", function="busy") == 20
    assert value("gearpool_capacity") == 100
    assert value("gearpool_server_connected", server="a:4730") == 1
    assert value("gearpool_server_connected", server="b:4730") == 0
    assert value("gearpool_reconnects_total") == 6
    assert value("gearpool_hub_stall_seconds_count") == len(STALL_BOUNDS) + 1
    assert value("gearpool_hub_stall_seconds_sum") == 9.5
    assert value("gearpool_stalls_total", function="busy") == 3
    assert value("gearpool_stalls_total", function="gone") == 1
    assert value("gearpool_child_restarts_total", pool="default", reason="crashed") == 2
    assert value("gearpool_child_memory_bytes", pool="default", pid="8") == 2000
    assert value("gearpool_config_reloads_total", result="failed") == 0
    assert value("gearpool_breaker_open", function="busy") == 1
    assert any(name == "gearpool_build_info" for name, _ in found)


def test_what_is_not_known_yet_has_no_sample() -> None:
    found = samples(status(workers=[], functions={"new": function()}, servers={}, slots={"limit": None, "used": None}))
    names = {name for name, _ in found}
    assert not {"gearpool_slots", "gearpool_capacity", "gearpool_server_connected"} & names
    assert found["gearpool_workers", (("pool", "default"), ("state", "ready"))] == 0


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_every_metric_of_the_daemon_is_exposed_with_the_kind_and_labels_of_the_table(accept: str) -> None:
    body, media_type = expose(lambda: families(status()), accept)
    openmetrics = "openmetrics" in media_type
    parse = parse_openmetrics if openmetrics else parse_text
    exposed = {family.name: family for family in parse(body.decode())}
    for metric in metric_names.DAEMON:
        bare = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        kind = metric.kind
        if metric.kind == "info":
            bare, kind = (bare.removesuffix("_info"), "info") if openmetrics else (bare, "gauge")
        family = exposed.pop(bare)
        assert (family.type, family.documentation) == (kind, metric.help)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels), metric.name
    assert exposed == {}


def test_every_state_of_a_worker_process_that_exists_is_a_label() -> None:
    assert {*metric_names.WORKER_STATES, "ended"} == {state.value for state in ChildState}
