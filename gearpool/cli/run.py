"""`gearpool run`: one handler, here, without any server. Floor 5."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from gearpool.cli import exits

if TYPE_CHECKING:
    from gearpool.jobs import Job

HELP = "run one handler here, without any server"
EXAMPLES = """examples:
  gearpool run reverse hello -c workers.yaml              # olleh
  gearpool run thumbnail - -c workers.yaml < photo.jpg > small.jpg

The result and streamed data go to stdout; progress, warnings and tracebacks to stderr. Time limit and payload are those
of the file. Exit codes: 0 done, 1 the handler failed, 64 no such function, 78 the configuration is wrong.
"""
INTERMIXED = True


class Terminal:
    """Where the job's reports go."""

    server = "here"

    def send_data(self, _job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def send_warning(self, _job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        print(f"warning: {data.decode(errors='replace')}", file=sys.stderr)

    def send_status(self, _job: Job, numerator: int, denominator: int) -> None:
        """See `jobs.Reporter`."""
        print(f"progress: {numerator}/{denominator}", file=sys.stderr)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("function", help="the function's name in the file")
    parser.add_argument("data", nargs="?", default="", help="the payload; - reads it from stdin")
    parser.add_argument("-c", "--config", metavar="FILE", action="append", required=True)
    parser.add_argument("--unique", default="", help="the job's unique id")
    parser.add_argument("--attempt", type=int, default=1, help="the number of the run, as job.attempt shows it")


def run(arguments: argparse.Namespace) -> int:
    """Run it; the exit code says how it ended."""
    from gearpool.config import load

    settings = load(arguments.config, None, os.environ).settings
    chosen = [function for function in settings.functions if function.name == arguments.function]
    if not chosen:
        known = ", ".join(function.name for function in settings.functions)
        print(f"gearpool run: there is no function {arguments.function}; the file has {known}", file=sys.stderr)
        return exits.USAGE
    payload = sys.stdin.buffer.read() if arguments.data == "-" else os.fsencode(arguments.data)
    if settings.monkey_patch:
        from gevent import monkey

        monkey.patch_all()
    for folder in reversed(settings.import_path):
        sys.path.insert(0, str(Path(settings.base, folder)))
    from gearpool.jobs import End
    from gearpool.policy import decide, explain
    from gearpool.worker.loading import load_functions
    from gearpool.worker.single import run_once

    (function,) = load_functions(chosen, settings.concurrency)
    outcome = run_once(function, Terminal(), payload, unique=arguments.unique, attempt=arguments.attempt)
    if outcome.end is End.RETURNED:
        sys.stdout.buffer.write(outcome.result)
        sys.stdout.buffer.flush()
        return exits.OK
    decision = decide(function.settings, function.rules, outcome, arguments.attempt)
    if outcome.error is not None:
        traceback.print_exception(outcome.error, file=sys.stderr)
    print(f"gearpool run: {explain(outcome.error)}; a worker would {_would(decision.label)}", file=sys.stderr)
    sys.stdout.buffer.write(decision.result)
    sys.stdout.buffer.flush()
    return exits.OK if decision.label == "skipped" else exits.FAILED


def _would(label: str) -> str:
    return {"skipped": "skip it", "retried": "run it again", "dead_letter": "write a dead letter"}.get(label, "fail it")
