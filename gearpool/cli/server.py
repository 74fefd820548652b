"""`gearpool server`: the embedded job server on its own, in the foreground. Floor 5."""

from __future__ import annotations

import argparse
import signal
import sys

from gearpool import exit_codes
from gearpool.cli.gearmand_options import instead
from gearpool.cli.values import count, duration, positive
from gearpool.errors import InvalidArgument
from gearpool.settings import BACKLOG, DEFAULT_LISTEN, DEFAULT_PORT, LogSettings, TlsSettings, handle_prefix_problem
from gearpool.timing import Deadline

HELP = "Run the embedded job server on its own, in the foreground."
EXAMPLES = """examples:
  gearpool server                             # on 127.0.0.1:4730
  gearpool server --listen :4730              # on every address
  gearpool server --listen 127.0.0.1:0        # on any free port, which is printed
  gearpool server --store jobs.sqlite         # background jobs survive a restart
  gearpool server --tls-cert server.pem --tls-key server.key --tls-ca clients.pem
"""
INSTEAD_OF = instead
"""See `gearpool.cli.main.Parser`."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments. The short ones, and the names from --exceptions on, are gearmand's."""
    parser.add_argument(
        "-L", "--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN,
        help=f"address to listen on (default {DEFAULT_LISTEN}; without a port: {DEFAULT_PORT})",
    )  # fmt: skip
    parser.add_argument("-p", "--port", metavar="PORT", help="the port, given separately as for gearmand")
    parser.add_argument(
        "-j", "--job-retries", metavar="N", type=count, default=0,
        help="how many times a job whose worker disappears is handed out (default 0: without limit)",
    )  # fmt: skip
    parser.add_argument(
        "--drain", metavar="TIME", type=duration, default=5.0,
        help="how long running jobs may continue after TERM or INT (default: 5s); a second signal ends them now",
    )  # fmt: skip
    parser.add_argument(
        "--store", metavar="PATH", default="memory",
        help="keep background jobs in this SQLite file, so that they survive a restart (default: in memory only)",
    )  # fmt: skip
    parser.add_argument(
        "--exceptions", action="store_true", help="send WORK_EXCEPTION also to clients that did not ask for it"
    )
    parser.add_argument(
        "-w", "--worker-wakeup", metavar="N", type=count, default=0,
        help="how many sleeping workers are woken for a job (default 0: all; a woken worker that takes no job delays it)",
    )  # fmt: skip
    parser.add_argument(
        "--job-handle-prefix", metavar="TEXT", type=_prefix,
        help="job handles are TEXT:NUMBER (default H:HOSTNAME:NUMBER)",
    )  # fmt: skip
    parser.add_argument(
        "-b", "--backlog", metavar="N", type=positive, default=BACKLOG, help=f"backlog of listen(2) (default {BACKLOG})"
    )
    parser.add_argument(
        "-f", "--file-descriptors", metavar="N", type=positive,
        help="limit of open file descriptors, and so of connections (default: as many as allowed)",
    )  # fmt: skip
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], default="info", help="log this level and above"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="speak TLS with this certificate (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="the certificate's key, unless it is in the same file")
    parser.add_argument("--tls-ca", metavar="FILE", help="serve only clients with a certificate of this authority")


def run(arguments: argparse.Namespace) -> int:
    """Serve until TERM or INT."""
    import gevent

    from gearpool import logs, uncaught
    from gearpool.server.listening import parse_listen, reason

    if arguments.tls_cert is None and (arguments.tls_key or arguments.tls_ca):
        print("gearpool server: --tls-key and --tls-ca need --tls-cert", file=sys.stderr)
        return exit_codes.USAGE
    try:
        listen = parse_listen(arguments.listen)
        if arguments.port is not None:
            listen = listen[0], parse_listen(f":{arguments.port}")[1]
    except InvalidArgument as error:
        print(f"gearpool server: {error}", file=sys.stderr)
        return exit_codes.CANNOT_CREATE

    from gearpool.server.running import allow_descriptors, run_until, tune_collector
    from gearpool.server.shell import JobServer

    logs.configure(LogSettings(level=arguments.log_level))
    uncaught.install()
    uncaught.install_in_hubs(gevent.hub.Hub)
    allow_descriptors(arguments.file_descriptors)
    tls = None
    if arguments.tls_cert is not None:
        tls = TlsSettings(cert=arguments.tls_cert, key=arguments.tls_key, ca=arguments.tls_ca)
    server = JobServer(
        listen,
        tls=tls,
        job_retries=arguments.job_retries,
        store=arguments.store,
        exceptions=arguments.exceptions,
        worker_wakeup=arguments.worker_wakeup,
        handle_prefix=arguments.job_handle_prefix,
        backlog=arguments.backlog,
    )
    try:
        server.start()
    except OSError as error:
        print(f"gearpool server: cannot listen on {arguments.listen}: {reason(error)}", file=sys.stderr)
        return exit_codes.CANNOT_CREATE
    tune_collector()
    print(f"gearpool server: listening on {server.address}", flush=True)
    run_until(server, (signal.SIGTERM, signal.SIGINT), lambda: Deadline.after(arguments.drain))
    return exit_codes.OK


def _prefix(text: str) -> str:
    problem = handle_prefix_problem(text)
    if problem:
        raise argparse.ArgumentTypeError(problem)
    return text
