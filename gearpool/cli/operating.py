"""The commands that send one request to the running daemon, as a table. Floor 5; loads no gevent, YAML or rich.

Each is the request of the same name (`gearpool.supervisor.requests`): its arguments are the request's fields, and a function
prints the answer. `status` and `top`, which print more, are modules of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gearpool import exit_codes
from gearpool.cli import control
from gearpool.cli.tables import counted, duration, shown, table
from gearpool.cli.values import duration_or_none, positive
from gearpool.supervisor import control_client

RELOAD_S = 300.0
"""A reload imports every handler twice, which may take long."""


Argument = tuple[str, dict[str, Any]]
"""One argument of a command as for ``add_argument``; by its name it is a field of the request."""


@dataclass(frozen=True)
class Command:
    """One command; `gearpool.cli.main` uses it as it uses the module of another command.

    Attributes:
        name: of the command and of the request.
        HELP: what it does, in full sentences; see `gearpool.cli.main`.
        examples: lines for ``--help``.
        text: prints the answer for people, given the arguments.
        arguments: what the request takes.
        time_s: how long the daemon may take to answer.
        code: the exit code that an answer stands for.
    """

    name: str
    HELP: str
    examples: str
    text: Callable[[argparse.Namespace, Any], str]
    arguments: tuple[Argument, ...] = ()
    time_s: float = control_client.TIME_S
    code: Callable[[Any], int] = lambda _answer: exit_codes.OK

    @property
    def EXAMPLES(self) -> str:  # noqa: N802 - as the modules of the other commands have it
        """See `gearpool.cli.main`."""
        return f"examples:\n{self.examples}"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments, and which daemon is meant."""
        for name, options in self.arguments:
            parser.add_argument(name, **options)
        control.configure(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Send the request and print the answer."""
        names = [name.removeprefix("--") for name, _ in self.arguments]
        fields = {name: getattr(arguments, name) for name in names}
        answer = control.ask(arguments, self.name, self.time_s, **fields)
        control.show(arguments, answer, lambda answer: self.text(arguments, answer))
        return self.code(answer)


class Leave(Command):
    """`drain` and `stop`: the daemon leaves, and the command waits until it has."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add how long to wait, and which daemon is meant."""
        parser.add_argument("--no-wait", action="store_true", help="do not wait until the daemon has exited")
        parser.add_argument(
            "--timeout", metavar="TIME", type=duration_or_none, help="wait at most this long (default: without limit)"
        )
        control.configure(parser)

    def run(self, arguments: argparse.Namespace) -> int:
        """Send the request and wait; exit 75 if the daemon is still there after ``--timeout``."""
        path = control_client.find(arguments.socket, arguments.config)
        answer = control_client.call(path, self.name)
        if arguments.no_wait:
            return control.show(arguments, answer, lambda answer: self.text(arguments, answer))
        gone = control_client.wait_until_gone(path, arguments.timeout)
        control.show(arguments, {"gone": gone}, lambda _: "it has left" if gone else "it is still there")
        return exit_codes.OK if gone else exit_codes.TIMED_OUT


def _ping(_arguments: argparse.Namespace, answer: Any) -> str:
    line = f"{answer['state']}, process {answer['pid']}, up {duration(answer['uptime_s'])}, {answer['config']}"
    return f"nothing is served: {answer['problem']}\n{line}" if answer["problem"] else line


def _jobs(_arguments: argparse.Namespace, answers: Any) -> str:
    rows = []
    for answer in answers:
        worker = answer["worker"]
        if "error" in answer:
            note = answer["error"]
            if "blocked_s" in answer:
                note += f" for {duration(answer['blocked_s'])}"
            rows.append((worker, answer.get("function", ""), answer.get("handle", ""), "", note))
            continue
        for job in answer["result"]:
            age = duration(job["age_s"]) if "age_s" in job else ""
            rows.append((worker, job.get("function", ""), job.get("handle", ""), age, job.get("state", "")))
    return table(("WORKER", "FUNCTION", "HANDLE", "AGE", "STATE"), rows) if rows else "no jobs"


def _stacks(_arguments: argparse.Namespace, answers: Any) -> str:
    return "\n\n".join(_stacks_of(answer) for answer in answers)


def _stacks_of(answer: Any) -> str:
    head = f"== worker {answer['worker']}"
    if "error" in answer:
        job = " ".join(shown(str(answer[name])) for name in ("function", "handle") if name in answer)
        return "\n".join(part for part in (f"{head}: {answer['error']} {job}".rstrip(), answer.get("stacks")) if part)
    jobs = [f"-- {shown(job['function'])} {shown(job['handle'])}\n{job['stack'].rstrip()}" for job in answer["result"]]
    return "\n".join([f"{head}: {counted(len(jobs), 'job')}", *jobs])


def _resumed(arguments: argparse.Namespace, answer: Any) -> str:
    """What takes jobs again, and what does not."""
    lines = [f"resumed {arguments.function or 'grabbing'}"]
    if answer.get("quiet"):
        lines.append("the daemon as a whole is still paused: gearpool resume")
    still = answer.get("paused_functions") or []
    if still:
        lines.append(f"still paused: {', '.join(still)} (gearpool resume FUNCTION)")
    return "\n".join(lines)


def _reloaded(_arguments: argparse.Namespace, answer: Any) -> str:
    """With the file that a link leads to, since that may not be the one the operator thinks."""
    resolved = answer.get("config_resolved")
    return f"reloaded {answer['config']}" + (f" ({resolved})" if resolved else "")


def _leaving(_arguments: argparse.Namespace, answer: Any) -> str:
    return f"leaving, {counted(answer['in_progress'], 'job')} in progress"


COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        Command(
            "ping",
            "Ask the running daemon whether it serves. Exits with 0 if it does (or is draining, paused or quiet), with 69 "
            "if there is no daemon or none of its workers is ready. Blocked handlers and absent job servers do not matter.",
            "  gearpool ping                       the only daemon on this machine\n"
            "  gearpool ping -c workers.yaml       a container's health check\n",
            _ping,
            code=lambda answer: exit_codes.NO_SERVER if answer["problem"] else exit_codes.OK,
        ),
        Command(
            "jobs",
            "List the jobs that the running daemon works on. A blocked worker shows the job that blocks it.",
            "  gearpool jobs\n  gearpool jobs --json | jq '.[].result[] | select(.age_s > 60)'\n",
            _jobs,
        ),
        Command(
            "stacks",
            "Print the stack of every greenlet with its job, and of a blocked worker the stacks of its threads.",
            "  gearpool stacks\n  gearpool stacks -c workers.yaml | less\n",
            _stacks,
        ),
        Command(
            "pause",
            "Stop taking jobs of FUNCTION, or of all functions. Running jobs continue. Lasts until `resume` or a restart.",
            "  gearpool pause thumbnail\n"
            "  gearpool pause                      all functions, like the signal TSTP\n",
            lambda arguments, _: f"paused {arguments.function or 'all functions'}",
            (("function", {"metavar": "FUNCTION", "nargs": "?", "help": "default: all functions"}),),
        ),
        Command(
            "resume",
            "Take jobs of FUNCTION again after `pause FUNCTION`, or of all functions after `pause`.",
            "  gearpool resume thumbnail\n"
            "  gearpool resume                     after `gearpool pause` or the signal TSTP\n",
            _resumed,
            (("function", {"metavar": "FUNCTION", "nargs": "?", "help": "default: what `pause` without one stopped"}),),
        ),
        Command(
            "resize",
            "Run up to N jobs of FUNCTION at once in each process, until the next reload.",
            "  gearpool resize thumbnail 5\n",
            lambda arguments, _: f"{arguments.function}: up to {arguments.concurrency} at once in each process",
            (("function", {"metavar": "FUNCTION"}), ("concurrency", {"metavar": "N", "type": positive})),
        ),
        Command(
            "kill",
            "End a job that runs or waits for its retry: its handler is interrupted, and its client sees that it failed. "
            "A handler that cannot be interrupted is killed with its process, after timeout_grace.",
            "  gearpool kill H:web1:4711                   a handle as `gearpool jobs` lists it\n"
            "  gearpool kill 127.0.0.1:4730/H:web1:4711    as `gearpool submit -b` prints it\n",
            lambda arguments, _: f"killed {arguments.handle}",
            (("handle", {"metavar": "HANDLE"}),),
        ),
        Command(
            "recycle",
            "Replace the worker processes one after the other. Each replacement is ready before the old process drains.",
            "  gearpool recycle                    all of them\n"
            "  gearpool recycle --worker 4711      one, by its process id\n",
            lambda _, answer: f"replacing {', '.join(map(str, answer['workers']))}",
            (("--worker", {"metavar": "PID", "type": positive, "help": "default: all"}),),
        ),
        Command(
            "reload",
            "Read the configuration and the handlers' code again, like the signal HUP, and wait until they are in effect.",
            "  gearpool reload -c workers.yaml     exits with 1, and nothing has changed, if the new file or code is bad\n",
            _reloaded,
            time_s=RELOAD_S,
        ),
        Command(
            "log-level",
            "Set the log level of the running daemon and its children, until the next reload.",
            "  gearpool log-level debug\n",
            lambda arguments, _: f"logging {arguments.level} and above",
            (("level", {"metavar": "LEVEL", "choices": ("debug", "info", "warning", "error")}),),
        ),
        Leave(
            "drain",
            "Finish the running jobs within drain_timeout and exit, like the signal TERM, and wait for the exit.",
            "  gearpool drain -c workers.yaml\n  gearpool drain --no-wait\n",
            _leaving,
        ),
        Leave(
            "stop",
            "Exit at once, like the signal QUIT: running jobs are interrupted and handed back to the job servers.",
            "  gearpool stop                       when `gearpool drain` takes too long\n",
            _leaving,
        ),
    )
}  # fmt: skip
