"""`gearpool exporter`: metrics of job servers for Prometheus, apart from any daemon. Floor 5."""

from __future__ import annotations

import argparse
import signal
import sys

from gearpool import exit_codes
from gearpool.cli import servers
from gearpool.cli.values import duration
from gearpool.settings import LogSettings

HELP = "Serve the queues of job servers as metrics for Prometheus, without a daemon."
EXAMPLES = """examples:
  gearpool exporter                                       # of 127.0.0.1:4730
  gearpool exporter -s mail1,mail2:4731 --listen :9418    # on every address
  gearpool exporter -c workers.yaml                       # of the servers in a configuration file
  curl -s http://127.0.0.1:9418/metrics

It serves /metrics, /livez and /readyz. The daemon serves the same metrics of its own job servers with `http`; use the
exporter where no daemon runs all the time, for example where the number of daemons may be scaled to zero.
"""

DEFAULT_LISTEN = "127.0.0.1:9418"
DEFAULT_PORT = 9418
MIN_INTERVAL_S = 1.0
STOP_S = 5.0
"""How long requests that are being served may go on after TERM or INT."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "-L", "--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN,
        help=f"address to listen on (default {DEFAULT_LISTEN}; without a port: {DEFAULT_PORT})",
    )  # fmt: skip
    parser.add_argument(
        "--interval", metavar="TIME", type=duration, default=5.0, help="ask each job server every TIME (default: 5s)"
    )
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="log this level and above"
    )
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until TERM or INT."""
    import gevent
    from gevent.event import Event

    from gearpool import logs, uncaught
    from gearpool.errors import InvalidArgument
    from gearpool.server.listening import bind, parse_listen, reason
    from gearpool.web.exporter import Exporter
    from gearpool.web.queues import QueuePoller
    from gearpool.web.server import Server

    if arguments.interval < MIN_INTERVAL_S:
        text = f"--interval: each job server is asked every {MIN_INTERVAL_S:g} s at most, got {arguments.interval:g} s"
        print(f"gearpool exporter: {text}", file=sys.stderr)
        return exit_codes.USAGE
    who = servers.resolve(arguments)
    logs.configure(LogSettings(level=arguments.log_level))
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    try:
        host, port = parse_listen(arguments.listen, DEFAULT_PORT)
        sockets = bind(host, port)
    except InvalidArgument as error:
        print(f"gearpool exporter: {error}", file=sys.stderr)
        return exit_codes.USAGE
    except OSError as error:
        print(f"gearpool exporter: cannot listen on {arguments.listen}: {reason(error)}", file=sys.stderr)
        return exit_codes.CANNOT_CREATE
    place = f"{f'[{host}]' if ':' in host else host or '*'}:{sockets[0].getsockname()[1]}"
    poller = QueuePoller(who, interval_s=arguments.interval, timeout_s=arguments.connect_timeout)
    server = Server([gevent.socket.socket(fileno=each.detach()) for each in sockets], Exporter(poller))
    ended = Event()
    watchers = [gevent.signal_handler(number, ended.set) for number in (signal.SIGTERM, signal.SIGINT)]
    poller.start()
    server.start()
    print(f"gearpool exporter: listening on {place}", flush=True)
    ended.wait()
    server.stop(STOP_S)
    poller.close()
    for watcher in watchers:
        watcher.cancel()
    return exit_codes.OK
