"""What `gearpool check` prints is one thing a line, whatever names, files and exceptions hold; and what it says of paths."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import gearpool

FILE = "servers: s:1\nfunctions:\n  f: {handler: shop.f, timeout: 20s}\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.py").write_text("def f(arg): return arg\n")


def test_an_import_error_cannot_drive_the_terminal_and_keeps_its_lines() -> None:
    Path("workers.yaml").write_text(FILE)
    Path("shop.py").write_text("raise ValueError('\\x1b[31mred\\x07 \\udc80')\n")
    done = gearpool("check", "-c", "workers.yaml", "--offline", code=78)
    first, second, _ = done.err.splitlines()
    assert first.endswith("importing shop failed: ValueError: \\x1b[31mred\\x07 \\udc80")
    assert second.strip().startswith(str(Path("shop.py").absolute()))


def test_a_functions_name_cannot_drive_the_terminal() -> None:
    Path("workers.yaml").write_text('servers: s:1\nfunctions: {"a\\e[1m": {handler: shop.f, timeout: 1}}\n')
    done = gearpool("check", "-c", "workers.yaml", "--offline", code=78)
    assert done.err.splitlines()[0].startswith("workers.yaml:2:50: functions.a\\x1b[1m.timeout: expected a duration")


def test_an_annotation_is_one_command_whatever_the_file_is_called_and_the_exception_says() -> None:
    name = "a,b:c\n::error::50%.yaml"
    Path(name).write_text(FILE)
    Path("shop.py").write_text("raise ValueError('one\\ntwo \\udc80 100%')\n")
    done = gearpool("check", "-c", name, "--offline", "--format", "github", code=78)
    (line,) = done.out.decode().splitlines()
    assert line.startswith(
        "::error file=a%2Cb%3Ac%0A%3A%3Aerror%3A%3A50%25.yaml,line=3,col=16::functions.f.handler: importing"
    )
    assert "ValueError: one%0Atwo \\udc80 100%25%0A" in line


def test_json_says_it_as_it_is() -> None:
    Path("workers.yaml").write_text(FILE)
    Path("shop.py").write_text("raise ValueError('\\x1b one\\ntwo')\n")
    done = gearpool("check", "-c", "workers.yaml", "--offline", "--json", code=78)
    assert "ValueError: \x1b one\ntwo" in json.loads(done.out)["problems"][0]["message"]


def test_a_source_that_is_no_text_has_no_line_to_show() -> None:
    Path("workers.yaml").write_text(FILE)
    Path("shop.py").write_bytes(b"x = 1\n\0\n")
    done = gearpool("check", "-c", "workers.yaml", "--offline", code=78)
    assert "None" not in done.err
    assert "importing shop failed: SyntaxError: source code" in done.err


@pytest.mark.parametrize(
    ("key", "warning"),
    [
        ("control: {socket: nowhere/x.sock}", "control.socket: there is no folder {here}/nowhere, so that"),
        (f"control: {{socket: {'x' * 120}}}", f"control.socket {{here}}/{'x' * 120} is longer than 107 bytes"),
        ("defaults: {dead_letter: {file: nowhere/x}}", "functions.f.dead_letter: there is no folder {here}/nowhere;"),
        ("control: {group: nobody-is-in-it}", "1:18: control.group: this machine has no group nobody-is-in-it"),
    ],
    ids=["no folder", "too long", "letters", "no group"],
)
def test_a_path_that_could_not_be_written_is_a_warning(key: str, warning: str) -> None:
    Path("workers.yaml").write_text(f"{key}\n{FILE}")
    done = gearpool("check", "-c", "workers.yaml", "--offline")
    (line,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    place = "workers.yaml:" if warning[0].isdigit() else "workers.yaml: "
    assert line.startswith(f"warning: {place}{warning.format(here=Path.cwd())}")


def test_it_works_in_a_folder_that_was_removed(tmp_path: Path) -> None:
    """As an old release is by a deploy tool, while somebody's shell is still in it."""
    Path("workers.yaml").write_text(FILE)
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    done = gearpool("check", "-c", str(tmp_path / "workers.yaml"), "--offline")
    assert done.err.splitlines()[-1].startswith("fine")


def test_a_pipe_is_refused_and_not_waited_for() -> None:
    os.mkfifo("workers.yaml")
    done = gearpool("check", "-c", "workers.yaml", "--offline", code=78)
    assert done.err.splitlines()[0] == "workers.yaml: is a pipe, which can be read only once; name a file"
