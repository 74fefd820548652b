"""What is said of a command line that is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from gearpool.cli.main import COMMANDS
from tests.cli.commands import gearpool


@pytest.mark.parametrize(
    ("typed", "meant"), [("statsu", "status"), ("quues", "queues"), ("sumbit", "submit"), ("loglevel", "log-level")]
)
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(typed: str, meant: str) -> None:
    done = gearpool(typed, "x", "--json", code=64)
    assert done.err.startswith(f"gearpool: there is no command '{typed}'; did you mean '{meant}'?\n")
    assert "-c" not in done.err


def test_a_word_that_resembles_no_command_is_reported_as_unknown() -> None:
    assert gearpool("xyzzy\x1b[2J", code=64).err == (
        "gearpool: there is no command '\\x1b[2J'\n".replace("'", "'xyzzy", 1) + "Try 'gearpool --help'.\n"
    )


def test_a_file_in_place_of_a_command_is_answered_with_how_to_run_it(tmp_path: Path) -> None:
    file = tmp_path / "workers.yaml"
    file.touch()
    assert f"'; to serve a configuration file: gearpool -c {file}\n" in gearpool(str(file), code=64).err


def test_another_programs_word_for_starting_is_answered_with_ours() -> None:
    assert (
        "there is no command 'start'; to serve a configuration file: gearpool -c FILE\n"
        in gearpool("start", "-c", "workers.yaml", code=64).err
    )


@pytest.mark.parametrize("words", [[], ["check"], ["run", "reverse"]])
def test_a_missing_configuration_file_is_asked_for_as_it_is_typed(words: list[str]) -> None:
    prog = " ".join(["gearpool", *words[:1]])
    assert f"\nName the configuration file: {prog} -c workers.yaml\n" in gearpool(*words, code=64).err


@pytest.mark.parametrize(("words", "missing"), [(["submit"], "function"), (["dead", "list"], "file")])
def test_only_what_is_required_is_called_required(words: list[str], missing: str) -> None:
    assert f"the following arguments are required: {missing}\n" in gearpool(*words, code=64).err


def test_a_missing_server_is_reported_with_how_to_start_one() -> None:
    # Nothing listens on port 1: unprivileged programs cannot, and nobody uses tcpmux.
    told = gearpool("submit", "-s", "127.0.0.1:1", "reverse", "x", code=69).err
    assert told.endswith("; start one (`gearpool server`), or name another with --servers or -c\n")


def test_the_first_lines_of_the_help_show_both_ways_to_use_it() -> None:
    assert gearpool("--help").text.startswith("usage: gearpool -c FILE [options]\n       gearpool COMMAND [options]\n")


def test_a_command_after_the_options_is_reported_as_having_to_come_first() -> None:
    assert "A command comes first: gearpool status" in gearpool("-c", "workers.yaml", "status", code=64).err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["submit", "--backgruond", "f"], "--background"),
        (["queues", "--wacth"], "--watch"),
        (["check", "-c", "x", "--ofline=1"], "--offline"),
        (["status", "--jsno"], "--json"),
        (["--prosesses", "2", "-c", "x"], "--processes"),
    ],
)
def test_a_mistyped_option_is_answered_with_the_one_that_was_meant(words: list[str], meant: str) -> None:
    assert f"Did you mean {meant}?" in gearpool(*words, code=64).err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_what_it_does_not_know_with_64_and_a_way_to_its_help(name: str) -> None:
    done = gearpool(name, "--no-such-option", code=64)
    assert f"Try 'gearpool {name}" in done.err
    assert done.out == b""
