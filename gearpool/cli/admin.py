"""`gearpool admin …`: the servers' text protocol, over several servers at once. Floor 5."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from gearpool import exit_codes
from gearpool.cli import servers
from gearpool.cli.tables import shown, table
from gearpool.cli.values import count

if TYPE_CHECKING:
    from gearpool.client import Admin, Replies

HELP = "Query and change job servers: workers, jobs, cancel, maxqueue, create, drop, version and more."
EXAMPLES = """examples:
  gearpool admin status
  gearpool admin workers --json
  gearpool admin cancel 127.0.0.1:4730/H:mail:17
  gearpool admin maxqueue thumbnail 10000
  gearpool admin maxqueue thumbnail 100 1000 10000    (high, normal, low)
  gearpool admin drop old-function                    (refused while it has jobs)
  gearpool admin version -s mail1,mail2

A server that does not answer is named on standard error; the others' answers are shown.
exit codes: 0 done, 1 refused or not found, 69 no server answered
"""

_LISTS = {
    "status": ("functions with jobs, running jobs and workers", ("function", "total", "running", "workers")),
    "priority-status": ("queued jobs by priority", ("function", "high", "normal", "low", "workers")),
    "workers": ("every connection with its id and functions", ("fd", "address", "id", "functions")),
    "jobs": ("every job", ("handle", "retries", "ignored", "background")),
    "unique-jobs": ("the unique ids of every job", ("unique",)),
    "version": ("the servers' versions", ("version",)),
    "pid": ("the servers' process ids", ("pid",)),
    "verbose": ("the servers' log levels", ("verbose",)),
}
"""What the lists of the servers show, and their columns."""

_METHODS = {"pid": "getpid"}
"""Methods of `Admin` that are not called like their list."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (text, _) in _LISTS.items():
        _finish(commands.add_parser(name, help=text, description=text))
    cancel = commands.add_parser("cancel", help="remove waiting jobs from the queue; a running job continues")
    cancel.add_argument("handle", nargs="+", help='the job, as "server/handle"')
    _finish(cancel)
    limit = commands.add_parser("maxqueue", help="limit the number of waiting jobs of a function")
    limit.add_argument("function")
    limit.add_argument(
        "limit", nargs="*", type=count, help="N for all priorities, or HIGH NORMAL LOW; without: no limit"
    )
    _finish(limit)
    for name, text in (("create", "register a function"), ("drop", "forget a function; refused while it has jobs")):
        change = commands.add_parser(name, help=text, description=text)
        change.add_argument("function")
        _finish(change)


def _finish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    action = arguments.action
    with servers.make_client(arguments) as client:
        admin = client.admin
        if action == "cancel":
            return _cancel(admin, arguments)
        if action in _LISTS:
            ask = getattr(admin, _METHODS.get(action, action.replace("-", "_")))
            return _list(ask(), arguments)
        if action == "maxqueue":
            if len(arguments.limit) not in (0, 1, 3):
                servers.complain("maxqueue takes no limit, one, or three (high, normal, low)")
                return exit_codes.USAGE
            limits = tuple(arguments.limit) if len(arguments.limit) == 3 else (arguments.limit or [None])[0]
            return _change(admin.maxqueue(arguments.function, limits), arguments)
        change = admin.create if action == "create" else admin.drop
        return _change(change(arguments.function), arguments)


def _list(replies: Replies[Any], arguments: argparse.Namespace) -> int:
    columns = _LISTS[arguments.action][1]
    rows: list[tuple[Any, ...]] = []
    documents: list[dict[str, Any]] = []
    for server, answer in replies.items():
        for item in answer if isinstance(answer, list) else [answer]:
            values = item if isinstance(item, tuple) else (item,)
            documents.append({"server": server, **dict(zip(columns, values, strict=True))})
            shown = [" ".join(value) if isinstance(value, tuple) else value for value in values]
            rows.append((server, *shown))
    if arguments.json:
        servers.print_json({arguments.action.replace("-", "_"): documents, "failures": servers.failures(replies)})
    else:
        left = 5 if arguments.action == "workers" else 2
        print(table(("SERVER", *(column.upper() for column in columns)), rows, left=left))
    return _complain(replies)


def _change(replies: Replies[str], arguments: argparse.Namespace) -> int:
    if arguments.json:
        servers.print_json({"done": list(replies), "failures": servers.failures(replies)})
    else:
        for server in replies:
            print(f"{server}  OK")
    _complain(replies)
    return exit_codes.FAILED if replies.failures else exit_codes.OK


def _cancel(admin: Admin, arguments: argparse.Namespace) -> int:
    done = {handle: admin.cancel(handle) for handle in arguments.handle}
    if arguments.json:
        servers.print_json({"cancelled": done})
    else:
        for handle, known in done.items():
            print(f"{shown(handle)}  {'cancelled' if known else 'unknown'}")
    return exit_codes.OK if all(done.values()) else exit_codes.FAILED


def _complain(replies: Replies[Any]) -> int:
    for name, text in servers.failures(replies).items():
        servers.complain(text if name in text else f"{name}: {text}")
    for text in servers.odd_rows(replies).values():
        servers.complain(text)
    return exit_codes.OK
