# ruff: noqa: E501 - the messages are exact, however long
"""Texts that YAML refuses or reads as something else, variables in them, and exactly what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gearpool.config import ConfigurationProblems, load

FILE = "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\n"
"""A good file, to which a wrong line is added."""

BROKEN: list[tuple[str, str, list[str]]] = [
    (
        "an alias to nothing",
        "servers: s:1\nfunctions: {f: *nowhere}\n",
        ["workers.yaml:2:16: not YAML: found undefined alias"],
    ),
    (
        "two documents",
        "servers: s:1\n---\nfunctions: {f: a.b}\n",
        ["workers.yaml:2:1: another document begins here; a file has one"],
    ),
    (
        "a tagged text for a number",
        FILE + "concurrency: !!str 5\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got 5"],
    ),
    (
        "a tagged number that is none",
        FILE + "concurrency: !!int many\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got many"],
    ),
    (
        "a key of nothing",
        FILE + "? \n",
        [
            "workers.yaml:4:2: unknown key; known are servers, functions, embedded, processes, concurrency, defaults, import_path, drain_timeout, stall_timeout, recycle, log, http, control, worker_id, reconnect, monkey_patch"
        ],
    ),
    (
        "null for a key",
        FILE + "null: 1\n",
        ['workers.yaml:4:1: the key null is read by YAML as null; quote it: "null"'],
    ),
    (
        "a bracket too many",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timeout: 30s}{}\n",
        ["workers.yaml:3:53: not YAML: did not find expected key (while parsing a block mapping)"],
    ),
    (
        "a variable that is no number",
        FILE + "concurrency: ${N}\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got many"],
    ),
    (
        "an unquoted variable in braces",
        FILE + "log: {level: ${L:?}}\n",
        [
            (
                "workers.yaml:4:15: not YAML: did not find expected ',' or '}' (while parsing a flow mapping)"
                '; inside brackets, quote what has a variable: "${NAME}"'
            )
        ],
    ),
    (
        "an alias of itself",
        "servers: s:1\nfunctions: &a {f: *a}\n",
        [
            "workers.yaml:2:12: functions.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f.f: nested deeper than 30 levels",
            "workers.yaml:2:12: functions.f: handler is missing: The Python function to call: `package.module.function`, or `package.module:object.method`.",
            "workers.yaml:2:16: functions.f.f: unknown key; known are handler, concurrency, timeout, timeout_grace, on_error, on_timeout, on_drain, retry, dead_letter, breaker, poison, report, payload, rate, weight, enabled",
        ],
    ),
]


@pytest.mark.parametrize(("text", "messages"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_what_yaml_refuses_or_misreads_is_reported_with_its_position(
    text: str, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("workers.yaml").write_text(text)
    with pytest.raises(ConfigurationProblems) as raised:
        load(["workers.yaml"], None, {"N": "many"})
    assert [str(problem) for problem in raised.value.found] == messages
