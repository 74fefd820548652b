"""The JSON Schema and our own verdict agree, and every sample passes both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gearpool.config import ConfigurationProblems, json_schema, load, reference
from gearpool.config.model import FUNCTION, SECTIONS
from gearpool.config.sections import Section

VALIDATOR = Draft202012Validator(json_schema())
PART = Draft202012Validator(json_schema(part=True))
SAMPLES = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))
PARTS = sorted((Path(__file__).parents[2] / "config" / "conf.d").glob("*.yaml"))

# Good and bad values of every kind, as they come out of YAML.
_SAMPLED: list[Any] = [
        "30s", "500ms", "1.5h", "0s", "30", "1:30", "-1s", "50/s", "600/m", "50", "20%", "0%", "100%", "120%", "512MiB",
        "1GiB", "512", "abort", "skip", "retry", "dead_letter", "requeue", "fail", "exception", "bytes", "json", "auto",
        "memory", "info", "text", "true", "", "a b", "x.y",
        0, 1, 2, 7, 1_000_000, 1_000_001, -1, 1.5, 2.0, 0.5, True, False, None, [], ["."], {}, {"default": "skip"},
        {"ValueError": "retry"}, {"print": "skip"}, {"ValueError": "no"}, {"attempts": 3}, {"attempts": 0}, {"delay": "1s"},
        {"delay": 1}, {"file": "x"}, {"function": "g"}, {"kills": 2}, {"failures": 3}, {"jobs": 5}, {"memory": "5MiB"},
        {"level": "info"}, {"level": "loud"}, {"store": "memory"}, {"unknown": 1},
        "127.0.0.1:4730", "[::1]:4730", "::1", "gear://h:1", "h:p", "h:", ":1", "a/b", "ab", "\u00e4", "a\tb", "h:1,i:2",
]  # fmt: skip
_VALUES: st.SearchStrategy[Any] = st.sampled_from(_SAMPLED)

# What stands in a section, good and bad alike, for any of them.
_SECTIONS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(
        [
            "attempts", "delay", "backoff", "max_delay", "jitter", "then", "max_waiting", "function", "file", "failures",
            "within", "pause", "kills", "listen", "store", "jobs", "age", "memory", "level", "format", "socket", "token",
            "timeout", "handler", "rate", "unknown",
        ]
    ),
    _VALUES,
    max_size=3,
)  # fmt: skip

_FUNCTION_KEYS = [
    "concurrency", "timeout", "timeout_grace", "on_error", "on_timeout", "on_drain", "retry", "dead_letter", "breaker",
    "poison", "report", "payload", "rate", "weight", "enabled", "unknown",
]  # fmt: skip
_ROOT_KEYS = [
    "processes", "concurrency", "defaults", "import_path", "drain_timeout", "stall_timeout", "recycle", "log", "http",
    "control", "embedded", "reconnect", "monkey_patch", "unknown",
]  # fmt: skip


_SERVERS: st.SearchStrategy[Any] = st.sampled_from(
    [
        "s:1", ["s:1", "embedded"], [], 7, None, "embedded", {"address": "s:1"}, {"tls": {}},
        [{"address": "s:1", "tls": {}}],
        {"address": "s:1", "tls": {"cert": "c", "key": "k"}}, {"address": "s:1", "tls": {"key": "k"}}, [["s:1"]], [None],
        {"address": "s:1", "tls": {"ca": 5}}, {"address": "s:1", "port": 1}, ["s:1", "s:1"],
        ["s:1", "t:1", {"address": "u:1"}],
    ]
)  # fmt: skip


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    config: dict[str, Any] = {"servers": draw(_SERVERS)}
    function: Any = {"handler": "a.b"}
    for key in draw(st.lists(st.sampled_from(_FUNCTION_KEYS), max_size=2)):
        function[key] = draw(st.one_of(_VALUES, _SECTIONS))
    config["functions"] = draw(
        st.sampled_from([{"f": function}, {"f": "a.b"}, {"f": 7}, {"a b": "a.b"}, {"f": function}])
    )
    for key in draw(st.lists(st.sampled_from(_ROOT_KEYS), max_size=2)):
        config[key] = draw(st.one_of(_VALUES, _SECTIONS))
    return config


def beyond_a_schema(config: dict[str, Any]) -> bool:
    """What no schema says: rules between keys, and numbers that are whole only in their value."""

    def walk(value: Any) -> bool:
        if isinstance(value, dict):
            return value.get("then") == "dead_letter" or any(walk(each) for each in value.values())
        if isinstance(value, list):
            return any(walk(each) for each in value)
        # To JSON 2.0 is an integer; a count of jobs is not written so.
        return isinstance(value, float) and value.is_integer()

    return walk(config)


def verdicts(path: Path, config: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What the schema and what we have against it."""
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    theirs = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
    try:
        load([path], None, {})
    except ConfigurationProblems as error:
        return theirs, [str(problem) for problem in error.found]
    return theirs, []


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configurations())
def test_the_schemas_verdict_is_ours(config: dict[str, Any], tmp_path: Path) -> None:
    if not beyond_a_schema(config):
        theirs, ours = verdicts(tmp_path / "workers.yaml", config)
        assert bool(theirs) == bool(ours), (config, theirs, ours)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(section.name))
def test_of_every_value_for_every_key_the_schemas_verdict_is_ours(section: Section, tmp_path: Path) -> None:
    for key in section.keys:
        for value in _SAMPLED:
            function: dict[str, Any] = {"handler": "a.b"}
            config: dict[str, Any] = {"servers": "s:1", "functions": {"f": function}}
            if section.name == "root":
                config[key] = value
            elif section.name == "function":
                function[key] = value
            elif section.name in FUNCTION.keys:
                function[section.name] = {key: value}
            else:
                config[section.name] = {key: value}
            if not beyond_a_schema(config):
                theirs, ours = verdicts(tmp_path / "workers.yaml", config)
                assert bool(theirs) == bool(ours), (config, theirs, ours)


def test_a_variable_may_stand_for_every_value(tmp_path: Path) -> None:
    text = (
        "servers: ['${H}:1', {address: '${H}:2', tls: {ca: '${H}'}}]\nprocesses: ${N}\nconcurrency: ${N}\n"
        "monkey_patch: ${B}\ndrain_timeout: ${N}s\nstall_timeout: ${T}\nworker_id: ${H}\n"
        "log: {level: '${L}', jobs: true}\nrecycle: {memory: '${M}', jitter: '${P}'}\nhttp: {listen: '${H}:1'}\n"
        "functions:\n  ${H}.f:\n    handler: ${H}.f\n    rate: ${R}\n    weight: ${N}\n    on_error: ${A}\n"
        "    dead_letter: {function: '${H}.dead'}\n"
    )
    path = tmp_path / "w.yaml"
    path.write_text(text)
    variables = {
        "H": "h",
        "N": "5",
        "B": "true",
        "T": "5s",
        "L": "info",
        "M": "1GiB",
        "P": "5%",
        "R": "5/s",
        "A": "skip",
    }
    assert load([path], None, variables).settings.concurrency == 5
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_sample_loads_and_is_what_the_schema_wants(sample: Path) -> None:
    assert load([sample], None, {"GEARPOOL_TOKEN": "one", "GEARPOOL_READ_TOKEN": "two"}).settings.functions
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


def test_the_generated_files_are_the_same_with_a_newer_python() -> None:
    newer = "import builtins, sys; builtins.NewerError = type('NewerError', (Exception,), {})"
    check = f"{newer}; from gearpool.config import reference; sys.exit(reference.main(['--check']))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")
