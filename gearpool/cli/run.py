"""`gearpool run`: one handler, here, without any server. Floor 5.

Standard output carries the result and nothing else; what a handler prints goes to standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gearpool import exit_codes
from gearpool.cli.tables import shown
from gearpool.cli.values import positive

if TYPE_CHECKING:
    from gearpool.jobs import Job

HELP = "Run one handler in this process, without any server."
EXAMPLES = """examples:
  gearpool run reverse hello -c workers.yaml              # olleh
  gearpool run thumbnail - -c workers.yaml < photo.jpg > small.jpg

The result and streamed data go to stdout; progress, warnings, tracebacks and what the handler prints to stderr. Time
limit and payload are those of the file. Exit codes: 0 done, 1 the handler failed, 64 no such function, 78 the configuration
is wrong.
"""
INTERMIXED = True


class Terminal:
    """Where the job's reports go."""

    server = "here"

    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def send_data(self, _job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        self._output.write(data)
        self._output.flush()

    def send_warning(self, _job: Job, data: bytes) -> None:
        """See `jobs.Reporter`."""
        print(f"warning: {shown(data.decode(errors='replace'))}", file=sys.stderr)

    def send_status(self, _job: Job, numerator: int, denominator: int) -> None:
        """See `jobs.Reporter`."""
        print(f"progress: {numerator}/{denominator}", file=sys.stderr)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("function", help="the function's name in the file")
    parser.add_argument("data", nargs="?", default="", help="the payload; - reads it from standard input")
    parser.add_argument("-c", "--config", metavar="FILE", action="append", required=True)
    parser.add_argument("--unique", default="", help="the job's unique id")
    parser.add_argument("--attempt", type=positive, default=1, help="the number of the run, as job.attempt shows it")


def run(arguments: argparse.Namespace) -> int:
    """Run it; the exit code tells success from failure."""
    with _output() as output:
        return _run(arguments, output)


@contextlib.contextmanager
def _output() -> Iterator[BinaryIO]:
    """Standard output for us alone; everyone else's, C libraries included, is standard error meanwhile."""
    sys.stdout.flush()
    number = sys.stdout.fileno()
    kept = os.dup(number)
    os.dup2(sys.stderr.fileno(), number)
    try:
        with os.fdopen(os.dup(kept), "wb") as output:
            yield output
    finally:
        sys.stdout.flush()
        os.dup2(kept, number)
        os.close(kept)


def _run(arguments: argparse.Namespace, output: BinaryIO) -> int:
    from gearpool.config import load

    settings = load(arguments.config, None, os.environ).settings
    chosen = [function for function in settings.functions if function.name == arguments.function]
    if not chosen:
        known = ", ".join(function.name for function in settings.functions)
        print(f"gearpool run: there is no function {arguments.function}; the file has {known}", file=sys.stderr)
        return exit_codes.USAGE
    payload = sys.stdin.buffer.read() if arguments.data == "-" else os.fsencode(arguments.data)
    if settings.monkey_patch:
        from gevent import monkey

        monkey.patch_all()
    for folder in reversed(settings.import_path):
        sys.path.insert(0, str(Path(settings.base, folder)))
    from gearpool.jobs import End
    from gearpool.policy import decide, explain
    from gearpool.worker.loading import load_functions
    from gearpool.worker.run_once import run_once

    (function,) = load_functions(chosen, settings.concurrency)
    if function.settings.timeout_s is not None:
        _end_at(function.settings.timeout_s + function.settings.timeout_grace_s + _MARGIN_S)
    outcome = run_once(function, Terminal(output), payload, unique=arguments.unique, attempt=arguments.attempt)
    if outcome.end is not End.TIMED_OUT:
        _end_never()  # else what the handler has left behind may still keep the interpreter from ending
    if outcome.end is End.RETURNED:
        output.write(outcome.result)
        return exit_codes.OK
    decision = decide(function.settings, function.rules, outcome, arguments.attempt)
    if outcome.error is not None:
        traceback.print_exception(outcome.error, file=sys.stderr)
    print(f"gearpool run: {explain(outcome.error)}; a worker would {_would(decision.label)}", file=sys.stderr)
    output.write(decision.result)
    return exit_codes.OK if decision.label == "skipped" else exit_codes.FAILED


_MARGIN_S = 1.0
"""What `run_once` needs to see that a handler has not ended within its grace period."""


def _end_at(seconds: float) -> None:
    """End the process then, because a handler that blocks in C, or in a greenlet of its own, cannot be interrupted.

    A native thread prints why; if that cannot run either, faulthandler ends the process a second later.
    """
    from gevent import monkey

    from gearpool.net.hub_thread import start_native_thread

    sleep = monkey.get_original("time", "sleep")

    def end() -> None:
        sleep(seconds)
        if _ended_well:
            return
        text = f"gearpool run: not ended {seconds:g} s after its start, and it cannot be interrupted; its stacks:\n"
        with contextlib.suppress(OSError):
            os.write(2, text.encode())
        faulthandler.dump_traceback(2)
        _kill_children()
        os._exit(exit_codes.FAILED)

    start_native_thread(end)
    faulthandler.dump_traceback_later(seconds + 1.0, exit=True)


def _kill_children() -> None:
    """Processes that the handler has started would live on, and keep our output open (proc(5), children)."""
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in file.read_text().split():
                os.kill(int(pid), signal.SIGKILL)


_ended_well: list[bool] = []


def _end_never() -> None:
    _ended_well.append(True)
    faulthandler.cancel_dump_traceback_later()


def _would(label: str) -> str:
    return {"skipped": "skip it", "retried": "run it again", "dead_letter": "write a dead letter"}.get(label, "fail it")
