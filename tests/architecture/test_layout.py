"""Where things stand: each module has a test file of its own, no file is too long, and the documents are up to date."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from tests.architecture import state_diagrams

ROOT = Path(__file__).parents[2]
MAX_LINES = 400
MAX_MEDIAN = 130

TESTED_ELSEWHERE: dict[str, str] = {
    "__main__.py": "client/test_processes.py",
    "children/web.py": "supervisor/test_web_child.py",
    "children/worker.py": "integration/test_daemon_serving.py",
    "cli/admin.py": "cli/test_asking.py",
    "cli/bench.py": "cli/test_asking.py",
    "cli/control.py": "supervisor/test_commands.py",
    "cli/daemon.py": "supervisor/test_commands.py",
    "cli/job.py": "cli/test_asking.py",
    "cli/operating.py": "supervisor/test_commands.py",
    "cli/progress.py": "cli/test_submit.py",
    "cli/queues.py": "cli/test_asking.py",
    "cli/results.py": "cli/test_submit.py",
    "cli/run.py": "cli/test_local_commands.py",
    "cli/schema.py": "cli/test_local_commands.py",
    "cli/screen.py": "supervisor/test_commands.py",
    "cli/servers.py": "cli/test_asking.py",
    "cli/top.py": "cli/test_status.py",
    "cli/waiting.py": "cli/test_submit.py",
    "client/aio/connection.py": "client/aio/test_faults.py",
    "client/aio/connection_pool.py": "client/aio/test_client.py",
    "client/aio/dispatch.py": "client/aio/test_client.py",
    "client/aio/many.py": "client/aio/test_client.py",
    "client/aio/submitting.py": "client/aio/test_client.py",
    "client/asking.py": "client/test_session.py",
    "client/connection.py": "client/test_faults.py",
    "client/connection_pool.py": "client/test_several_servers.py",
    "client/defaults.py": "client/test_client.py",
    "client/dispatch.py": "client/test_client.py",
    "client/replies.py": "client/test_many.py",
    "client/requests.py": "client/test_client.py",
    "client/results.py": "client/test_client.py",
    "client/submission.py": "client/test_states.py",
    "client/submitting.py": "client/test_client.py",
    "client/waiting.py": "client/test_futures.py",
    "client/windows.py": "client/test_many.py",
    "config/assembling.py": "config/test_messages.py",
    "config/model.py": "config/test_schema.py",
    "config/patching.py": "config/test_messages.py",
    "config/reference.py": "config/test_schema.py",
    "config/sections.py": "config/test_value_messages.py",
    "exit_codes.py": "cli/test_main.py",
    "net/async_dialing.py": "client/aio/test_client.py",
    "net/greenlets.py": "worker/test_library.py",
    "net/greeting.py": "net/test_dialing.py",
    "net/modules.py": "net/test_dialing.py",
    "process_exit.py": "integration/test_daemon_forks.py",
    "protocol/packets.py": "protocol/test_codec.py",
    "protocol/rows.py": "protocol/test_admin.py",
    "server/replies.py": "server/test_core.py",
    "states.py": "supervisor/test_states.py",
    "status.py": "supervisor/test_report.py",
    "version.py": "test_package.py",
    "web/exporter.py": "cli/test_exporter.py",
    "web/exposition.py": "web/test_metrics.py",
    "worker/engine.py": "worker/test_pool.py",
    "worker/forks.py": "integration/test_daemon_forks.py",
}
"""Modules without a test file of their own, because they are seen best at work: where they are."""


def modules() -> list[Path]:
    """The modules of the package that hold code, relative to the package."""
    found = sorted((ROOT / "gearpool").rglob("*.py"))
    return [file.relative_to(ROOT / "gearpool") for file in found if file.name != "__init__.py"]


def own_test(module: Path) -> Path:
    """``tests/<folder>/test_<module>.py``."""
    return ROOT / "tests" / module.parent / f"test_{module.name}"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_every_module_has_a_test_file_of_its_own_or_a_reason(module: Path) -> None:
    if str(module) in TESTED_ELSEWHERE:
        assert not own_test(module).exists(), "it has one now: take it off the list"
        assert (ROOT / "tests" / TESTED_ELSEWHERE[str(module)]).exists()
    else:
        assert own_test(module).exists(), f"{own_test(module).relative_to(ROOT)} is missing"


def test_the_list_of_exceptions_names_modules_that_exist() -> None:
    assert set(TESTED_ELSEWHERE) <= {str(module) for module in modules()}


def test_no_file_is_too_long() -> None:
    files = (ROOT / "gearpool").rglob("*.py")
    lengths = {str(file): len(file.read_text().splitlines()) for file in files}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}
    assert statistics.median(lengths.values()) <= MAX_MEDIAN


def test_the_state_tables_in_the_documents_are_those_of_the_code() -> None:
    assert state_diagrams.main(["--check"]) == 0
