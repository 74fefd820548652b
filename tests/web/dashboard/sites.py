"""A daemon whose functions fail, stall, wait and report progress, for the dashboard to show."""

from __future__ import annotations

from pathlib import Path

from gearpool import Client
from tests.supervisor.test_web_child import WebSite

HANDLERS = '''
import time
from pathlib import Path

from gevent import sleep

FOLDER = Path(__file__).parent


def record(arg):
    with (FOLDER / "ran").open("ab", buffering=0) as file:
        file.write(arg + b"\\n")
    return arg[::-1]


def steps(arg, job):
    """Report progress each time that the file `step` has grown, until it has four bytes."""
    done = -1
    while done < 4:
        path = FOLDER / "step"
        size = len(path.read_bytes()) if path.exists() else 0
        if size > done:
            done = size
            job.progress(done, 4)
        sleep(0.02)
    return b"done"


def resize(arg):
    raise ValueError("cannot identify image " + arg.decode())


def lost(arg):
    if (FOLDER / "mended").exists():
        return record(arg)
    raise LookupError("no customer " + arg.decode())


def block(arg):
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        pass
    return b""
'''

FUNCTIONS = """functions:
  record: site_handlers.record
  steps: site_handlers.steps
  resize: site_handlers.resize
  block: site_handlers.block
  lost:
    handler: site_handlers.lost
    on_error: retry
    retry: {attempts: 2, delay: 0s, then: dead_letter}
    dead_letter: {file: lost.jsonl}
"""


class DashboardSite(WebSite):
    """The daemon with its dashboard at `url`."""

    def __init__(self, folder: Path, http: str | None = None, functions: str = FUNCTIONS) -> None:
        super().__init__(folder)
        self.handlers.write_text(HANDLERS)
        if http is not None:
            self.configure_http(f"{{listen: '{self.listen}', {http}}}")
        text = self.path.read_text()
        self.path.write_text(text[: text.index("functions:")] + functions)

    @property
    def url(self) -> str:
        return f"http://{self.listen}/"

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def submit(self, function: str, *payloads: bytes) -> None:
        """Submit background jobs."""
        with Client(self.server) as client:
            for payload in payloads:
                client.submit_background_job(function, payload)
