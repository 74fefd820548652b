"""`gearpool submit FUNCTION [DATA|-]`: submit jobs and wait for them, or not. Floor 5.

Standard output has what the workers send and nothing else: the parts of a streamed result as they come, then the rest,
byte for byte (on a terminal a line end is added if there is none). Everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gearpool import exit_codes
from gearpool.cli import servers
from gearpool.cli.progress import Bar, lines_bar
from gearpool.cli.results import Writer, write_error
from gearpool.cli.tables import shown
from gearpool.cli.values import count, duration, duration_or_none, moment, positive
from gearpool.cli.waiting import told_if_nobody_serves
from gearpool.errors import (
    ConnectionLost,
    GearpoolError,
    InvalidArgument,
    JobError,
    JobException,
    JobTimedOut,
    NoServersAvailable,
    TimedOut,
)
from gearpool.timing import Deadline

if TYPE_CHECKING:
    from gearpool.client import Client, Event, JobFuture, JobHandle

HELP = "Submit jobs and wait for their results, or submit them in the background."
EXAMPLES = """examples:
  gearpool submit reverse hello                  one job; its result on standard output
  gearpool submit thumbnail - <cat.jpg >small    payload from standard input
  gearpool submit sleep 1 2 3                    three jobs, one after another
  gearpool submit mail --background --unique order-17 hello
  gearpool submit report --in 10m                a background job for later
  gearpool submit index --lines <urls            a job a line, many at once, results in order

A background job's "server/handle" is printed; `gearpool job` understands it.
exit codes: 0 done, 1 a job failed, 69 no server or connection lost, 75 timed out
"""

_JOB_TIMEOUT_S = 300.0
_WHY = "; the worker's log says why, and the client learns it if the function has `report: exception`"
INTERMIXED = True


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("function", help="the function's name")
    parser.add_argument(
        "data", nargs="*", default=[],
        help='payloads, one job each; "-" reads standard input, which is also read when it is a pipe',
    )  # fmt: skip
    parser.add_argument(
        "-f", "--also", action="append", default=[], metavar="FUNCTION", help="also submit to this function"
    )
    kind = parser.add_argument_group("what kind of job")
    kind.add_argument("-b", "--background", action="store_true", help="do not wait for a result; print server/handle")
    kind.add_argument(
        "-p", "--priority", choices=("high", "normal", "low"), help="priority of the jobs (default: normal)"
    )
    kind.add_argument("-u", "--unique", metavar="ID", help="unique id; jobs with the same id are one job")
    kind.add_argument(
        "--at", type=moment, metavar="TIME", help="run in the background, not before TIME (ISO 8601 or @SECONDS)"
    )
    kind.add_argument("--in", dest="delay", type=duration, metavar="TIME", help="run in the background, TIME from now")
    kind.add_argument("--reducer", metavar="FUNCTION", help="name of the reduce function")
    kind.add_argument(
        "-l", "--lines", action="store_true", help="submit each line of input as a job, without its line end"
    )
    kind.add_argument("--keep-ends", action="store_true", help="with --lines: keep the line ends")
    kind.add_argument("-w", "--window", type=positive, default=1000, help="with --lines: jobs at once (default: 1000)")
    wait = parser.add_argument_group("waiting")
    wait.add_argument(
        "-t", "--timeout", type=duration_or_none, default=_JOB_TIMEOUT_S, metavar="TIME",
        help='time limit for each job; "none" for no limit (default: 5m)',
    )  # fmt: skip
    wait.add_argument(
        "-r", "--retry", type=count, default=0, metavar="N",
        help="submit again up to N times if the connection is lost; needs --unique",
    )  # fmt: skip
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print a JSON document per job instead of the bare result")
    output.add_argument("-P", "--prefix", action="store_true", help='begin each line with "FUNCTION: "')
    output.add_argument("-v", "--verbose", action="store_true", help="print server/handle to standard error")
    output.add_argument("-q", "--no-progress", action="store_true", help="show no progress bar")
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    if arguments.at is not None or arguments.delay is not None:
        arguments.background = True
    if arguments.lines and arguments.unique is not None:
        servers.complain("--unique names one job: it does not go with --lines")
        return exit_codes.USAGE
    if arguments.lines and arguments.data not in ([], ["-"]):
        servers.complain("--lines reads standard input: give no other data")
        return exit_codes.USAGE
    with servers.make_client(arguments) as client:
        worst = exit_codes.OK
        for function in [arguments.function, *arguments.also]:
            if arguments.lines:
                code = _lines(client, function, arguments)
            else:
                code = max(_one(client, function, data, arguments) for data in _payloads(arguments.data))
            worst = max(worst, code)
        return worst


@dataclass
class _Received:
    """What came of one job; its parts and warnings are kept only for ``--json`` and ``--lines``."""

    parts: list[bytes] = field(default_factory=list)
    warnings: list[bytes] = field(default_factory=list)
    result: bytes = b""
    error: GearpoolError | None = None


def _payloads(words: list[str]) -> Iterator[bytes]:
    if not words:
        yield sys.stdin.buffer.read() if _is_input(sys.stdin.fileno()) else b""
    for word in words:
        yield sys.stdin.buffer.read() if word == "-" else os.fsencode(word)


def _is_input(fd: int) -> bool:
    """A pipe or a file; not a terminal or /dev/null, on which a job without payload would wait."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _one(client: Client, function: str, data: bytes, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    kind = {"priority": arguments.priority, "unique": arguments.unique, "reducer": arguments.reducer}
    if arguments.background:
        job = client.submit_background_job(function, data, at=arguments.at, delay=arguments.delay, **kind)
        _print_handle(job, arguments)
        return exit_codes.OK
    future = client.submit(function, data, timeout=arguments.timeout, retry=arguments.retry, **kind)
    writer = Writer(function, arguments)
    received = _Received()
    limit = Deadline.after(arguments.timeout)
    with (
        Bar(function, shown=not arguments.no_progress) as bar,
        told_if_nobody_serves(client, function, arguments.timeout) as heard,
    ):
        try:
            if arguments.verbose:
                servers.complain(f"job {future.job()}")
            for event in future.events():
                heard.set()
                _show(event, bar, writer, received, arguments)
                if limit.expired():  # a worker that never stops sending
                    raise JobTimedOut(f"job {future.handle} did not end in time", future.handle or "")
            received.result = future.result()
        except GearpoolError as raised:
            received.error = raised
    if arguments.json:
        _print_json(future, function, received, duration_s=round(time.monotonic() - started, 6))
    else:
        writer.write(received.result)
        writer.finish()
    return _code(received.error)


