from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gearpool.settings import ControlSettings, EmbeddedSettings, LogSettings, RecycleSettings, ServerSettings
from gearpool.supervisor.changes import Takes, refusals, takes
from tests.supervisor.daemons import plain_settings

OLD = plain_settings()


@pytest.mark.parametrize(
    "change",
    [
        {"concurrency": 5},
        {"processes": 3},
        {"drain_timeout_s": 1.0},
        {"stall_timeout_s": 1.0},
        {"log": LogSettings(level="debug")},
        {"recycle": RecycleSettings(jobs=5)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_numbers_of_the_process_take_nothing(change: dict[str, Any]) -> None:
    assert takes(OLD, dataclasses.replace(OLD, **change)) is Takes.NOTHING


@pytest.mark.parametrize(
    "change",
    [{"concurrency": 5}, {"timeout_s": 5.0}, {"timeout_grace_s": 1.0}, {"rate_per_s": 5.0}, {"weight": 2.0}],
    ids=lambda change: next(iter(change)),
)
def test_numbers_of_a_function_take_nothing(change: dict[str, Any]) -> None:
    function = dataclasses.replace(OLD.functions[0], **change)
    assert takes(OLD, dataclasses.replace(OLD, functions=(function,))) is Takes.NOTHING


@pytest.mark.parametrize(
    "change",
    [
        {"handler": "c.d"},
        {"name": "other"},
        {"on_timeout": "skip"},
        {"payload": "json"},
        {"enabled": False},
        {"on_drain": "fail"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_else_of_a_function_takes_new_processes(change: dict[str, Any]) -> None:
    function = dataclasses.replace(OLD.functions[0], **change)
    assert takes(OLD, dataclasses.replace(OLD, functions=(function,))) is Takes.NEW_PROCESSES


@pytest.mark.parametrize(
    "change",
    [{"servers": (ServerSettings(host="y"),)}, {"functions": OLD.functions * 2}, {"monkey_patch": False}],
    ids=lambda change: next(iter(change)),
)
def test_everything_else_of_the_process_takes_new_processes(change: dict[str, Any]) -> None:
    assert takes(OLD, dataclasses.replace(OLD, **change)) is Takes.NEW_PROCESSES


def test_nothing_changed_takes_new_processes_for_the_new_code() -> None:
    assert takes(OLD, OLD) is Takes.NEW_PROCESSES


def test_what_only_a_restart_can_change_is_refused() -> None:
    assert refusals(OLD, OLD) == []
    assert len(refusals(OLD, dataclasses.replace(OLD, embedded=EmbeddedSettings()))) == 1
    assert len(refusals(OLD, dataclasses.replace(OLD, control=ControlSettings(socket="/x")))) == 1
