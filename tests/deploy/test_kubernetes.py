from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gearpool.settings import Settings
from tests.processes import missing

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
DRAIN_S = Settings(servers=(), functions=()).drain_timeout_s


def documents(name: str) -> dict[str, Any]:
    """The manifests of a file by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((FOLDER / name).read_text())}


@pytest.mark.parametrize("name", ["gearpool.yaml", "gearmand.yaml"])
@pytest.mark.parametrize("version", ["1.27", "1.32"])
def test_the_manifests_fit_the_api(name: str, version: str) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate")
    argv = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(FOLDER / name)]
    found = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_grace_period_fits_the_default_drain() -> None:
    pod = documents("gearpool.yaml")["Deployment"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN_S + 3


def test_the_probes_ask_the_supervisor() -> None:
    (container,) = documents("gearpool.yaml")["Deployment"]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][:2] == ["gearpool", "ping"]


def test_nothing_runs_as_root_or_writes_to_its_image() -> None:
    for name in ("gearpool.yaml", "gearmand.yaml"):
        pod = documents(name)["Deployment"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in pod["containers"])


def test_kustomize_names_what_there_is() -> None:
    kustomization = documents("kustomization.yaml")["Kustomization"]
    named = [*kustomization["resources"], *kustomization["configMapGenerator"][0]["files"]]
    assert all((FOLDER / name).exists() for name in named)


def test_the_scaled_object_scales_the_deployment_by_what_waits() -> None:
    """As KEDA's keda.sh/v1alpha1 has it: required fields, whole numbers, metadata of strings."""
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
    assert "gearman_jobs_waiting" in trigger["metadata"]["query"]