def _show(event: Event, bar: Bar, writer: Writer, received: _Received, arguments: argparse.Namespace) -> None:
    from gearpool.client import Data, Progress

    if isinstance(event, Progress):
        bar.update(event.numerator, event.denominator)
    elif isinstance(event, Data):
        if arguments.json:
            received.parts.append(event.data)
        else:
            writer.write(event.data)
    elif arguments.json:
        received.warnings.append(event.data)
    else:
        bar.clear()
        write_error(event.data)


def _lines(client: Client, function: str, arguments: argparse.Namespace) -> int:
    worst = exit_codes.OK
    futures: Iterable[JobFuture] = client.submit_many(
        function,
        _input_lines(keep_ends=arguments.keep_ends),
        window=arguments.window,
        priority=arguments.priority,
        timeout=arguments.timeout,
        background=arguments.background,
    )
    # A background job has no waiting client.
    watch: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if not arguments.background:
        watch = told_if_nobody_serves(client, function, arguments.timeout)
    with lines_bar(shown=not arguments.no_progress) as advance, watch as heard:
        for number, future in enumerate(futures, 1):
            worst = max(worst, _line(future, number, function, arguments))
            if heard is not None:
                heard.set()
            advance()
    return worst


def _line(future: JobFuture, number: int, function: str, arguments: argparse.Namespace) -> int:
    received = _Received()
    try:
        if arguments.background:
            _print_handle(future.job(), arguments)
            return exit_codes.OK
        received.result = future.result()
    except GearpoolError as raised:
        received.error = raised
    from gearpool.client import Data, Warned

    events = list(future.events()) if future.done() else []
    received.parts = [event.data for event in events if isinstance(event, Data)]
    received.warnings = [event.data for event in events if isinstance(event, Warned)]
    if arguments.json:
        _print_json(future, function, received, line=number)
        return _code(received.error, quiet=True)
    for warning in received.warnings:
        servers.complain(f"line {number}: {warning.decode('utf-8', 'replace').rstrip()}")
    if received.error is None:
        writer = Writer(function, arguments)
        writer.write(b"".join(received.parts) + received.result)
        writer.finish(always=True)
    return _code(received.error, where=f"line {number}: ")


def _input_lines(*, keep_ends: bool) -> Iterator[bytes]:
    for line in sys.stdin.buffer:
        yield line if keep_ends else line.removesuffix(b"\n").removesuffix(b"\r")


def _print_handle(job: JobHandle, arguments: argparse.Namespace) -> None:
    if arguments.json:
        servers.print_json({"server": job.server, "handle": job.handle, "function": job.function, "unique": job.unique})
    else:
        print(shown(str(job)), flush=True)


def _code(error: GearpoolError | None, *, where: str = "", quiet: bool = False) -> int:
    if error is None:
        return exit_codes.OK
    if not quiet:
        bare = isinstance(error, JobError) and not isinstance(error, JobException)
        servers.complain(f"{where}{error}{_WHY if bare else ''}")
        if isinstance(error, JobException) and len(error.payload) > 200:
            write_error(error.payload)
    return _end(error)[1]


def _print_json(future: JobFuture, function: str, received: _Received, **more: float) -> None:
    error = received.error
    document: dict[str, Any] = {
        "function": function,
        "server": future.server,
        "handle": future.handle,
        "outcome": "complete" if error is None else _end(error)[0],
        **more,
    }
    if error is None:
        document.update(_encoded("result", received.result))
    else:
        document["error"] = str(error)
        if isinstance(error, JobException):
            document.update(_encoded("exception", error.payload))
    if received.parts:
        document.update(_encoded("data", b"".join(received.parts)))
    if received.warnings:
        document["warnings"] = [warning.decode("utf-8", "replace") for warning in received.warnings]
    servers.print_json(document)


_ENDS: tuple[tuple[type[GearpoolError], str, int], ...] = (
    (JobException, "exception", exit_codes.FAILED),
    (JobError, "failed", exit_codes.FAILED),
    (TimedOut, "timed_out", exit_codes.TIMED_OUT),
    (ConnectionLost, "unknown", exit_codes.NO_SERVER),
    (NoServersAvailable, "not_submitted", exit_codes.NO_SERVER),
    (InvalidArgument, "not_submitted", exit_codes.USAGE),
    (GearpoolError, "not_submitted", exit_codes.FAILED),
)
"""Outcome and exit code of each error; the first class that fits counts."""


def _end(error: GearpoolError) -> tuple[str, int]:
    return next((outcome, code) for kind, outcome, code in _ENDS if isinstance(error, kind))


def _encoded(name: str, value: bytes) -> dict[str, str]:
    """As text if it is UTF-8, else in base64 under another name."""
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
