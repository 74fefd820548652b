"""Options of gearmand that `gearpool server` has, or says what to do instead of."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gearpool.cli import main
from gearpool.cli.gearmand_options import INSTEAD, instead
from tests.cli.commands import gearpool
from tests.processes import need

TABLE = (Path(__file__).parents[2] / "deploy" / "README.md").read_text().partition("## In gearmand's place")[2]


def ours() -> set[str]:
    parser, _ = main.build("server")
    return set(parser._option_string_actions)


def theirs() -> set[str]:
    """The options that the real gearmand lists."""
    text = subprocess.run([need("gearmand"), "--help"], capture_output=True, text=True, check=True).stdout
    return {
        option for pair in re.findall(r"^  (?:(-\w) \[ )?(--[\w-]+)", text, re.MULTILINE) for option in pair if option
    }


def test_each_option_of_gearmand_is_ours_or_answered() -> None:
    unknown = {option for option in theirs() if option not in ours() and instead(option) is None}
    assert unknown == set()


def test_no_option_is_both() -> None:
    assert set(INSTEAD).isdisjoint(ours())


def test_each_option_of_gearmand_is_in_the_table() -> None:
    table = TABLE.partition("\n## ")[0]
    families = ("--libsqlite3-", "--libmemcached-", "--libpq-", "--mysql-", "--redis-")
    missing = {
        option
        for option in theirs() | set(INSTEAD)
        if not re.search(rf"`{option}[ `]", table) and not option.startswith(families)
    }
    assert missing == set()
    assert all(f"{family}…" in table for family in families)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--threads", "4"], "one thread serves everything"),
        (["-t4"], "one thread serves everything"),
        (["--queue-type=libsqlite3", "--libsqlite3-db", "x"], "--store PATH"),
        (["--mysql-host", "db"], "--store PATH"),
        (["-d"], "stays in the foreground"),
        (["--log-file=none"], "standard error"),
        (["--round-robin"], "always alternate"),
        (["--keepalive"], "always on"),
        (["--job-retrys", "3"], "Did you mean --job-retries?"),
    ],
)
def test_an_option_that_only_gearmand_has_is_answered_with_what_to_do(arguments: list[str], told: str) -> None:
    done = gearpool("server", *arguments, code=64)
    assert told in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--job-handle-prefix", ""],
        ["--job-handle-prefix", "a b"],
        ["--job-handle-prefix", "x" * 41],
        ["-w", "-1"],
        ["-f", "0"],
    ],
)
def test_a_value_that_cannot_be_is_usage(arguments: list[str]) -> None:
    gearpool("server", *arguments, code=64)


def test_other_commands_do_not_speak_of_gearmand() -> None:
    done = gearpool("queues", "--threads", "4", code=64)
    assert "gearmand" not in done.err
