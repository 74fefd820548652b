"""A child process that implements the supervisor's protocol and otherwise does what a test writes into a file.

``FOLDER --channel FD [--page FD]``: everything received is appended to ``FOLDER/PID.received``. Each line of
``FOLDER/PID.do`` (and of ``FOLDER/all.do`` in every child) is executed once: ``{"page": [activity, function, handle,
unique]}``, ``{"count": [OUTCOME, NUMBER]}`` (runs of the first function), ``{"say": {…}}``, ``{"spawn": true}``,
``{"blocked": true}`` (stop reading), ``{"exit": CODE}``,
``{"kill": SIGNAL}``. While ``FOLDER/hold`` exists a new child does not become ready, except the first that finds
``FOLDER/one``. While ``FOLDER/die`` exists it exits at once with the code in that file. While ``FOLDER/linger`` exists it
ignores drain.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from gearpool.figures import Figures
from gearpool.page import SIZE, Page


class Child:
    def __init__(self, folder: Path, channel: int, page: int | None) -> None:
        self.folder = folder
        self.mine = str(os.getpid())
        self.channel = socket.socket(fileno=channel)
        self.page = None if page is None else Page.attach(page)
        self.figures: Figures | None = None
        self.done = {"all": 0, self.mine: 0}
        self.rest = b""
        self.asked = 0
        self.ready = self.draining = self.blocked = False
        signal.signal(signal.SIGUSR2, self.count)

    def count(self, _number: int, _frame: object) -> None:
        self.asked += 1
        (self.folder / f"{self.mine}.asked").write_text(str(self.asked))

    def say(self, message: object) -> None:
        self.channel.sendall(json.dumps(message).encode() + b"\n")

    def run(self) -> NoReturn:
        died = self.folder / "die"
        if died.exists():
            self.say({"event": "failed", "problems": ["told to die"]})
            sys.exit(int(died.read_text()))
        while True:
            if self.blocked:
                time.sleep(0.01)
            elif select.select([self.channel], [], [], 0.01)[0]:
                self.listen()
            if not self.ready and (not (self.folder / "hold").exists() or self.takes("one")):
                self.ready = True
                self.say({"event": "ready"})
            for who in self.done:
                self.obey(who)
            if self.draining and not (self.folder / "linger").exists():
                sys.exit(0)

    def takes(self, name: str) -> bool:
        """Whether the file was there, and is this child's."""
        try:
            (self.folder / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def listen(self) -> None:
        data = self.channel.recv(65536)
        if not data:
            sys.exit(3)
        with (self.folder / f"{self.mine}.received").open("ab") as out:
            out.write(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if message["do"] == "start" and self.page is not None:
                self.figures = Figures(self.page.memory, SIZE, len(message["settings"]["functions"]))
            if message["do"] == "drain":
                self.draining = True
            elif "id" in message:
                result = message["do"] != "kill" and [{"asked": message["do"]}]
                self.say({"event": "reply", "id": message["id"], "result": result})

    def obey(self, who: str) -> None:
        script = self.folder / f"{who}.do"
        lines = script.read_text().splitlines() if script.exists() else []
        for line in lines[self.done[who] :]:
            self.done[who] += 1
            ((verb, value),) = json.loads(line).items()
            getattr(self, f"do_{verb}")(value)

    def do_page(self, value: list[Any]) -> None:
        activity, function, handle, unique = value
        assert self.page is not None
        self.page.write(time.monotonic(), function, activity, handle.encode(), unique.encode())

    def do_count(self, value: list[Any]) -> None:
        outcome, number = value
        assert self.figures is not None
        for _ in range(number):
            self.figures.functions[0].ended(outcome, 0.02)

    def do_blocked(self, value: bool) -> None:
        self.blocked = value

    def do_say(self, value: Any) -> None:
        if value.get("event") == "status" and self.figures is not None:
            self.figures.tell(time.monotonic(), 0.0)
        self.say(value)

    def do_spawn(self, _value: bool) -> None:
        spawned = subprocess.Popen(["sleep", "1000"])
        (self.folder / f"{self.mine}.spawned").write_text(str(spawned.pid))

    def do_exit(self, value: int) -> None:
        sys.exit(value)

    def do_kill(self, value: int) -> None:
        os.kill(os.getpid(), value)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--page", type=int)
    options = parser.parse_args()
    if "GEARPOOL_STACKS_FD" in os.environ:
        faulthandler.register(signal.SIGUSR1, file=int(os.environ["GEARPOOL_STACKS_FD"]), all_threads=True)
    Child(options.folder, options.channel, options.page).run()


if __name__ == "__main__":
    main()
