"""`gearpool server`: the embedded job server on its own, in the foreground. Floor 5."""

from __future__ import annotations

import argparse
import signal
import sys

from gearpool.cli import exits
from gearpool.cli.values import count, duration
from gearpool.errors import InvalidArgument
from gearpool.settings import DEFAULT_LISTEN, LogSettings, TlsSettings
from gearpool.timing import Deadline

HELP = "run the embedded job server on its own, in the foreground"
EXAMPLES = """examples:
  gearpool server                             # on 127.0.0.1:4730
  gearpool server --listen :4730              # on every address
  gearpool server --listen 127.0.0.1:0        # on any free port, which is printed
  gearpool server --store jobs.sqlite         # background jobs outlive it
  gearpool server --tls-cert server.pem --tls-key server.key --tls-ca clients.pem
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN, help=f"where to listen (default {DEFAULT_LISTEN})"
    )
    parser.add_argument(
        "--job-retries",
        metavar="N",
        type=count,
        default=0,
        help="how often a job is run at most when its workers vanish (default 0: for ever)",
    )
    parser.add_argument(
        "--drain",
        metavar="TIME",
        type=duration,
        default=5.0,
        help="how long running jobs may still end after TERM or INT (default: 5s); a second signal hastens",
    )
    parser.add_argument(
        "--store",
        metavar="PATH",
        default="memory",
        help="keep background jobs in this SQLite file, so that they outlive the server (default: in memory only)",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="speak TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its key, unless it is in the same file")
    parser.add_argument("--tls-ca", metavar="FILE", help="serve only clients with a certificate of this authority")


def run(arguments: argparse.Namespace) -> int:
    """Serve until TERM or INT."""
    import gevent

    from gearpool import logs, uncaught
    from gearpool.server.listening import parse_listen, reason

    if arguments.tls_cert is None and (arguments.tls_key or arguments.tls_ca):
        print("gearpool server: --tls-key and --tls-ca need --tls-cert", file=sys.stderr)
        return exits.USAGE
    try:
        listen = parse_listen(arguments.listen)
    except InvalidArgument as error:
        print(f"gearpool server: {error}", file=sys.stderr)
        return exits.CANNOT_CREATE

    from gearpool.server.running import allow_descriptors, run_until, tune_collector
    from gearpool.server.shell import JobServer

    logs.configure(LogSettings())
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    allow_descriptors()
    tls = None
    if arguments.tls_cert is not None:
        tls = TlsSettings(cert=arguments.tls_cert, key=arguments.tls_key, ca=arguments.tls_ca)
    server = JobServer(listen, tls=tls, job_retries=arguments.job_retries, store=arguments.store)
    try:
        server.start()
    except OSError as error:
        print(f"gearpool server: cannot listen on {arguments.listen}: {reason(error)}", file=sys.stderr)
        return exits.CANNOT_CREATE
    tune_collector()
    print(f"gearpool server: listening on {server.address}", flush=True)
    run_until(server, (signal.SIGTERM, signal.SIGINT), lambda: Deadline.after(arguments.drain))
    return exits.OK
