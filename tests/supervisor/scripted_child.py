"""A child process that speaks the supervisor's protocol and otherwise does what a test writes into a file.

``python scripted_child.py FOLDER --channel FD [--page FD]``: everything received is appended to ``FOLDER/PID.heard``;
lines of ``FOLDER/PID.do`` (and, for every child, ``FOLDER/all.do``) are done once each:
``{"page": [activity, function, handle, unique]}``, ``{"say": {…}}``, ``{"spawn": true}``, ``{"blocked": true}`` (hear nothing), ``{"exit": CODE}``, ``{"kill": SIGNAL}``.
While ``FOLDER/hold`` exists, a new child does not become ready; while ``FOLDER/die`` exists, it leaves at once with the
exit code written there.
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

from gearpool.page import Page


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--page", type=int)
    options = parser.parse_args()
    folder: Path = options.folder
    mine = str(os.getpid())
    signals = 0

    def count(_number: int, _frame: object) -> None:
        nonlocal signals
        signals += 1
        (folder / f"{mine}.asked").write_text(str(signals))

    signal.signal(signal.SIGUSR2, count)
    if "GEARPOOL_STACKS_FD" in os.environ:
        faulthandler.register(signal.SIGUSR1, file=int(os.environ["GEARPOOL_STACKS_FD"]), all_threads=True)
    channel = socket.socket(fileno=options.channel)
    page = None if options.page is None else Page.attach(options.page)
    done = {"all": 0, mine: 0}
    heard = b""
    ready = draining = False
    blocked = False

    def say(message: object) -> None:
        channel.sendall(json.dumps(message).encode() + b"\n")

    died = folder / "die"
    if died.exists():
        say({"event": "failed", "problems": ["told to die"]})
        sys.exit(int(died.read_text()))
    while True:
        if select.select([channel], [], [], 0.01)[0] and not blocked:
            data = channel.recv(65536)
            if not data:
                sys.exit(3)
            with (folder / f"{mine}.heard").open("ab") as out:
                out.write(data)
            heard += data
            *lines, heard = heard.split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message["do"] == "drain":
                    draining = True
                elif "id" in message:
                    say({"event": "reply", "id": message["id"], "result": [{"asked": message["do"]}]})
        if not ready and not (folder / "hold").exists():
            ready = True
            say({"event": "ready"})
        for who in done:
            script = folder / f"{who}.do"
            lines_ = script.read_text().splitlines() if script.exists() else []
            for line_ in lines_[done[who] :]:
                done[who] += 1
                order = json.loads(line_)
                if "page" in order:
                    activity, function, handle, unique = order["page"]
                    assert page is not None
                    page.write(time.monotonic(), function, activity, handle.encode(), unique.encode())
                if "blocked" in order:
                    blocked = order["blocked"]
                if "spawn" in order:
                    spawned = subprocess.Popen(["sleep", "1000"])
                    (folder / f"{mine}.spawned").write_text(str(spawned.pid))
                if "say" in order:
                    say(order["say"])
                if "exit" in order:
                    sys.exit(order["exit"])
                if "kill" in order:
                    os.kill(os.getpid(), order["kill"])
        if draining and not (folder / "linger").exists():
            sys.exit(0)


if __name__ == "__main__":
    main()
