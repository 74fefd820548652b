"""No memory of a job is kept after its report, whatever its outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.ends import KINDS


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What was left of a job of each kind, in a process without garbage collection."""
    folder = str(tmp_path_factory.mktemp("ends"))
    root = str(Path(__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-m", "tests.worker.ends", folder],
        capture_output=True, text=True, cwd=root, timeout=200, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found: dict[str, list[str]] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_job_is_kept_in_memory_after_its_end(left: dict[str, list[str]], kind: str) -> None:
    assert left[kind] == []
