"""`gearpool -c FILE`: the daemon. Floor 5; loads neither gevent nor the configuration model."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence

from gearpool import logs, uncaught
from gearpool.cli.main import COMMANDS
from gearpool.settings import LogSettings
from gearpool.supervisor import paths
from gearpool.supervisor.daemon import Daemon
from gearpool.supervisor.options import Options

HELP = "Run Python functions as Gearman workers, configured by a file."
USAGE = "gearpool -c FILE [options]\n       gearpool COMMAND [options]"
_WIDTH = max(map(len, COMMANDS)) + 2
EXAMPLES = (
    """\
examples:
  gearpool -c workers.yaml
  gearpool -c workers.yaml --processes auto --log-level debug
  gearpool -c base.yaml -c conf.d/
  gearpool -c workers.yaml --servers 10.0.0.1:4730,10.0.0.2:4730

commands (see gearpool COMMAND --help):
"""
    + "\n".join(f"  {name:<{_WIDTH}}{line}" for name, line in COMMANDS.items())
    + """

signals to the daemon: TERM and INT drain and stop (a second INT, or QUIT, ends running jobs now); HUP reloads;
  TSTP stops taking jobs, CONT resumes; TTIN and TTOU add or remove a process; USR1 logs every greenlet's stack
"""
)


def configure(parser: argparse.ArgumentParser) -> None:
    """The file, and what overrides it."""
    parser.add_argument(
        "-c", "--config", metavar="FILE", action="append", required=True,
        help="the configuration file; several files and folders are merged (the first names the control socket)",
    )  # fmt: skip
    parser.add_argument("--processes", metavar="N", help="number of worker processes, or 'auto' for one per CPU")
    parser.add_argument("--concurrency", metavar="N", help="number of jobs at once in one process")
    parser.add_argument(
        "--servers", metavar="HOST:PORT,...", help="the job servers to use instead of those in the file"
    )
    parser.add_argument("--log-level", metavar="LEVEL", choices=("debug", "info", "warning", "error"))


def overrides(arguments: argparse.Namespace) -> Sequence[str]:
    """The options that the checker applies to the file, at the start and at every reload."""
    words = [word for path in arguments.config[1:] for word in ("-c", paths.absolute(path))]
    for name in ("processes", "concurrency", "servers", "log_level"):
        value = getattr(arguments, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", value]
    return words


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon until it is stopped."""
    logs.configure(LogSettings(level=arguments.log_level or "info"))
    uncaught.install()
    return Daemon(Options(paths.absolute(arguments.config[0]), overrides(arguments), folder=_folder())).run()


def _folder() -> str | None:
    with contextlib.suppress(OSError):
        return paths.working_directory()
    return None
