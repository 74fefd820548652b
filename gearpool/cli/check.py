"""`gearpool check`: reports problems of a configuration, and warns of what is allowed but likely to fail. Floor 5.

Its verdict on the file is the daemon's, because the same checker process gives it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gearpool import exit_codes
from gearpool.cli.grace import graces
from gearpool.cli.tables import counted
from gearpool.cli.tables import shown as escaped
from gearpool.cli.values import duration
from gearpool.config.nodes import Place, Problem
from gearpool.drain_times import PLATFORM_S
from gearpool.errors import InvalidArgument
from gearpool.net.addresses import parse_server
from gearpool.settings import Settings, from_json
from gearpool.supervisor import paths

HELP = "Validate a configuration, import its handlers, and contact its job servers."
EXAMPLES = """examples:
  gearpool check -c workers.yaml
  gearpool check -c workers.yaml --show                   # the effective configuration, and where each value comes from
  gearpool check -c base.yaml -c conf.d/ --strict         # warnings count, too
  gearpool check -c workers.yaml --stop-timeout 45s       # is that long enough for the drain?
  gearpool check -c workers.yaml --platform gearpool.service --platform deployment.yaml --platform compose.yaml
  gearpool check -c workers.yaml --format github          # annotations for a pull request

exit codes: 0 fine (perhaps with warnings), 1 warnings under --strict, 78 the configuration is wrong
"""

STOP_VARIABLE = "GEARPOOL_STOP_TIMEOUT"

SPARE_DESCRIPTORS = 64
"""File descriptors of a worker process besides its connections."""

OWN_WORK_S = 60.0
"""The checker's start and end, without any import: only a machine in trouble needs seconds for them."""

Row = dict[str, Any]
"""A problem or warning: file, line, column, path and message."""


