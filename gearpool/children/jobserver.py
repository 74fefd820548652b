"""The embedded job server as a child: ``python -m gearpool.children.jobserver --channel FD``. Floor 4.

It is controlled only through its channel (see `gearpool.messages`): `Start` comes first, `Quiet` closes the listener, and
`Drain` waits for running jobs and exits. When the channel ends the supervisor has died, and the process exits at once.
Signals are ignored, because a signal to the whole process group is meant for the supervisor.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import gevent.socket

from gearpool import exit_codes, logs, messages, uncaught
from gearpool.children.channel import Channel
from gearpool.children.stacks import show_stacks
from gearpool.errors import ConfigurationError, InvalidArgument
from gearpool.page import NO_FUNCTION, Activity, Page
from gearpool.server.listening import parse_listen, reason
from gearpool.server.running import allow_descriptors, tell_lost_jobs, tune_collector
from gearpool.server.shell import JobServer
from gearpool.settings import EmbeddedSettings
from gearpool.timing import Deadline

STATUS_EVERY_S = 1.0
HEARTBEAT_S = 1.0
"""How often the page shows that the event loop runs; `gearpool.supervisor.heartbeat` counts on it."""


def main(argv: list[str] | None = None) -> int:
    """Run the embedded job server; returns the exit code."""
    parser = argparse.ArgumentParser(prog="gearpool.children.jobserver")
    parser.add_argument("--channel", type=int, required=True, metavar="FD")
    parser.add_argument("--page", type=int, metavar="FD")
    arguments = parser.parse_args(argv)
    for name in ("HUP", "INT", "QUIT", "TERM", "TSTP", "TTIN", "TTOU", "PIPE"):
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)
    show_stacks()
    channel = Channel(socket.socket(fileno=arguments.channel))
    commands = channel.commands()
    first = next(commands, None)
    if not isinstance(first, messages.Start):
        return exit_codes.OK
    settings = first.settings
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
        channel.send(messages.Failed(str(error).splitlines()))
        return exit_codes.CONFIGURATION
    except OSError as error:
        channel.send(messages.Failed([f"cannot listen on {embedded.listen}: {reason(error)}"]))
        return exit_codes.CANNOT_CREATE
    tune_collector()
    greenlets = [gevent.spawn(_send_statuses, server, channel)]
    if arguments.page is not None:
        os.set_inheritable(arguments.page, False)
        greenlets.append(gevent.spawn(_heartbeat, Page.attach(arguments.page)))
    channel.send(messages.Ready(server.address))
    # Commands are read during the drain, too, to notice the death of the supervisor.
    executing = gevent.spawn(_execute, server, commands)
    executing.join()
    gevent.killall(greenlets)
    server.stop()
    tell_lost_jobs(server)
    return 0


def _execute(server: JobServer, commands: Iterator[messages.Command]) -> None:
    """Execute commands until the drain is over or the supervisor is gone."""
    me = gevent.getcurrent()
    for command in commands:
        match command:
            case messages.Quiet():
                server.quiet()
            case messages.Drain(seconds=seconds):
                gevent.spawn(server.stop, Deadline.after(seconds)).link(lambda _: me.kill(block=False))
            case messages.SetLogLevel(level=level):
                logs.set_level(level)
            case _:
                pass  # the others are for workers


def _heartbeat(page: Page) -> None:
    """Show the supervisor that the event loop runs."""
    while True:
        page.write(time.monotonic(), NO_FUNCTION, Activity.HUB, b"", b"")
        gevent.sleep(HEARTBEAT_S)


def _send_statuses(server: JobServer, channel: Channel) -> None:
    last: messages.JobServerStatus | None = None
    while True:
        queues = {name: totals._asdict() for name, totals in server.core.totals().items()}
        status = messages.JobServerStatus(queues, server.connections)
        if status != last:
            channel.send(status)
            last = status
        gevent.sleep(STATUS_EVERY_S)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Everything is saved; a resolver thread or the like must not delay the exit.
    os._exit(code)
