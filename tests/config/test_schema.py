"""The JSON Schema and our own verdict agree, and every sample passes both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gearpool.config import ConfigurationProblems, json_schema, load, reference

VALIDATOR = Draft202012Validator(json_schema())
PART = Draft202012Validator(json_schema(part=True))
SAMPLES = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
PARTS = sorted((Path(__file__).parents[2] / "config" / "conf.d").glob("*.yaml"))

# Good and bad values of every kind, as they come out of YAML.
_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        "30s", "500ms", "1.5h", "0s", "30", "1:30", "-1s", "50/s", "600/m", "50", "20%", "0%", "100%", "120%", "512MiB",
        "1GiB", "512", "abort", "skip", "retry", "dead_letter", "requeue", "fail", "exception", "bytes", "json", "auto",
        "memory", "info", "text", "true", "", "a b", "x.y",
        0, 1, 2, 7, 1_000_000, 1_000_001, -1, 1.5, 2.0, 0.5, True, False, None, [], ["."], {}, {"default": "skip"},
        {"ValueError": "retry"}, {"print": "skip"}, {"ValueError": "no"}, {"attempts": 3}, {"attempts": 0}, {"delay": "1s"},
        {"delay": 1}, {"file": "x"}, {"function": "g"}, {"kills": 2}, {"failures": 3}, {"jobs": 5}, {"memory": "5MiB"},
        {"level": "info"}, {"level": "loud"}, {"store": "memory"}, {"unknown": 1},
    ]
)  # fmt: skip

_FUNCTION_KEYS = [
    "concurrency", "timeout", "timeout_grace", "on_error", "on_timeout", "on_drain", "retry", "dead_letter", "breaker",
    "poison", "report", "payload", "rate", "weight", "enabled", "unknown",
]  # fmt: skip
_ROOT_KEYS = [
    "processes", "concurrency", "defaults", "import_path", "drain_timeout", "stall_timeout", "recycle", "log", "http",
    "control", "reconnect", "monkey_patch", "unknown",
]  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    config: dict[str, Any] = {"servers": draw(st.sampled_from(["s:1", ["s:1", "embedded"], [], 7, None, "embedded"]))}
    function: Any = {"handler": "a.b"}
    for key in draw(st.lists(st.sampled_from(_FUNCTION_KEYS), max_size=2)):
        function[key] = draw(_VALUES)
    config["functions"] = draw(
        st.sampled_from([{"f": function}, {"f": "a.b"}, {"f": 7}, {"a b": "a.b"}, {"f": function}])
    )
    for key in draw(st.lists(st.sampled_from(_ROOT_KEYS), max_size=2)):
        config[key] = draw(_VALUES)
    return config


def beyond_a_schema(config: dict[str, Any]) -> bool:
    """What no schema says: rules between keys, and numbers that are whole only in their value."""

    def walk(value: Any) -> bool:
        if isinstance(value, dict):
            return any(walk(each) for each in value.values())
        if isinstance(value, list):
            return any(walk(each) for each in value)
        # To JSON 2.0 is an integer; a count of jobs is not written so.
        return isinstance(value, float) and value.is_integer()

    return walk(config)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configurations())
def test_the_schemas_verdict_is_ours(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "workers.yaml"
    path.write_text(yaml.safe_dump(config))
    if beyond_a_schema(config):
        return
    theirs = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
    try:
        load([path], None, {})
        ours = []
    except ConfigurationProblems as error:
        ours = [str(problem) for problem in error.found]
    assert bool(theirs) == bool(ours), (config, theirs, ours)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_sample_loads_and_is_what_the_schema_wants(sample: Path) -> None:
    assert load([sample], None, {}).settings.functions
    assert not list(VALIDATOR.iter_errors(yaml.safe_load(sample.read_text())))
    assert "$schema=schema.json" in sample.read_text().splitlines()[0]


@pytest.mark.parametrize("sample", [*SAMPLES, *PARTS], ids=lambda sample: sample.name)
def test_an_editor_finds_the_schema_that_a_sample_names_and_nothing_wrong_by_it(sample: Path) -> None:
    modeline = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", sample.read_text().splitlines()[0])
    assert modeline is not None
    schema = json.loads((sample.parent / modeline[1]).read_text())
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(yaml.safe_load(sample.read_text())))


@pytest.mark.parametrize(
    ("text", "whole", "part"),
    [
        ("functions: {f: a.b}", False, True),
        ("servers: s:1", False, True),
        ("drain_timeout: 5s", False, True),
        ("servers: s:1\nfunctions: {f: a.b}", True, True),
        ("proceses: 2", False, False),
        ("functions: {f: {timeout: 5s}}", False, False),
        ("functions: {f: {handler: a.b, timeout: 5}}", False, False),
    ],
)
def test_a_part_need_not_have_every_key_but_what_it_has_must_be_right(text: str, whole: bool, part: bool) -> None:
    config = yaml.safe_load(text)
    assert (VALIDATOR.is_valid(config), PART.is_valid(config)) == (whole, part)


def test_the_sample_folder_loads_as_one_configuration() -> None:
    folder = SAMPLES[0].parent / "conf.d"
    loaded = load([folder], None, {}).settings
    assert [function.name for function in loaded.functions] == ["greet", "reverse", "wordcount"]
    assert loaded.base == str(folder)


def test_the_generated_files_are_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, capsys.readouterr().out
