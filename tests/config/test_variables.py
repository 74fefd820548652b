from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.config import ConfigurationProblems, load
from gearpool.config.variables import VariableError, expand

ENVIRONMENT = {"HOST": "h", "PORT": "4730", "EMPTY": "", "_x1": "u", "TRICKY": "${HOST}", "SPACE": " "}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("nothing here", "nothing here"),
        ("$HOST costs $5", "$HOST costs $5"),
        ("${HOST}", "h"),
        ("${HOST}:${PORT}", "h:4730"),
        ("${HOST}${HOST}", "hh"),
        ("${_x1}", "u"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${NONE:-default}", "default"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${NONE:-a b $c}", "a b $c"),
        ("${HOST:-default}", "h"),
        ("${HOST:?needed}", "h"),
        ("${SPACE:-default}", " "),
        ("$${HOST}", "${HOST}"),
        ("$${", "${"),
        ("$$${HOST}", "$${HOST}"),
        ("$${HOST} ${HOST}", "${HOST} h"),
        ("$${${HOST}", "${h"),
        ("$$", "$$"),
        ("{HOST}", "{HOST}"),
        ("${HOST}}", "h}"),
        # What a variable holds is text: it is not looked at again.
        ("${TRICKY}", "${HOST}"),
    ],
)
def test_a_text_is_expanded_once_from_left_to_right(text: str, expanded: str) -> None:
    assert expand(text, ENVIRONMENT) == expanded


NO_VARIABLE = "is not a variable; write ${NAME}, ${NAME:-default} or ${NAME:?message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE}", "the variable NONE is not set; set it, or write ${NONE:-default}"),
        ("${NONE:?}", "the variable NONE is not set: it is required"),
        ("${NONE:?ask the team}", "the variable NONE is not set: ask the team"),
        ("${EMPTY:?ask}", "the variable EMPTY is not set: ask"),
        ("${}", f"${{}} {NO_VARIABLE}"),
        ("${1}", f"${{1}} {NO_VARIABLE}"),
        ("${HOST-x}", f"${{HOST-x}} {NO_VARIABLE}"),
        ("${HOST:+x}", f"${{HOST:+x}} {NO_VARIABLE}"),
        ("${ HOST}", f"${{ HOST}} {NO_VARIABLE}"),
        ("${ÄRGER}", f"${{ÄRGER}} {NO_VARIABLE}"),
        ("${HOST", "${ without a closing }"),
        ("a ${HOST} b ${", "${ without a closing }"),
        ("${NONE:-${HOST}}", "${NONE:-${HOST} has a variable inside a variable; that is not possible"),
    ],
)
def test_what_is_no_variable_or_is_not_set_is_refused(text: str, message: str) -> None:
    with pytest.raises(VariableError) as raised:
        expand(text, ENVIRONMENT)
    assert str(raised.value) == message


@given(text=st.text(st.sampled_from("${}:-?aA1 "), max_size=30))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        expanded = expand(text, {"A": "x", "a": ""})
    except VariableError:
        return
    if "${" not in text:
        assert expanded == text


@pytest.mark.parametrize(("text", "read"), [("a}", "a}"), ("a: b", "a: b"), ("#c", "#c"), ("- x", "- x"), ("'q", "'q")])
def test_what_is_in_a_variable_is_never_read_as_yaml(text: str, read: str, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("servers: s:1\nworker_id: ${ID}\nfunctions: {f: a.b}\ncontrol: {socket: '${SOCKET}'}\n")
    settings = load([path], None, {"ID": text.replace(" ", ""), "SOCKET": text}).settings
    assert settings.control.socket == str(tmp_path / read)


@pytest.mark.parametrize(
    ("written", "value", "message"),
    [
        ("${N}", "7", None),
        ("${N}", "many", "expected a whole number from 1 to 1000000, got many"),
        ("${N}", "", "expected a whole number from 1 to 1000000, got nothing"),
        ('"${N}"', "7", 'expected a whole number from 1 to 1000000, got "7"'),
        ("1${N}", "0", None),
    ],
)
def test_a_plain_variable_is_read_as_if_its_value_had_been_written(
    written: str, value: str, message: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"servers: s:1\nfunctions: {{f: a.b}}\nconcurrency: {written}\n")
    try:
        assert load([path], None, {"N": value}).settings.concurrency == int(written.strip('"').replace("${N}", value))
        told = None
    except ConfigurationProblems as error:
        told = error.found[0].message
    assert told == message


def test_keys_are_expanded_as_values_are(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text('servers: s:1\nfunctions: {"${STAGE}.f": a.b, "$${x}": a.b}\n')
    names = [function.name for function in load([path], None, {"STAGE": "test"}).settings.functions]
    assert names == ["test.f", "${x}"]


def test_every_variable_that_is_not_set_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(
        "servers: ${A}\nfunctions:\n  f: {handler: a.b, timeout: '${B:?in seconds}'}\n  ${C}: a.b\n"
    )
    with pytest.raises(ConfigurationProblems) as raised:
        load(["w.yaml"], None, {})
    assert [str(problem) for problem in raised.value.found] == [
        "w.yaml:1:10: servers: the variable A is not set; set it, or write ${A:-default}",
        "w.yaml:3:30: functions.f.timeout: the variable B is not set: in seconds",
        "w.yaml:4:3: functions: the variable C is not set; set it, or write ${C:-default}",
    ]
