from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gearpool.cli.main import build
from gearpool.settings import Settings
from tests.cli.commands import gearpool
from tests.processes import missing

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
DRAIN_S = Settings(servers=(), functions=()).drain_timeout_s


def documents(name: str) -> dict[str, Any]:
    """Return the manifests of a file by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((FOLDER / name).read_text())}


@pytest.mark.parametrize("name", ["gearpool.yaml", "gearmand.yaml", "exporter.yaml", "secret.yaml"])
@pytest.mark.parametrize("version", ["1.27", "1.32"])
def test_the_manifests_are_valid(name: str, version: str) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate")
    argv = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(FOLDER / name)]
    found = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_grace_period_fits_the_default_drain() -> None:
    pod = documents("gearpool.yaml")["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN_S + 3


def container(name: str) -> dict[str, Any]:
    """Return the only container of a Deployment."""
    (found,) = documents(name)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_probes_ask_over_http_on_the_port_that_the_configuration_names() -> None:
    daemon = container("gearpool.yaml")
    (port,) = daemon["ports"]
    for probe, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert daemon[probe]["httpGet"] == {"path": path, "port": port["name"]}
    settings = yaml.safe_load((FOLDER / "workers.yaml").read_text())
    assert settings["http"]["listen"] == f"0.0.0.0:{port['containerPort']}"


def test_the_configuration_takes_its_tokens_from_the_secret() -> None:
    secret = documents("secret.yaml")["Secret"]
    settings = (FOLDER / "workers.yaml").read_text()
    references = {
        one["name"]: one["valueFrom"]["secretKeyRef"] for one in container("gearpool.yaml")["env"] if "valueFrom" in one
    }
    assert set(references) == set(re.findall(r"\$\{(\w+)\}", settings))
    for reference in references.values():
        assert reference["name"] == secret["metadata"]["name"]
        assert reference["key"] in secret["stringData"]


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    (tmp_path / "workers.yaml").write_bytes((FOLDER / "workers.yaml").read_bytes())
    gearpool(
        "check", "--offline", "-c", str(tmp_path / "workers.yaml"),
        env={"GEARPOOL_TOKEN": "one", "GEARPOOL_READ_TOKEN": "two"},
    )  # fmt: skip


def test_the_command_line_of_the_exporter_is_one_and_its_probes_ask_its_port() -> None:
    exporter = container("exporter.yaml")
    command, *options = exporter["args"]
    parser, module = build(command)
    arguments = parser.parse_args(options)
    assert module.__name__ == "gearpool.cli.exporter"
    (port,) = exporter["ports"]
    assert arguments.listen == f"0.0.0.0:{port['containerPort']}"
    assert arguments.servers in (FOLDER / "workers.yaml").read_text()
    assert exporter["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    assert exporter["livenessProbe"]["httpGet"] == {"path": "/livez", "port": port["name"]}
    annotations = documents("exporter.yaml")["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def test_the_pod_monitors_find_the_pods_their_ports_and_the_token() -> None:
    """The Prometheus Operator's monitoring.coreos.com/v1."""
    secret = documents("secret.yaml")["Secret"]
    for monitor in yaml.safe_load_all((FOLDER / "podmonitor.yaml").read_text()):
        assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "PodMonitor")
        spec = monitor["spec"]
        assert set(spec) == {"jobLabel", "selector", "podMetricsEndpoints"}
        name = spec["selector"]["matchLabels"]["app.kubernetes.io/name"]
        pod = documents(f"{name.removeprefix('gearpool-')}.yaml")["Deployment"]["spec"]["template"]
        assert pod["metadata"]["labels"] == spec["selector"]["matchLabels"]
        assert spec["jobLabel"] in pod["metadata"]["labels"]
        (endpoint,) = spec["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        if "authorization" in endpoint:
            credentials = endpoint["authorization"]["credentials"]
            assert credentials["name"] == secret["metadata"]["name"]
            assert credentials["key"] in secret["stringData"]


def test_nothing_runs_as_root_or_writes_to_its_image() -> None:
    for name in ("gearpool.yaml", "gearmand.yaml", "exporter.yaml"):
        pod = documents(name)["Deployment"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in pod["containers"])


def test_every_file_named_by_kustomize_exists() -> None:
    kustomization = documents("kustomization.yaml")["Kustomization"]
    named = [*kustomization["resources"], *kustomization["configMapGenerator"][0]["files"]]
    assert all((FOLDER / name).exists() for name in named)
    commented = re.findall(r"# - (\S+)", (FOLDER / "kustomization.yaml").read_text())
    assert {*named, *commented, "kustomization.yaml", "secret.yaml"} == {path.name for path in FOLDER.iterdir()}


def test_the_scaled_object_scales_the_deployment_by_its_jobs() -> None:
    """KEDA's keda.sh/v1alpha1 requires these fields, integers, and strings as metadata."""
    scaled = documents("scaledobject.yaml")["ScaledObject"]
    spec = scaled["spec"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    assert spec["scaleTargetRef"]["name"] == documents("gearpool.yaml")["Deployment"]["metadata"]["name"]
    numbers = ("minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod")
    assert set(spec) == {"scaleTargetRef", "triggers", *numbers}
    assert all(isinstance(spec[number], int) for number in numbers)
    assert spec["cooldownPeriod"] > DRAIN_S
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert "gearman_jobs" in trigger["metadata"]["query"]  # held to exist by test_watching
    settings = yaml.safe_load((FOLDER / "workers.yaml").read_text())
    assert int(trigger["metadata"]["threshold"]) == settings["processes"] * settings["concurrency"]
