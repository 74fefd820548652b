from __future__ import annotations

from gearpool.supervisor.options import Options, Programs


def test_the_checker_gets_the_file_and_the_overrides() -> None:
    options = Options("workers.yaml", ["--processes", "2"], Programs(checker=["python", "check.py"]))
    assert options.check == ["python", "check.py", "--file", "workers.yaml", "--processes", "2"]
