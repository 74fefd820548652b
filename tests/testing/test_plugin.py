"""The pytest plugin, in a pytest run of its own as its users have it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from gearpool import Client
from gearpool.testing import ThreadedJobServer, ThreadedWorker
from tests.processes import unmeasured

ROOT = Path(__file__).parents[2]

TESTS = """
import sys

def test_nothing_is_loaded_before_a_fixture_is_used():
    assert "gevent" not in sys.modules

def test_a_job_goes_round(gearpool_client, gearpool_worker, gearpool_server):
    gearpool_worker.add("resize", lambda arg, job: arg * 2, timeout=5)
    assert gearpool_client.submit_job("resize", "ab") == b"abab"
    gearpool_server.faults.drop()
    assert gearpool_client.submit_job("resize", "c", unique="c", retry=3) == b"cc"

def test_each_test_has_a_server_of_its_own(gearpool_client):
    assert not any(gearpool_client.admin.status()[str(gearpool_client.servers[0])])

def test_the_standard_library_is_never_patched():
    from gevent import monkey
    assert not monkey.is_anything_patched()
"""


def run_pytest(folder: Path) -> str:
    # A configuration file of its own, so that none in a folder above is read.
    (folder / "pytest.ini").write_text("[pytest]\n")
    argv = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # By name, for where the package is only on the path; without the entry points, since pytest takes a plugin once.
    argv += ["-p", "gearpool.testing.plugin"]
    environment = unmeasured(PYTHONPATH=f"{ROOT}:{folder}", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_fixtures_work_and_load_gevent_only_when_used(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(TESTS)
    assert "4 passed" in run_pytest(tmp_path)


def test_the_readme_s_handler_passes_the_readme_s_tests(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```python\n# (\S+).*?\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert {name for name, _ in blocks} >= {"shop/images.py", "test_images.py"}
    for name, code in blocks:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    assert "2 passed" in run_pytest(tmp_path)


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"gearpool": "gearpool.testing.plugin"}


def test_the_plugin_loads_nothing_heavy() -> None:
    program = (
        "import gearpool.testing.plugin, sys;"
        "print([name for name in ('gevent', 'greenlet', 'yaml', 'rich', 'ssl', 'gearpool.client') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=unmeasured(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_fixtures_work_together(
    gearpool_server: ThreadedJobServer, gearpool_client: Client, gearpool_worker: ThreadedWorker
) -> None:
    gearpool_worker.add("double", lambda arg, job: arg * 2)
    assert gearpool_client.submit_job("double", "ab") == b"abab"
    assert str(gearpool_client.servers[0]) == gearpool_server.address
