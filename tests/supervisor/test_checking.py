from __future__ import annotations

import json
import subprocess
import sys

from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import MAIN


def test_a_checker_that_cannot_be_executed_fails_the_start(daemons: Factory) -> None:
    daemon = daemons()
    arguments = json.dumps([["/no/such/program"], ["true"], ["true"], str(daemon.path), 1.0])
    done = subprocess.run(
        [sys.executable, "-c", MAIN, arguments], env=daemon.environment, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 70
    assert b"cannot start the checker" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_failing_checker_is_not_reported_as_a_bad_configuration(daemons: Factory) -> None:
    daemon = daemons()
    daemon.path.write_text("not json")
    assert daemon.start().wait() == 70
