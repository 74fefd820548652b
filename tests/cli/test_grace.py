from __future__ import annotations

import math
from pathlib import Path

import pytest

from gearpool.cli.grace import graces
from gearpool.errors import InvalidArgument

DEPLOY = Path(__file__).parents[2] / "deploy"


def read(folder: Path, text: str, name: str = "file") -> dict[str, float]:
    path = folder / name
    path.write_text(text)
    return graces(str(path))


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("", 90.0), ("TimeoutStopSec=45", 45.0), ("TimeoutStopSec=45s", 45.0), ("TimeoutStopSec = 1min 30s", 90.0),
        ("TimeoutStopSec=2min", 120.0), ("TimeoutStopSec=500ms", 0.5), ("TimeoutStopSec=infinity", math.inf),
        ("TimeoutStopSec=0", math.inf), ("TimeoutSec=20", 20.0), ("TimeoutSec=20\nTimeoutStopSec=50", 50.0),
        ("TimeoutStopSec=50\nTimeoutStopSec=", 90.0), ("TimeoutStartSec=5", 90.0), ("#TimeoutStopSec=5", 90.0),
    ],
)  # fmt: skip
def test_a_systemd_unit(tmp_path: Path, line: str, seconds: float) -> None:
    assert read(tmp_path, f"[Unit]\n[Service]\nExecStart=/bin/true\n{line}\n", "g.service") == {"g.service": seconds}


def test_every_pod_of_a_manifest_that_mentions_us(tmp_path: Path) -> None:
    text = (
        "kind: Deployment\nmetadata: {name: a}\n"
        "spec: {template: {spec: {containers: [{image: gearpool}], terminationGracePeriodSeconds: 45}}}\n---\n"
        "kind: CronJob\nmetadata: {name: b}\n"
        "spec: {jobTemplate: {spec: {template: {spec: {containers: [{command: [gearpool]}]}}}}}\n---\n"
        "kind: Deployment\nmetadata: {name: c}\nspec: {template: {spec: {containers: [{image: gearmand}]}}}\n---\n"
        "kind: ConfigMap\nmetadata: {name: d}\n---\n"
    )
    assert read(tmp_path, text) == {"Deployment/a": 45.0, "CronJob/b": 30.0}


def test_every_service_of_a_compose_file_that_mentions_us(tmp_path: Path) -> None:
    text = (
        "services:\n  w: {image: shop, command: gearpool -c w.yaml, stop_grace_period: 1m30s}\n  g: {image: gearmand}\n"
    )
    assert read(tmp_path, text) == {"w": 90.0}
    assert read(tmp_path, "services:\n  w: {image: shop}\n  v: {image: x, stop_grace_period: 5s}\n") == {
        "w": 10.0,
        "v": 5.0,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no [Service], no pod with containers and no services"),
        ("kind: List\nitems: &a [*a]\n", "is nested too deep, or an alias in it holds itself"),
        ("- a\n", "has no [Service], no pod with containers and no services"),
        ("kind: ConfigMap\n", "has no [Service], no pod with containers and no services"),
        ("a: [", "is not a systemd unit, Kubernetes manifest or compose file"),
        ("[Service]\nTimeoutStopSec=soon\n", "'soon' is not a duration"),
        ("[Service]\nTimeoutStopSec=5 fortnights\n", "'5 fortnights' is not a duration"),
    ],
)
def test_what_is_none_of_the_three_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read(tmp_path, text)
    assert message in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\n")
    for name, message in (("nowhere", "cannot be read: No such file or directory"), ("binary", "is not UTF-8")):
        with pytest.raises(InvalidArgument) as raised:
            graces(str(tmp_path / name))
        assert str(raised.value) == f"{tmp_path / name} {message}"


def test_an_exporter_has_no_jobs_to_finish(tmp_path: Path) -> None:
    compose = (
        "services:\n  w: {image: gearpool, stop_grace_period: 40s}\n"
        "  e: {image: gearpool, command: [exporter, --listen, ':9418']}\n  f: {image: x, command: gearpool exporter}\n"
    )
    assert read(tmp_path, compose) == {"w": 40.0}
    exporter = "kind: Pod\nspec:\n  containers:\n  - {image: gearpool, command: [gearpool], args: [exporter]}\n"
    worker = "kind: Pod\nspec: {terminationGracePeriodSeconds: 50, containers: [{image: gearpool}]}\n"
    assert read(tmp_path, f"{exporter}---\n{worker}") == {"Pod/": 50.0}


@pytest.mark.parametrize("file", ["systemd/gearpool.service", "kubernetes/gearpool.yaml", "container/compose.yaml"])
def test_our_own_files_leave_time_for_the_default_drain(file: str) -> None:
    assert all(seconds >= 33 for seconds in graces(str(DEPLOY / file)).values())
