"""Which job servers a command talks to: the options, the environment, the configuration file. Floor 5.

Order: ``--servers``, else GEARPOOL_SERVERS, else GEARMAN_SERVERS, else those of ``-c FILE``, else 127.0.0.1:4730.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gearpool.cli.tables import shown
from gearpool.cli.values import duration
from gearpool.net.addresses import parse_servers
from gearpool.settings import DEFAULT_LISTEN, ServerSettings

if TYPE_CHECKING:
    from gearpool.client import Client, Replies

VARIABLES = ("GEARPOOL_SERVERS", "GEARMAN_SERVERS")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command which talks to job servers has."""
    group = parser.add_argument_group("job servers")
    group.add_argument(
        "-s", "--servers", metavar="LIST",
        help='job servers, separated by commas: "host:port", "gear+tls://host:port?ca=FILE&cert=FILE&key=FILE" '
        "(default: GEARPOOL_SERVERS, GEARMAN_SERVERS, those of -c, 127.0.0.1:4730)",
    )  # fmt: skip
    group.add_argument(
        "-c", "--config", metavar="FILE", action="append", help="use the servers of this configuration file"
    )
    group.add_argument(
        "--connect-timeout", metavar="TIME", type=duration, default=5.0,
        help="give up on a server that is not reached within TIME (default: 5s)",
    )  # fmt: skip


def resolve(arguments: argparse.Namespace) -> tuple[ServerSettings, ...]:
    """The servers that the command line, the environment or the configuration file name.

    Raises:
        InvalidArgument: one of them is not an address.
        ConfigurationError: the configuration file is wrong.
    """
    if arguments.servers is not None:
        return parse_servers(arguments.servers)
    for variable in VARIABLES:
        value = os.environ.get(variable, "").strip()
        if value:
            return parse_servers(value)
    if arguments.config is not None:
        from gearpool.config import load

        return load(arguments.config, environment=os.environ).settings.servers
    return parse_servers(DEFAULT_LISTEN)


def make_client(arguments: argparse.Namespace) -> Client:
    """A client of those servers."""
    from gearpool.client import Client

    return Client(
        resolve(arguments),
        connect_timeout=arguments.connect_timeout,
        request_timeout=max(10.0, 2 * arguments.connect_timeout),
    )


def print_json(value: Any) -> None:
    """One JSON document on one line."""
    print(json.dumps(value), flush=True)


def complain(message: str) -> None:
    """A line on standard error, whatever a server or worker has put into it."""
    print(f"gearpool: {shown(message)}", file=sys.stderr, flush=True)


def failures(replies: Replies[Any]) -> dict[str, str]:
    """Why servers did not answer, by their names."""
    return {name: str(error) for name, error in replies.failures.items()}


def odd_rows(replies: Mapping[str, Any]) -> dict[str, str]:
    """What to say of each server whose list has lines that are no row."""
    found = {}
    for server, rows in replies.items():
        odd = getattr(rows, "odd", ())
        if odd:
            more = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
            found[server] = f"{server} sent a line that is no row: {odd[0][:200]!r}{more}"
    return found
