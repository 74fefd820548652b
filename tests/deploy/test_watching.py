"""Alert rules, scrape configuration and dashboard: Prometheus accepts them, and they use only metrics that exist."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from gearpool.metrics import OUTCOMES
from gearpool.supervisor.states import ChildState
from gearpool.web import metric_names
from tests.cli.commands import environment
from tests.deploy.documents import DEPLOY, commands
from tests.processes import Gearmand, free_port, need, wait_for

PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "gearpool.rules.yaml"
TESTS = PROMETHEUS / "gearpool.rules.test.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana" / "gearpool.json").read_text())
CONFIG = DEPLOY.parent / "config"
METRICS = {metric.name: metric for metric in metric_names.ALL}
OF_THE_SCRAPE = frozenset({"instance", "job"})
PRIORITIES = frozenset({"high", "normal", "low", "unknown"})


def promtool(*arguments: str | Path) -> None:
    """Run it; it must succeed."""
    done = subprocess.run([need("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def shell(script: str, folder: Path, **variables: str) -> str:
    """Run a script with our ``gearpool``; what it starts in the background ends with it. Return its output."""
    bin_folder = folder / ".bin"
    bin_folder.mkdir()
    (bin_folder / "gearpool").write_text(f'#!/bin/sh\nexec {sys.executable} -m gearpool "$@"\n')
    (bin_folder / "gearpool").chmod(0o755)
    given = environment(RUNTIME_DIRECTORY=str(folder), **variables)
    done = subprocess.run(
        ["bash", "-ec", f"trap 'kill $(jobs -p); wait' EXIT\n{script}"], cwd=folder, capture_output=True, text=True,
        timeout=90, check=False, env={**given, "PATH": f"{bin_folder}:{given['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression in PromQL that this project ships, with its place."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for number, test in enumerate(yaml.safe_load(TESTS.read_text())["tests"]):
        for series in test["input_series"]:
            yield f"test {number}", series["series"]
    (trigger,) = yaml.safe_load((DEPLOY / "kubernetes" / "scaledobject.yaml").read_text())["spec"]["triggers"]
    yield "scaledobject.yaml", trigger["metadata"]["query"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.sub(r"label_values\((\w+), (\w+)\)", r"sum by (\2) (\1)", variable["definition"])


def problems(expression: str) -> list[str]:
    """What the expression uses that does not exist."""
    found = []
    labels = {*OF_THE_SCRAPE}
    without_texts = re.sub(r'"[^"]*"', '""', expression)
    for name, selector in re.findall(r"\b(gear(?:pool|man)_\w+)(\{[^}]*\})?", without_texts):
        metric = METRICS.get(name) or METRICS.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if metric is None or (metric.name != name and metric.kind != "histogram"):
            found.append(f"there is no metric {name}")
            continue
        labels |= {*metric.labels, *(("le",) if metric.kind == "histogram" else ())}
        selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)
        found += [f"{name} has no label {each}" for each in selected if each not in {*metric.labels, *OF_THE_SCRAPE}]
    for group in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", without_texts):
        found += [f"no metric of it has a label {each}" for each in re.findall(r"\w+", group) if each not in labels]
    known = {"outcome": set(OUTCOMES), "state": {state.value for state in ChildState}, "priority": PRIORITIES}
    for label, values in re.findall(r'\b(outcome|state|priority)(?:=~|!~|!=|=)"([^"$]*)"', expression):
        found += [f"no {label} is {each}" for each in values.split("|") if each not in known[label]]
    return found


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_only_metrics_labels_and_values_that_exist_are_used(place: str, expression: str) -> None:
    assert problems(expression) == [], place


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("gearpool_workers_ready > 0", "there is no metric gearpool_workers_ready"),
        ("gearpool_slots_bucket > 0", "there is no metric gearpool_slots_bucket"),
        ('gearpool_jobs_total{name="x"}', "gearpool_jobs_total has no label name"),
        ("sum by (queue) (gearman_jobs)", "no metric of it has a label queue"),
        ('gearpool_jobs_total{outcome=~"failed|late"}', "no outcome is late"),
    ],
)
def test_what_does_not_exist_is_found(expression: str, expected: str) -> None:
    assert problems(expression) == [expected]


def test_prometheus_accepts_the_rules_and_the_scrape_configuration(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PROMETHEUS, tmp_path / "prometheus"))
    (folder / "read-token").write_text("secret")
    promtool("check", "rules", folder / RULES.name)
    promtool("check", "config", folder / "prometheus.yaml")


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", TESTS)


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    fired = {
        case["alertname"]
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules()}


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_prometheus_accepts_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    texts = [target["expr"] for panel in panels() for target in panel["targets"]]
    plain = [re.sub(r"\$(instance|function)", ".*", text.replace("$__rate_interval", "5m")) for text in texts]
    recorded = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(plain)]
    file = tmp_path / "dashboard.rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", file)


def test_the_dashboard_has_no_two_panels_in_one_place_and_only_variables_that_it_defines() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD))) <= defined


def test_the_dashboard_shows_every_metric() -> None:
    used = json.dumps(DASHBOARD)
    assert [name for name in METRICS if name not in used] == []


def test_the_table_of_metrics_in_the_document_is_that_of_the_code() -> None:
    rows = [
        f"| `{metric.name}` | {', '.join(metric.labels) or 'none'} | {metric.help} |" for metric in metric_names.ALL
    ]
    assert "\n".join(["|---|---|---|", *rows, ""]) in (DEPLOY / "README.md").read_text()


def until(url: str) -> str:
    """A line of shell that waits until the address answers with success."""
    return f"until curl -sfo /dev/null {url}; do sleep 0.1; done"


def test_the_exporter_is_started_and_asked_as_the_document_says(gearmand: Gearmand, tmp_path: Path) -> None:
    need("curl")
    start, ask = commands("Watching it")
    address = f"127.0.0.1:{free_port()}"
    script = f"{start}\n{until(f'http://{address}/readyz')}\n{ask}"
    script = script.replace("127.0.0.1:9418", address).replace("127.0.0.1:4730", gearmand.address)
    assert f'gearman_up{{server="{gearmand.address}"}} 1.0' in shell(script, tmp_path).splitlines()


def test_a_daemon_is_watched_and_steered_as_the_config_readme_says(gearmand: Gearmand) -> None:
    need("curl")
    start, ask = commands("Watching it", CONFIG / "README.md")
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="gearpool-") as place:  # short: a socket's path has at most 107 bytes
        folder = Path(place)
        shutil.copy(CONFIG / "http.yaml", folder)
        script = f"{start}\n{until(f'http://{address}/readyz')}\n{ask}".replace("127.0.0.1:8730", address)
        told = shell(script, folder, GEARMAND=gearmand.address, GEARPOOL_HTTP=address)
    assert told.startswith("ok\n")
    assert f'gearpool_server_connected{{server="{gearmand.address}"}} 1.0' in told.splitlines()
    assert '"functions"' in told
    assert '"openapi"' in told
    assert told.count('"ok":true') == 2


def query(port: int, path: str) -> Any:
    """The data that Prometheus answers with."""
    with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=30) as answer:
        return json.load(answer)["data"]


def is_ready(port: int) -> bool:
    """Whether Prometheus answers queries."""
    with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=30):
        return True
    return False


@contextlib.contextmanager
def running(*argv: str, folder: Path, **variables: str) -> Iterator[None]:
    """A process for the duration of a block."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log, env=environment(**variables))
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_prometheus_scrapes_a_daemon_and_an_exporter_with_the_shipped_files(gearmand: Gearmand) -> None:
    """Every metric of the table arrives with the labels that it should have, and every rule can be evaluated."""
    daemon, exporter, own = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="gearpool-") as place:
        folder = Path(shutil.copytree(PROMETHEUS, Path(place) / "prometheus"))
        shutil.copy(CONFIG / "http.yaml", folder)
        (folder / "read-token").write_text("re4d")
        file = folder / "prometheus.yaml"
        ports = file.read_text().replace("127.0.0.1:8730", f"127.0.0.1:{daemon}")
        ports = ports.replace("127.0.0.1:9418", f"127.0.0.1:{exporter}")
        file.write_text("global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + ports)
        variables = {
            "GEARMAND": gearmand.address, "GEARPOOL_HTTP": f"127.0.0.1:{daemon}", "GEARPOOL_TOKEN": "t0ken",
            "GEARPOOL_READ_TOKEN": "re4d", "RUNTIME_DIRECTORY": place,
        }  # fmt: skip
        ours = [sys.executable, "-m", "gearpool"]
        with (
            running(*ours, "-c", "http.yaml", folder=folder, **variables),
            running(*ours, "exporter", "-s", gearmand.address, "-L", f"127.0.0.1:{exporter}", folder=folder),
            running(
                need("prometheus"), "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
                f"--web.listen-address=127.0.0.1:{own}", folder=folder,
            ),
        ):  # fmt: skip
            wait_for(lambda: is_ready(own), "Prometheus", 60.0)

            def both_up() -> bool:
                found = query(own, "query?query=gearman_up%3D%3D1")["result"]
                return {each["metric"]["job"] for each in found} == {"gearpool", "gearpool-exporter"}

            wait_for(both_up, "the metrics of both", 60.0)
            wait_for(lambda: missing_metrics(own) == {}, "every metric", 60.0)
            wait_for(lambda: not_evaluated(own) == [], "every rule to be evaluated", 60.0)


def missing_metrics(port: int) -> dict[str, str]:
    """The metrics of the table that Prometheus has not, or has with other labels, and why."""
    found = {}
    for metric in metric_names.ALL:
        name = f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name
        expected = {*metric.labels, *OF_THE_SCRAPE, "__name__", *(["le"] if metric.kind == "histogram" else [])}
        series = query(port, f"query?query={name}")["result"]
        if not series and metric not in NEEDS_AN_EVENT:
            found[name] = "no series"
        for each in series:
            if set(each["metric"]) != expected:
                found[name] = f"has the labels {set(each['metric'])}"
    return found


NEEDS_AN_EVENT = (metric_names.CHILD_RESTARTS,)
"""Metrics without a series before something has happened."""


def not_evaluated(port: int) -> list[str]:
    """The alerts that Prometheus has not evaluated without an error."""
    groups = query(port, "rules")["groups"]
    assert groups
    return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]
