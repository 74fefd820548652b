"""`gearpool job HANDLE`: what the servers know of a job. Floor 5."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from gearpool import exit_codes
from gearpool.cli import servers
from gearpool.cli.tables import shown
from gearpool.cli.values import duration, duration_or_none
from gearpool.timing import Deadline

if TYPE_CHECKING:
    from gearpool.client import Client, JobStatus

HELP = "Show what the job servers know about a job, by server/handle or by unique id."
EXAMPLES = """examples:
  gearpool job 127.0.0.1:4730/H:mail:17
  gearpool job --unique order-17 --json
  gearpool job --wait "$(gearpool submit report --background)"

A server keeps nothing about a job that has ended: "unknown" means finished, lost or never submitted.
exit codes: 0 it waits or runs (with --wait: it has ended), 1 unknown, 69 no server, 75 --wait timed out
"""
INTERMIXED = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("handle", nargs="?", help='"server/handle" as submit prints it, or a bare handle')
    parser.add_argument("-u", "--unique", metavar="ID", help="ask by unique id instead")
    parser.add_argument("--wait", action="store_true", help="wait until the job has ended")
    parser.add_argument(
        "-t", "--timeout", type=duration_or_none, default=300.0, metavar="TIME",
        help='time limit for --wait; "none" for no limit (default: 5m)',
    )  # fmt: skip
    parser.add_argument(
        "--every", type=duration, default=1.0, metavar="TIME", help="how often --wait asks (default: 1s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if (arguments.handle is None) == (arguments.unique is None):
        servers.complain("give a handle or --unique ID")
        return exit_codes.USAGE
    _add_its_server(arguments)
    with servers.make_client(arguments) as client:
        status = _ask(client, arguments)
        if arguments.wait:
            deadline = Deadline.after(arguments.timeout)
            while status.is_known:
                if deadline.expired():
                    _show(status, arguments)
                    return exit_codes.TIMED_OUT
                time.sleep(min(arguments.every, deadline.remaining()))
                status = _ask(client, arguments)
    _show(status, arguments)
    if status.is_known or arguments.wait:
        return exit_codes.OK
    if not arguments.json:
        servers.complain("no job server knows this job: it has ended, or it never was there")
    return exit_codes.FAILED


def _add_its_server(arguments: argparse.Namespace) -> None:
    """Without ``--servers`` the server in the handle is the one to ask, regardless of the environment."""
    server = (arguments.handle or "").rpartition("/")[0]
    if server and arguments.servers is None:
        known = {str(one) for one in servers.resolve(arguments)}  # these may have TLS options: they come first
        if server not in known:
            arguments.servers = server


def _ask(client: Client, arguments: argparse.Namespace) -> JobStatus:
    return client.get_job_status(arguments.handle, unique=arguments.unique)


def _show(status: JobStatus, arguments: argparse.Namespace) -> None:
    if arguments.json:
        fields = ("server", "is_known", "is_running", "progress", "numerator", "denominator", "clients")
        name = "handle" if arguments.unique is None else "unique"
        servers.print_json({name: status.handle, **{field: getattr(status, field) for field in fields}})
        return
    state = "running" if status.is_running else "waiting" if status.is_known else "unknown"
    if status.progress is not None:
        state += f" {status.progress:.0%} ({status.numerator}/{status.denominator})"
    name = shown(status.handle)
    print(f"{status.server}/{name}  {state}" if arguments.unique is None else f"{name}  {state}")
