from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gearpool.settings import (
    ControlSettings,
    EmbeddedSettings,
    HttpSettings,
    LogSettings,
    RecycleSettings,
    ServerSettings,
)
from gearpool.supervisor.difference import Takes, refusals, takes
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
        {"http": HttpSettings(token="changed")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_numbers_of_the_process_are_applied_to_running_processes(change: dict[str, Any]) -> None:
    assert takes(OLD, dataclasses.replace(OLD, **change)) is Takes.NOTHING


@pytest.mark.parametrize(
    "change",
    [{"concurrency": 5}, {"timeout_s": 5.0}, {"timeout_grace_s": 1.0}, {"rate_per_s": 5.0}, {"weight": 2.0}],
    ids=lambda change: next(iter(change)),
)
def test_numbers_of_a_function_are_applied_to_running_processes(change: dict[str, Any]) -> None:
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
def test_other_changes_of_a_function_need_new_processes(change: dict[str, Any]) -> None:
    function = dataclasses.replace(OLD.functions[0], **change)
    assert takes(OLD, dataclasses.replace(OLD, functions=(function,))) is Takes.NEW_PROCESSES


@pytest.mark.parametrize(
    "change",
    [{"servers": (ServerSettings(host="y"),)}, {"functions": OLD.functions * 2}, {"monkey_patch": False}],
    ids=lambda change: next(iter(change)),
)
def test_other_changes_of_the_process_need_new_processes(change: dict[str, Any]) -> None:
    assert takes(OLD, dataclasses.replace(OLD, **change)) is Takes.NEW_PROCESSES


def test_an_unchanged_configuration_needs_new_processes() -> None:
    assert takes(OLD, OLD) is Takes.NEW_PROCESSES


def test_changes_that_need_a_restart_are_refused() -> None:
    assert refusals(OLD, OLD) == []
    assert len(refusals(OLD, dataclasses.replace(OLD, embedded=EmbeddedSettings()))) == 1
    assert len(refusals(OLD, dataclasses.replace(OLD, control=ControlSettings(socket="/x")))) == 1
