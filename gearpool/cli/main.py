"""`gearpool`: finds the command and imports only that one's module, so that light commands start at once. Floor 5.

Every command is named in COMMANDS. It is a row of the table in `operating`, or a module of this package with

- ``HELP``: one line; ``EXAMPLES``: lines shown under ``--help``; ``USAGE``, if argparse's own would mislead;
- ``configure(parser)``: adds its arguments;
- ``INTERMIXED = True``, if options may stand between its positional arguments;
- ``run(arguments) -> int``: does it and returns the exit code (`gearpool.exit_codes`).

``gearpool -c FILE`` without a command is the daemon: the module ``daemon``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gearpool import exit_codes
from gearpool.cli import streams
from gearpool.cli.tables import shown
from gearpool.errors import (
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    GearpoolError,
    InvalidArgument,
    NoServersAvailable,
    TimedOut,
)
from gearpool.version import __version__

COMMANDS: dict[str, str] = {
    "check": "validate a configuration, import its handlers, contact its servers",
    "dead": "list, show, submit again or drop dead letters",
    "schema": "print the JSON Schema of the configuration file, for editors",
    "completion": "print a completion script for bash, zsh or fish",
    "run": "run one handler here, without any server",
    "submit": "submit jobs, and wait for their results or not",
    "job": "show a job, by server/handle or by unique id",
    "result": "the same as job",
    "queues": "show functions with queued and running jobs and workers",
    "admin": "query and change job servers: workers, jobs, cancel, maxqueue and more",
    "server": "run the embedded job server on its own",
    "exporter": "serve the queues of job servers as metrics for Prometheus",
    "bench": "measure a function under load",
    "ping": "ask whether the daemon serves",
    "status": "show the daemon, its workers, functions and job servers",
    "top": "show the status, live",
    "failures": "show what failed and what blocked, grouped, with tracebacks",
    "jobs": "list the jobs that run in the daemon",
    "stacks": "print the stack of every greenlet with a job",
    "pause": "stop taking jobs of a function, or of all",
    "resume": "take jobs again",
    "resize": "change the concurrency of a function",
    "kill": "end one running job",
    "recycle": "replace the worker processes, one after the other",
    "reload": "read the configuration and the code again",
    "drain": "finish the jobs and stop the daemon",
    "stop": "stop the daemon now",
    "log-level": "change the log level",
}
"""Command name to its one line of help."""

_ALIASES = {"result": "job"}
"""Other names of commands. No server keeps results, so the result of a job is its status."""

_DAEMON = ("start", "serve", "work", "worker", "workers", "daemon", "up")
"""What users of other programs may type to start the workers."""

_CODES: tuple[tuple[type[GearpoolError] | tuple[type[GearpoolError], ...], int], ...] = (
    (ConfigurationError, exit_codes.CONFIGURATION),
    ((NoServersAvailable, ConnectFailed, ConnectionLost), exit_codes.NO_SERVER),
    (InvalidArgument, exit_codes.USAGE),
    (TimedOut, exit_codes.TIMED_OUT),
    (GearpoolError, exit_codes.FAILED),
)
"""The exit code for each error; the first class that fits counts."""


class Parser(argparse.ArgumentParser):
    """argparse with exit code 64 for usage errors, as sysexits.h has it.

    Attributes:
        instead: hints for options of another program that users may give; see `gearmand_options`.
    """

    instead: Callable[[str], str | None] | None = None

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to get help, and leave with 64."""
        self.print_usage(sys.stderr)
        self.exit(exit_codes.USAGE, f"{self.prog}: {shown(message)}{self._hint(message)}\nTry '{self.prog} --help'.\n")

    def _hint(self, message: str) -> str:
        """A hint for arguments that this command does not know."""
        if "are required: -c/--config" in message:
            return f"\nName the configuration file: {self.prog} -c workers.yaml"
        _, unknown, words = message.partition("unrecognized arguments: ")
        if not unknown:
            return ""
        if self.prog == "gearpool" and (name := next((word for word in words.split() if word in COMMANDS), None)):
            return f"\nA command comes first: gearpool {name} …"
        for word in words.split():
            if self.instead is not None and (advice := self.instead(word)):
                return f"\ngearmand's {word}: {advice}"
            near = nearest(word.partition("=")[0], self._option_string_actions)
            if word.startswith("--") and near:
                return f"\nDid you mean {near}?"
        return ""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` that is most like ``word``, if one is."""
    import difflib

    near = difflib.get_close_matches(word, list(words), 1, 0.6)
    return near[0] if near else None


def _module(name: str) -> Any:
    """What defines the command ``name``: a module, or a row of the table `operating.COMMANDS`."""
    name = _ALIASES.get(name, name)
    if importlib.util.find_spec(f"gearpool.cli.{name}") is not None:
        return importlib.import_module(f"gearpool.cli.{name}")
    from gearpool.cli.operating import COMMANDS as OPERATING

    return OPERATING[name]


def build(name: str) -> tuple[Parser, Any]:
    """The parser of a command, or of ``daemon``, and its module."""
    module = _module(name)
    parser = Parser(
        prog="gearpool" if name == "daemon" else f"gearpool {name}",
        usage=getattr(module, "USAGE", None),
        description=module.HELP,
        epilog=module.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gearpool {__version__}")
    parser.instead = getattr(module, "INSTEAD_OF", None)
    module.configure(parser)
    return parser, module


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's) and return its exit code."""
    _stand_on_three()
    streams.prepare()
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (``| head``), which is no error.
        _give_up_output()
        return exit_codes.OK
    except OSError as error:
        _give_up_output()
        print(f"gearpool: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return exit_codes.CANNOT_CREATE


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        print(f"gearpool {__version__}")
        return exit_codes.OK
    if words and words[0] in COMMANDS:
        name, rest = words[0], words[1:]
    elif words and not words[0].startswith("-"):
        print(
            f"gearpool: there is no command {shown(repr(words[0]))}{_meant(words[0])}\nTry 'gearpool --help'.",
            file=sys.stderr,
        )
        return exit_codes.USAGE
    else:
        name, rest = "daemon", words
    parser, module = build(name)
    # Where payloads follow options as freely as the shell lets them (``submit f --background data``).
    parse = parser.parse_intermixed_args if getattr(module, "INTERMIXED", False) else parser.parse_args
    arguments = parse(rest)
    try:
        return int(module.run(arguments))
    except GearpoolError as error:
        print(_told(error), file=sys.stderr)
        if getattr(arguments, "json", False):
            print(json.dumps({"error": str(error)}))
        return next(code for kind, code in _CODES if isinstance(error, kind))


def _meant(word: str) -> str:
    """A hint for a command that does not exist."""
    if Path(word).exists():
        return f"; to serve a configuration file: gearpool -c {shown(word)}"
    if word in _DAEMON:
        return "; to serve a configuration file: gearpool -c FILE"
    near = nearest(word, COMMANDS)
    return f"; did you mean '{near}'?" if near else ""


def _told(error: GearpoolError) -> str:
    """The text of an error. Ours may have several lines; text from a server stays on one line."""
    from gearpool.supervisor.control_client import RefusedError

    text = str(error)
    if isinstance(error, NoServersAvailable) and "nothing listens there" in text:
        text += "; start one (`gearpool server`), or name another with --servers or -c"
    if isinstance(error, ConfigurationError | RefusedError):
        text = "\n".join(map(shown, text.split("\n")))
        return text if isinstance(error, ConfigurationError) else f"gearpool: {text}"
    return f"gearpool: {shown(text)}"


def _stand_on_three() -> None:
    """Open stdin, stdout and stderr if they were closed, or the next file opened would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(null, True)
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


def _give_up_output() -> None:
    """Discard further output to stdout, or the interpreter would try again to write the rest, and complain."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


if __name__ == "__main__":
    sys.exit(main())
