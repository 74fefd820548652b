"""The embedded job server as a child: ``python -m gearpool.children.jobserver --channel FD``. Floor 4.

Law: it obeys only its channel, a JSON object a line. ``{"do": "start", "settings": …}`` comes first; ``{"do":
"quiet"}`` closes the listener; ``{"do": "drain", "seconds": N}`` lets running jobs end and leaves. It says ``ready``,
``failed`` with the problems, and once a second ``status`` if anything changed. When the channel ends the supervisor has
died: it leaves at once. Signals are ignored: a signal to the whole process group is meant for the supervisor.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.socket

from gearpool import logs, uncaught
from gearpool.children.stacks import show_stacks
from gearpool.errors import ConfigurationError, InvalidArgument
from gearpool.page import NO_FUNCTION, Activity, Page
from gearpool.server.listening import parse_listen, reason
from gearpool.server.running import allow_descriptors, tell_lost_jobs, tune_collector
from gearpool.server.shell import JobServer
from gearpool.settings import EmbeddedSettings, Settings, from_json
from gearpool.timing import Deadline

STATUS_EVERY_S = 1.0
BEAT_S = 1.0
"""How often the supervisor is shown that the event loop goes on; `gearpool.supervisor.heartbeat` counts on it."""
CANNOT_CREATE = 73
CONFIGURATION = 78

Message = dict[str, Any]


class Channel:
    """Lines of JSON to and from the supervisor."""

    def __init__(self, fd: int) -> None:
        self._socket = gevent.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)

    def send(self, message: Message) -> None:
        """Tell the supervisor; if it has gone, `messages` ends."""
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def messages(self) -> Iterator[Message]:
        """What the supervisor says, until it has gone."""
        waiting = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            *lines, waiting = (waiting + data).split(b"\n")
            for line in lines:
                yield json.loads(line)


def main(argv: list[str] | None = None) -> int:
    """Serve as the supervisor says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="gearpool.children.jobserver")
    parser.add_argument("--channel", type=int, required=True, metavar="FD")
    parser.add_argument("--page", type=int, metavar="FD")
    arguments = parser.parse_args(argv)
    _ignore_signals()
    show_stacks()
    channel = Channel(arguments.channel)
    messages = channel.messages()
    first = next(messages, None)
    if first is None:
        return 0
    settings = from_json(Settings, first["settings"])
    logs.configure(settings.log)
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    allow_descriptors()
    embedded = settings.embedded or EmbeddedSettings()
    try:
        store = embedded.store
        if store != "memory":
            store = str(Path(settings.base, store))
        server = JobServer(
            parse_listen(embedded.listen),
            store=store,
            exceptions=embedded.exceptions,
            job_retries=embedded.job_retries,
            worker_wakeup=embedded.worker_wakeup,
            handle_prefix=embedded.job_handle_prefix,
        )
        server.start()
    except (ConfigurationError, InvalidArgument) as error:
        channel.send({"event": "failed", "problems": str(error).splitlines()})
        return CONFIGURATION
    except OSError as error:
        channel.send({"event": "failed", "problems": [f"cannot listen on {embedded.listen}: {reason(error)}"]})
        return CANNOT_CREATE
    tune_collector()
    greenlets = [gevent.spawn(_tell, server, channel)]
    if arguments.page is not None:
        os.set_inheritable(arguments.page, False)
        greenlets.append(gevent.spawn(_beat, Page.attach(arguments.page)))
    channel.send({"event": "ready", "listen": server.address})
    # Reads on during the drain: the supervisor may die or hasten.
    obeying = gevent.spawn(_obey, server, messages)
    obeying.join()
    gevent.killall(greenlets)
    server.stop()
    tell_lost_jobs(server)
    return 0


def _obey(server: JobServer, messages: Iterator[Message]) -> None:
    """Until the drain is done or the supervisor has gone."""
    me = gevent.getcurrent()
    for message in messages:
        match message.get("do"):
            case "quiet":
                server.quiet()
            case "drain":
                seconds = float(message.get("seconds", 0.0))
                gevent.spawn(server.stop, Deadline.after(seconds)).link(lambda _: me.kill(block=False))
            case "log-level":
                logs.set_level(str(message.get("level")))
            case _:
                pass  # resume and reconfigure are for workers


def _beat(page: Page) -> None:
    """Show the supervisor that the event loop goes on."""
    while True:
        page.write(time.monotonic(), NO_FUNCTION, Activity.HUB, b"", b"")
        gevent.sleep(BEAT_S)


def _tell(server: JobServer, channel: Channel) -> None:
    told: Message = {}
    while True:
        queues = {name: totals._asdict() for name, totals in server.core.totals().items()}
        status: Message = {"event": "status", "queues": queues, "connections": server.connections}
        if status != told:
            channel.send(status)
            told = status
        gevent.sleep(STATUS_EVERY_S)


def _ignore_signals() -> None:
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGPIPE,
    ):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Nothing is left to be saved; a resolver thread or the like must not hold the exit up.
    os._exit(code)
