"""What users write on the command line: one kind of duration everywhere, and no number too large for what comes after."""

from __future__ import annotations

import argparse

import pytest

from gearpool.cli import values
from gearpool.cli.main import COMMANDS, Parser, build
from tests.cli.commands import gearpool


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("1.5m", 90.0), ("24h", 86400.0), ("7d", 604800.0)]
)
def test_a_duration_carries_its_unit(text: str, seconds: float) -> None:
    assert values.duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "1 s", "-1s", "s", "", "9" * 400 + "d", "1e3s", "30S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.duration(text)


@pytest.mark.parametrize("text", ["2GiB", "9" * 5000, "1.5MiB", "1KB", "-1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.size(text)


@pytest.mark.parametrize("text", ["@nan", "@inf", "@" + "9" * 400, "tomorrow", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.moment(text)


@pytest.mark.parametrize("text", ["0", "-1", "²", "9" * 5000, "1.0", ""])
def test_what_is_no_number_from_1_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.positive(text)


def _options(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [each for one in action.choices.values() for each in _options(one)]
    return found


@pytest.mark.parametrize("name", ["daemon", *COMMANDS])
def test_every_option_that_takes_a_time_takes_a_duration_with_a_unit(name: str) -> None:
    parser, _ = build(name)
    for action in _options(parser):
        assert action.type is not float, f"{action.option_strings}: a bare number of what?"
        assert action.metavar != "SECONDS"
        if action.metavar == "TIME":
            assert action.type in (values.duration, values.duration_or_none, values.moment)


def test_a_duration_without_unit_is_a_usage_error_that_names_an_example() -> None:
    for words in (["top", "--every", "5"], ["drain", "--timeout", "5"], ["server", "--drain", "5"]):
        assert "expected a duration such as \"30s\", got '5'" in gearpool(*words, code=64).err


def test_every_command_has_help_and_examples() -> None:
    for name in COMMANDS:
        parser, command = build(name)
        assert isinstance(parser, Parser)
        assert command.HELP
        assert f"gearpool {'job' if name == 'result' else name}" in command.EXAMPLES
