"""The web child: ``python -m gearpool.children.web --channel FD --page FD --listener FD``. Floor 4.

It serves HTTP on sockets that the supervisor has bound, and shows what the supervisor publishes (see `gearpool.web`). When
the channel ends the supervisor has died, and the process exits at once. Signals are ignored, because a signal to the whole
process group is meant for the supervisor.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator

import gevent
import gevent.socket

from gearpool import exit_codes, logs, messages, uncaught
from gearpool.children.channel import Channel
from gearpool.children.stacks import show_stacks
from gearpool.page import NO_FUNCTION, Activity, Page
from gearpool.web.app import make_app
from gearpool.web.server import Server
from gearpool.web.site import Site
from gearpool.web.supervisor import Supervisor

log = logging.getLogger("gearpool.web")

HEARTBEAT_S = 1.0
"""How often the page shows that the event loop runs; `gearpool.supervisor.heartbeat` counts on it."""


def main(argv: list[str] | None = None) -> int:
    """Run the web child; returns the exit code."""
    parser = argparse.ArgumentParser(prog="gearpool.children.web")
    parser.add_argument("--channel", type=int, required=True, metavar="FD")
    parser.add_argument("--page", type=int, metavar="FD")
    parser.add_argument("--listener", type=int, action="append", default=[], metavar="FD")
    arguments = parser.parse_args(argv)
    _ignore_signals()
    show_stacks()
    channel = Channel(socket.socket(fileno=arguments.channel))
    commands = channel.commands()
    first = next(commands, None)
    if not isinstance(first, messages.Start):
        return exit_codes.OK
    logs.configure(first.settings.log)
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    supervisor = Supervisor(lambda number, request: channel.send(messages.Request(number, request)))
    site = Site(first.settings, supervisor)
    server = Server([_listening(fd) for fd in arguments.listener], make_app(site))
    greenlets = []
    if arguments.page is not None:
        os.set_inheritable(arguments.page, False)
        greenlets.append(gevent.spawn(_heartbeat, Page.attach(arguments.page)))
    server.start()
    site.start()
    channel.send(messages.Ready())
    gevent.spawn(_execute, site, server, commands).join()
    gevent.killall(greenlets)
    site.close()
    return exit_codes.OK


def _execute(site: Site, server: Server, commands: Iterator[messages.Command]) -> None:
    """Execute commands until the drain is over or the supervisor is gone."""
    me = gevent.getcurrent()
    for command in commands:
        if isinstance(command, messages.Drain):
            site.feed.close()
            gevent.spawn(server.stop, command.seconds).link(lambda _: me.kill(block=False))
            continue
        try:
            _apply(site, command)
        except Exception as error:  # noqa: BLE001 - health checks must go on
            # For example: the supervisor is that of another version, and publishes less than is shown now.
            text = f"internal error: {error!r}"
            logs.emit(log, logging.ERROR, "web.error", text, command=command.name, exc_info=error)


def _apply(site: Site, command: messages.Command) -> None:
    match command:
        case messages.Publish(status=status, failures=failures):
            site.published.update(status, failures)
        case messages.Answer(id=number, answer=answer):
            site.supervisor.answered(number, answer)
        case messages.Apply(settings=settings):
            site.apply(settings)
            logs.set_level(settings.log.level)
        case messages.SetLogLevel(level=level):
            logs.set_level(level)
        case _:
            pass  # the others are for workers


def _listening(fd: int) -> gevent.socket.socket:
    os.set_inheritable(fd, False)
    plain = socket.socket(fileno=fd)
    return gevent.socket.socket(plain.family, plain.type, plain.proto, fileno=plain.detach())


def _heartbeat(page: Page) -> None:
    """Show the supervisor that the event loop runs."""
    while True:
        page.write(time.monotonic(), NO_FUNCTION, Activity.HUB, b"", b"")
        gevent.sleep(HEARTBEAT_S)


def _ignore_signals() -> None:
    for name in ("HUP", "INT", "QUIT", "TERM", "TSTP", "TTIN", "TTOU", "PIPE"):
        signal.signal(getattr(signal, f"SIG{name}"), signal.SIG_IGN)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
