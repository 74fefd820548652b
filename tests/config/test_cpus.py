from __future__ import annotations

import os
from pathlib import Path

import pytest

from gearpool.config import load
from gearpool.config.cpus import cpus

MANY = 64


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with 64 CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(MANY)))


def found(folder: Path, own: str, **groups: str) -> int:
    """With these files under the root, ``__`` for a slash and ``_DOT_`` for a dot, and this /proc/self/cgroup."""
    (folder / "own").write_text(own)
    root = folder / "root"
    root.mkdir()
    for name, text in groups.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cpus(root, folder / "own")


@pytest.mark.parametrize(
    ("quota", "number"),
    [("max 100000", MANY), ("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("100 100", 1),
     ("99999999 100000", MANY), ("", MANY), ("soon 5", MANY), ("5 0", MANY)],
)  # fmt: skip
def test_the_quota_of_a_container_counts(tmp_path: Path, quota: str, number: int) -> None:
    assert found(tmp_path, "0::/\n", cpu_DOT_max=quota) == number


def test_the_least_quota_of_the_group_and_those_above_it_counts(tmp_path: Path) -> None:
    files = {"system__cpu_DOT_max": "300000 100000", "system__pool__cpu_DOT_max": "800000 100000"}
    assert found(tmp_path, "0::/system/pool\n", **files) == 3


def test_a_path_of_the_hosts_that_is_not_mounted_means_the_top(tmp_path: Path) -> None:
    assert found(tmp_path, "0::/docker/4711\n", cpu_DOT_max="400000 100000") == 4
    assert cpus(tmp_path / "root", tmp_path / "own") == 4


def test_a_path_out_of_the_namespace_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000")
    assert found(tmp_path, "0::/../..\n") == MANY


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    own = "9:name=systemd:/\n4:cpuset:/x\n3:cpu,cpuacct:/docker/4711\n0::/\n"
    files = {"cpu,cpuacct__cpu_DOT_cfs_quota_us": "250000\n", "cpu,cpuacct__cpu_DOT_cfs_period_us": "100000\n"}
    assert found(tmp_path, own, **files) == 3


def test_no_quota_in_version_1(tmp_path: Path) -> None:
    files = {"cpu__cpu_DOT_cfs_quota_us": "-1\n", "cpu__cpu_DOT_cfs_period_us": "100000\n"}
    assert found(tmp_path, "3:cpu:/\n", **files) == MANY


def test_without_control_groups_all_that_it_may_run_on_count(tmp_path: Path) -> None:
    assert cpus(tmp_path / "root", tmp_path / "own") == MANY


def test_auto_means_that_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gearpool.config.assembling.cpus", lambda: 5)
    path = tmp_path / "w.yaml"
    path.write_text("servers: s:1\nprocesses: auto\nfunctions: {f: a.b}\n")
    assert load([path], None, {}).settings.processes == 5
