"""Daemons with scripted children, as real processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gearpool.settings import FunctionSettings, ServerSettings, Settings, to_json
from gearpool.supervisor import control_client, paths
from tests.processes import wait_for

ROOT = str(Path(__file__).parents[2])
MAIN = """
import json, sys
from gearpool.supervisor.daemon import Daemon
from gearpool.supervisor.options import Options, Programs
checker, worker, jobserver, path, start_s = json.loads(sys.argv[1])
sys.exit(Daemon(Options(path, (), Programs(checker, worker, jobserver), start_s)).run())
"""
PRINT = "import sys; print(open(sys.argv[-1]).read())"


def plain_settings(**changes: Any) -> Settings:
    function = FunctionSettings(
        name="work", handler="a.b", timeout_s=changes.pop("timeout_s", None), timeout_grace_s=0.2
    )
    return dataclasses.replace(
        Settings(servers=(ServerSettings(host="127.0.0.1"),), functions=(function,), drain_timeout_s=5.0),
        **changes,
    )


MEASURED = any(name.startswith("COVERAGE_PROCESS") for name in os.environ)


class ScriptedDaemon:
    """A daemon in a process of its own whose configuration file is the settings as JSON."""

    def __init__(
        self, folder: Path, settings: Settings | None = None, start_s: float = 30.0, **environment: str
    ) -> None:
        self.folder = folder
        self.children = folder / "children"
        self.children.mkdir(parents=True, exist_ok=True)
        self.path = folder / "workers.yaml"
        # Not below tmp_path: the path of a unix socket has at most 107 bytes.
        self.runtime = Path(tempfile.mkdtemp(prefix="gearpool-"))
        self.environment = {**os.environ, "RUNTIME_DIRECTORY": str(self.runtime), "PYTHONPATH": ROOT, **environment}
        self.start_s = start_s
        if not self.path.exists():
            self.configure(settings or plain_settings())
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, settings: Settings) -> None:
        self.path.write_text(json.dumps({"settings": to_json(settings)}))

    def configure_badly(self, *problems: str) -> None:
        self.path.write_text(json.dumps({"problems": problems}))

    def start(self) -> ScriptedDaemon:
        child = [sys.executable, "-m", "tests.supervisor.scripted_child", str(self.children)]
        arguments = json.dumps([[sys.executable, "-c", PRINT], child, child, str(self.path), self.start_s])
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, arguments], stderr=log, env=self.environment, process_group=0
            )
        return self

    def until_ready(self) -> ScriptedDaemon:
        wait_for(lambda: self.events("daemon.ready") or self.ended(), "the daemon to be ready")
        assert not self.ended(), self.stderr()
        return self

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def send(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        if MEASURED and self.process is not None and self.process.poll() is None:
            # What is killed outright does not say which lines it ran.
            self.process.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        children: list[str] = []
        if self.process is not None:
            with contextlib.suppress(OSError):
                pid = self.process.pid
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.kill()
        for child in children:
            # A child that was told to block does not notice that the supervisor is gone.
            with contextlib.suppress(OSError):
                os.kill(int(child), signal.SIGKILL)
        shutil.rmtree(self.runtime, ignore_errors=True)

    def stderr(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        found = []
        for line in self.stderr().splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] == name:
                    found.append(event)
        return found

    def socket(self) -> Path:
        return self.runtime / paths.socket_name(str(self.path))

    def ask(self, do: str, **fields: Any) -> Any:
        return control_client.call(self.socket(), do, **fields)

    def workers(self, *states: str) -> list[int]:
        """The process ids of the workers in these states (default: ready)."""
        wanted = states or ("ready",)
        return [worker["pid"] for worker in self.ask("status")["workers"] if worker["state"] in wanted]

    def until_workers(self, count: int, without: int | None = None) -> list[int]:
        """The ready workers, once there are ``count`` of them and ``without`` is not among them."""

        def ready() -> list[int]:
            found = self.workers()
            return found if len(found) == count and without not in found else []

        return wait_for(ready, f"{count} workers")

    def tell(self, pid: int | str, **order: Any) -> None:
        with (self.children / f"{pid}.do").open("a") as out:
            out.write(json.dumps(order) + "\n")

    def received(self, pid: int) -> list[dict[str, Any]]:
        path = self.children / f"{pid}.received"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def until_received(self, pid: int, do: str) -> dict[str, Any]:
        return wait_for(lambda: [one for one in self.received(pid) if one["do"] == do], f"{pid} to receive {do}")[0]


def exists(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
