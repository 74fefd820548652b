"""`gearpool admin …`: the servers' text protocol, over several servers at once. Floor 5."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gearpool.cli import exits, servers
from gearpool.cli.tables import shown, table
from gearpool.cli.values import count

if TYPE_CHECKING:
    from gearpool.client import Admin, Replies

HELP = "ask and change job servers: workers, jobs, cancel, maxqueue, create, drop, version …"
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

_LISTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "status": ("functions with jobs, running jobs and workers", ("function", "total", "running", "workers")),
    "priority-status": ("queued jobs by priority", ("function", "high", "normal", "low", "workers")),
    "workers": ("every connection with its id and functions", ("fd", "address", "id", "functions")),
    "jobs": ("every job", ("handle", "retries", "ignored", "background")),
    "unique-jobs": ("the unique ids of every job", ("unique",)),
    "version": ("the servers' versions", ("version",)),
    "pid": ("the servers' process ids", ("pid",)),
    "verbose": ("the servers' log levels", ("verbose",)),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (text, _) in _LISTS.items():
        _finish(commands.add_parser(name, help=text, description=text))
    cancel = commands.add_parser("cancel", help="take waiting jobs out of the queue; a running one runs on")
    cancel.add_argument("handle", nargs="+", help='"server/handle"')
    _finish(cancel)
    limit = commands.add_parser("maxqueue", help="limit how many jobs of a function may wait")
    limit.add_argument("function")
    limit.add_argument("limit", nargs="*", type=count, help="N for all priorities, or HIGH NORMAL LOW; none lifts it")
    _finish(limit)
    for name, text in (("create", "make a function known"), ("drop", "forget a function; refused while it has jobs")):
        change = commands.add_parser(name, help=text, description=text)
        change.add_argument("function")
        _finish(change)


def _finish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON")
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    action = arguments.action
    with servers.make_client(arguments) as client:
        admin = client.admin
        if action == "cancel":
            return _cancel(admin, arguments)
        if action in _LISTS:
            return _list(_question(admin, action)(), arguments)
        if action == "maxqueue":
            if len(arguments.limit) not in (0, 1, 3):
                servers.complain("maxqueue takes no limit, one, or three (high, normal, low)")
                return exits.USAGE
            limits = tuple(arguments.limit) if len(arguments.limit) == 3 else (arguments.limit or [None])[0]
            return _change(admin.maxqueue(arguments.function, limits), arguments)
        change = admin.create if action == "create" else admin.drop
        return _change(change(arguments.function), arguments)


def _question(admin: Admin, action: str) -> Callable[[], Replies[Any]]:
    questions: dict[str, Callable[[], Replies[Any]]] = {
        "status": admin.status,
        "priority-status": admin.priority_status,
        "workers": admin.workers,
        "jobs": admin.jobs,
        "unique-jobs": admin.unique_jobs,
        "version": admin.version,
        "pid": admin.getpid,
        "verbose": admin.verbose,
    }
    return questions[action]


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
        failures = {name: str(error) for name, error in replies.failures.items()}
        servers.print_json({arguments.action.replace("-", "_"): documents, "failures": failures})
    else:
        print(table(("SERVER", *(column.upper() for column in columns)), rows, left=_left(arguments.action)))
    return _complain(replies)


def _left(action: str) -> int:
    return 5 if action == "workers" else 2


def _change(replies: Replies[str], arguments: argparse.Namespace) -> int:
    if arguments.json:
        failures = {name: str(error) for name, error in replies.failures.items()}
        servers.print_json({"done": list(replies), "failures": failures})
    else:
        for server in replies:
            print(f"{server}  OK")
    _complain(replies)
    return exits.FAILED if replies.failures else exits.OK


def _cancel(admin: Admin, arguments: argparse.Namespace) -> int:
    done = {handle: admin.cancel(handle) for handle in arguments.handle}
    if arguments.json:
        servers.print_json({"cancelled": done})
    else:
        for handle, known in done.items():
            print(f"{shown(handle)}  {'cancelled' if known else 'unknown'}")
    return exits.OK if all(done.values()) else exits.FAILED


def _complain(replies: Replies[Any]) -> int:
    for name, error in replies.failures.items():
        text = str(error)
        servers.complain(text if name in text else f"{name}: {text}")
    for text in servers.odd_rows(replies).values():
        servers.complain(text)
    return exits.OK