@dataclass
class _Findings:
    """What is told at the end; ``shown`` is the effective configuration, if it was asked for."""

    problems: list[Row]
    warnings: list[Row]
    servers: dict[str, str] = field(default_factory=dict)
    shown: str | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "-c", "--config", metavar="FILE", action="append", required=True,
        help="a file or folder; may be given several times",
    )  # fmt: skip
    parser.add_argument("--processes", metavar="N", help="as for the daemon")
    parser.add_argument("--concurrency", metavar="N", help="as for the daemon")
    parser.add_argument("--servers", metavar="HOST:PORT,...", help="as for the daemon")
    parser.add_argument("--log-level", metavar="LEVEL", help="as for the daemon")
    parser.add_argument("--show", action="store_true", help="print the effective configuration with secrets masked")
    parser.add_argument(
        "--strict", action="store_true", help="treat warnings as failures; with --offline only those about the file"
    )
    parser.add_argument("--offline", action="store_true", help="do not contact the job servers")
    parser.add_argument(
        "--import-timeout", type=duration, metavar="TIME", default=60.0,
        help="time limit for the import of one handler (default: 60s)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("human", "json", "github"), default="human")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.add_argument(
        "--stop-timeout", type=duration, metavar="TIME",
        help="how long the platform waits before it kills (default: GEARPOOL_STOP_TIMEOUT, if set)",
    )  # fmt: skip
    parser.add_argument(
        "--platform", metavar="FILE", action="append", default=[],
        help="check whether this systemd unit, Kubernetes manifest or compose file leaves enough time for the drain",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run the checks and print the results."""
    if arguments.stop_timeout is None and (given := os.environ.get(STOP_VARIABLE)):
        try:
            arguments.stop_timeout = duration(given)
        except argparse.ArgumentTypeError as error:
            raise InvalidArgument(f"{STOP_VARIABLE}: {error}") from None
    answer = _ask_checker(arguments)
    found = _Findings(answer.get("problems", []), answer.get("warnings", []))
    if not found.problems:
        settings = from_json(Settings, answer["settings"])
        messages = list(_environment(settings, arguments, answer))
        if not arguments.offline:
            found.servers, hazards = _servers(settings)
            messages += hazards
        found.warnings += [_at(settings.path, message) for message in messages]
        found.shown = answer["shown"] if arguments.show else None
    _TELL[arguments.format](found)
    if found.problems:
        return exit_codes.CONFIGURATION
    return exit_codes.FAILED if found.warnings and arguments.strict else exit_codes.OK


def _ask_checker(arguments: argparse.Namespace) -> dict[str, Any]:
    argv = [sys.executable, "-m", "gearpool.children.checker", "--details"]
    for path in arguments.config:
        argv += ["--file", path]
    for name in ("processes", "concurrency", "servers", "log_level"):
        value = getattr(arguments, name)
        if value is not None:
            argv.append(f"--{name.replace('_', '-')}={value}")
    output, code = _run_checker(argv, arguments.import_timeout)
    answer = _answer(output)
    if not answer:
        end = _end(code, max(OWN_WORK_S, arguments.import_timeout))
        return {"problems": [_at(arguments.config[0], f"no fault of the file's: the checker {end}")]}
    if "loading" in answer:
        problem = answer["problems"][answer["loading"]]
        end = _end(code, arguments.import_timeout, "--import-timeout")
        problem["message"] = problem["message"].replace("ended the process", end)
    return answer


def _answer(output: bytes | bytearray) -> dict[str, Any]:
    """The last whole line only: each line is the answer that holds if nothing follows it."""
    end = output.rfind(b"\n")
    answer: dict[str, Any] = json.loads(output[output.rfind(b"\n", 0, end) + 1 : end]) if end >= 0 else {}
    return answer


def _run_checker(argv: list[str], limit_s: float) -> tuple[bytes, int | None]:
    """What it said, and its exit code; None if it was killed: an import took too long, or nothing came at all."""
    output = bytearray()
    with (
        subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process,
        selectors.DefaultSelector() as selector,
    ):
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        try:
            # The limit is an import's: before the first and after the last the time is our own.
            while selector.select(limit_s if _answer(output) else max(limit_s, OWN_WORK_S)):
                more = os.read(process.stdout.fileno(), 1 << 16)
                if not more:
                    process.wait(limit_s)
                    break
                output += more
        except subprocess.TimeoutExpired:
            pass  # its answer is there; what it does at its exit is not ours to wait for
        finally:
            code = process.poll()  # it may have ended, but left a child that holds its output
            process.kill()
    return bytes(output), code


def _end(code: int | None, limit_s: float, option: str = "") -> str:
    """How loading a handler, or the checker itself, ended."""
    if code is None:
        return f"did not end within {limit_s:g} s{option and f' ({option})'}"
    if code < 0:
        return f"killed the process: {signal.strsignal(-code) or 'signal'} ({signal.Signals(-code).name})"
    return f"ended the process with exit code {code}"


def _at(path: str, message: str) -> Row:
    return {"file": _shown(path), "line": 0, "column": 0, "path": "", "message": message}


def _shown(path: str) -> str:
    try:
        return os.path.relpath(path)
    except FileNotFoundError:  # the working directory was removed
        return path


def _environment(settings: Settings, arguments: argparse.Namespace, answer: dict[str, Any]) -> Iterator[str]:
    """Warnings about this machine and this interpreter."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lanes = sum(function.enabled for function in settings.functions) * len(settings.servers)
    if limit != resource.RLIM_INFINITY and lanes + settings.concurrency + SPARE_DESCRIPTORS > limit:
        yield (
            f"{lanes} connections to servers and {settings.concurrency} jobs at once may need more than the "
            f"{limit} file descriptors allowed here; raise LimitNOFILE (ulimit -n)"
        )
    yield from _places(settings)
    for driver, instead in answer.get("blocking", {}).items():
        yield f"a handler uses {driver}, which gevent cannot make wait in greenlets: {instead}"
    waits = {} if arguments.stop_timeout is None else {"gearpool (--stop-timeout)": arguments.stop_timeout}
    for path in arguments.platform:
        waits |= {f"{name} ({_shown(path)})": seconds for name, seconds in graces(path).items()}
    for name, seconds in waits.items():
        if seconds < settings.drain_timeout_s + PLATFORM_S:
            yield (
                f"{name} is killed {seconds:g} s after it was asked to stop, but may need drain_timeout "
                f"({settings.drain_timeout_s:g} s) and {PLATFORM_S:g} s more: jobs that could have finished are cut off"
            )


def _places(settings: Settings) -> Iterator[str]:
    """Warnings about files that cannot be written: the daemon would not start, or a dead letter would fail."""
    socket = settings.control.socket
    if socket is not None:
        path = Path(settings.base, socket)
        if len(os.fsencode(path)) > paths.MAX_PATH:
            yield f"control.socket {path} is longer than {paths.MAX_PATH} bytes, the most a socket's path may have"
        elif problem := _cannot_write(path.parent):
            yield f"control.socket: {problem}, so that the daemon would not start"
    if settings.embedded is not None and settings.embedded.store != "memory":
        store = Path(settings.base, settings.embedded.store)
        if problem := _cannot_write(store.parent):
            yield f"embedded.store: {problem}, so that the daemon would not start"
    for function in settings.functions:
        letters = function.dead_letter.file if function.dead_letter is not None else None
        if letters is not None and (problem := _cannot_write(Path(settings.base, letters).parent)):
            yield (
                f"functions.{function.name}.dead_letter: {problem}; while no letter can be written "
                "each such job goes back to its server, to be run again"
            )


def _cannot_write(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"this user may not write to the folder {folder}"
    return None


def _servers(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """The version of each server, and warnings about known faults of those versions."""
    from gearpool.client import Client

    warnings: list[str] = []
    ours = None if settings.embedded is None else str(parse_server(settings.embedded.listen))
    wanted = [server for server in settings.servers if str(server) != ours]
    if not wanted:
        return {}, warnings
    with Client(wanted, connect_timeout=3.0, request_timeout=5.0) as client:
        try:
            versions = client.admin.version()
            found, failures = dict(versions), dict(versions.failures)
        except Exception as error:  # noqa: BLE001 - none of them answers, in whatever way
            found, failures = {}, dict(getattr(error, "reasons", {})) or {str(wanted[0]): str(error)}
    for server, reason in failures.items():
        warnings.append(f"{server} cannot be reached now: {reason}")
    for server, version in found.items():
        warnings += [f"{server} runs gearmand {version}: {hazard}" for hazard in _hazards(version)]
    return found, warnings


def _hazards(version: str) -> Iterator[str]:
    """Known faults of this version of gearmand; seen on the wire of 1.1.20 (1.1.21 and 22 are alike) and 2.0.0."""
    if version.startswith("1.1."):
        yield "workers of other libraries that use CAN_DO_TIMEOUT can crash it; limits belong into this file"
        yield "EPOCH jobs start late, when a worker next asks (gearpool asks every 5 s)"
        yield "of the functions that a worker of another library registers on one connection the last starves the others"
    elif version.startswith("2.0.0"):
        yield "it loses waiting jobs when workers of other libraries serve several functions on one connection"
    elif version.startswith(("0.", "1.0.")):
        yield "so old a server was never tried with gearpool"
    else:
        return
    yield "a unique id of more than 63 bytes, such as a SHA-256 in hex, coalesces nothing or is refused"


def _human(found: _Findings) -> None:
    print(found.shown or "", end="")
    for problem in found.problems:
        print(_line(problem), file=sys.stderr)
    for warning in found.warnings:
        print(f"warning: {_line(warning)}", file=sys.stderr)
    for server, version in found.servers.items():
        print(f"{server}: {escaped(version)}", file=sys.stderr)
    count = counted(len(found.problems), "problem") if found.problems else "fine"
    print(f"{count}, {counted(len(found.warnings), 'warning')}", file=sys.stderr)


def _json(found: _Findings) -> None:
    answer: dict[str, Any] = {"problems": found.problems, "warnings": found.warnings, "servers": found.servers}
    if found.shown is not None:
        answer["configuration"] = found.shown
    print(json.dumps(answer, indent=1))


def _github(found: _Findings) -> None:
    print(found.shown or "", end="")
    for kind, rows in (("error", found.problems), ("warning", found.warnings)):
        for row in rows:
            message = _coded(str(Problem(Place(""), row["path"], row["message"])).removeprefix(": "))
            file = _coded(row["file"]).replace(":", "%3A").replace(",", "%2C")
            print(f"::{kind} file={file},line={max(1, row['line'])},col={max(1, row['column'])}::{message}")


def _coded(text: str) -> str:
    """As a GitHub workflow command; whatever the text holds, it stays one line."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _line(row: Row) -> str:
    """A problem as text, with control characters from servers or files escaped."""
    text = str(Problem(Place(row["file"], row["line"], row["column"]), row["path"], row["message"]))
    return "\n".join(map(escaped, text.split("\n")))


_TELL = {"human": _human, "json": _json, "github": _github}
