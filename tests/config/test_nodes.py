# ruff: noqa: E501 - the messages are exact, however long
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gearpool.config import ConfigurationProblems, load
from gearpool.config.nodes import MAX_BYTES, MAX_DEPTH, Item, Problem, read
from gearpool.settings import Settings


def tree(folder: Path, text: str | bytes, **environment: str) -> tuple[Item | None, list[Problem]]:
    path = folder / "w.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    problems: list[Problem] = []
    return read(path, "w.yaml", environment, problems), problems


def told(folder: Path, text: str | bytes) -> list[str]:
    return [str(problem) for problem in tree(folder, text)[1]]


def settings(folder: Path, text: str | bytes) -> Settings:
    path = folder / "w.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load([path], None, {}).settings


PLAIN = "servers: s:1\nfunctions:\n  f: a.b\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.rstrip("\n").encode(),
        b"%YAML 1.1\n---\n" + PLAIN.encode() + b"...\n",
        b"---\n" + PLAIN.encode(),
        b'{"servers": "s:1", "functions": {"f": "a.b"}}',
    ],
    ids=["BOM", "CRLF", "CR", "no line end", "directive", "document start", "JSON"],
)
def test_every_way_to_write_a_file_means_the_same(tmp_path: Path, text: bytes) -> None:
    read = settings(tmp_path, text)
    assert (str(read.servers[0]), read.functions[0].name, read.functions[0].handler) == ("s:1", "f", "a.b")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_places_count_from_one_whatever_the_line_ends_are(tmp_path: Path, start: str, end: str) -> None:
    text = f"{start}servers: s:1{end}{end}functions:{end}  f: {{handler: a.b, timeout: 30}}{end}"
    with pytest.raises(ConfigurationProblems) as raised:
        settings(tmp_path, text.encode())
    place = raised.value.found[0].place
    assert (place.line, place.column) == (4, 30)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("servers: müll\n".encode("latin-1"), "w.yaml:1:11: is not UTF-8: byte 0xfc"),
        ("a: b\nservers: s\n".encode("utf-16"), "w.yaml:1:1: is not UTF-8: byte 0xff"),
        (b"a: b\nc: \xf0\x9f", "w.yaml:2:4: is not UTF-8: byte 0xf0"),
        (b"a: b\nc: \xed\xa0\x80\n", "w.yaml:2:4: is not UTF-8: byte 0xed"),
        (b"a: b\nc: \x1b[31m\n", "w.yaml:2:4: has a control character '\\x1b'"),
        (b"\x7fELF\x02\x01", "w.yaml:1:1: has a control character '\\x7f'"),
        (b"a: \x00\n", "w.yaml:1:4: has a control character '\\x00'"),
    ],
)
def test_what_is_no_text_is_named_by_its_first_bad_byte(tmp_path: Path, raw: bytes, problem: str) -> None:
    assert told(tmp_path, raw) == [problem]


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    rest = MAX_BYTES - len(PLAIN)
    assert settings(tmp_path, PLAIN + "#" * (rest - 1) + "\n").concurrency == 100
    assert told(tmp_path, PLAIN + "#" * rest + "\n") == ["w.yaml: is larger than 4 MiB, which no configuration is"]


def test_a_file_without_an_end_is_refused(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert read(Path("/dev/zero"), "zero", {}, problems) is None
    assert [str(problem) for problem in problems] == ["zero: is larger than 4 MiB, which no configuration is"]


@pytest.mark.parametrize("shape", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_before_it_can_crash_the_parser(tmp_path: Path, shape: str) -> None:
    # In a process of its own: what this guards against is a segmentation fault.
    (tmp_path / "w.yaml").write_text("a: " * (shape in "[{a: ") + shape * 100_000)
    code = (
        "import sys; from pathlib import Path; from gearpool.config.nodes import read; found = []\n"
        "read(Path(sys.argv[1]), 'w.yaml', {}, found); print(found[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "w.yaml")], capture_output=True, text=True, check=True
    )
    assert f"nested deeper than {MAX_DEPTH} levels" in done.stdout or "not YAML" in done.stdout


def test_the_greatest_depth_is_still_read(tmp_path: Path) -> None:
    assert told(tmp_path, "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH) == []
    (one,) = told(tmp_path, "[" * (MAX_DEPTH + 2) + "1" + "]" * (MAX_DEPTH + 2))
    assert one.endswith(f"nested deeper than {MAX_DEPTH} levels")


def test_an_alias_bomb_ends_early_with_one_message(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    (one,) = told(tmp_path, "\n".join(lines))
    assert one.endswith("aliases unfold to too much")


def test_an_anchor_used_a_few_times_is_fine(tmp_path: Path) -> None:
    read = settings(tmp_path, "servers: s:1\nfunctions:\n  f: &f {handler: a.b, timeout: 5s}\n  g: *f\n")
    assert [function.timeout_s for function in read.functions] == [5.0, 5.0]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\na: 2\n", ["w.yaml:2:1: a: is given twice, first in line 1"]),
        ("a: {b: 1, c: 2, b: 3}\n", ["w.yaml:1:17: a.b: is given twice, first in line 1"]),
        ("a: 1\n'a': 2\n", ["w.yaml:2:1: a: is given twice, first in line 1"]),
        ("1: a\n'1': b\n", ["w.yaml:2:1: 1: is given twice, first in line 1"]),
        ("a: 1\na: 2\na: 3\n", ["w.yaml:2:1: a: is given twice, first in line 1", "w.yaml:3:1: a: is given twice, first in line 1"]),
        ("a: [{b: 1, b: 2}]\n", ["w.yaml:1:12: a[0].b: is given twice, first in line 1"]),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", ['w.yaml:3:3: c: merge keys ("<<") are not supported; use defaults']),
        ("a: {<<: [{b: 1}]}\n", ['w.yaml:1:5: a: merge keys ("<<") are not supported; use defaults']),
        ("yes: 1\n", ['w.yaml:1:1: the key yes is read by YAML as bool; quote it: "yes"']),
        ("a: {on: 1, ~: 2}\n", [
            'w.yaml:1:5: a: the key on is read by YAML as bool; quote it: "on"',
            'w.yaml:1:12: a: the key ~ is read by YAML as null; quote it: "~"',
        ]),
        ("? {a: b}\n: c\n", ["w.yaml:1:3: a key must be a plain word"]),
        ("a: !!python/object/apply:os.system [ls]\n", ["w.yaml:1:4: a: has the tag tag:yaml.org,2002:python/object/apply:os.system, which means nothing here"]),
        ("a: !include b.yaml\n", ["w.yaml:1:4: a: has the tag !include, which means nothing here"]),
        ("a: !!set {b}\n", ["w.yaml:1:4: a: has the tag tag:yaml.org,2002:set, which means nothing here"]),
        ("a: !!omap [b: c]\n", ["w.yaml:1:4: a: has the tag tag:yaml.org,2002:omap, which means nothing here"]),
        ("a: !!binary aGk=\n", ["w.yaml:1:4: a: has the tag tag:yaml.org,2002:binary, which means nothing here"]),
        ("a: !secret x\nb: !secret y\n", [
            "w.yaml:1:4: a: has the tag !secret, which means nothing here",
            "w.yaml:2:4: b: has the tag !secret, which means nothing here",
        ]),
    ],
)  # fmt: skip
def test_what_yaml_allows_and_a_configuration_does_not(tmp_path: Path, text: str, problems: list[str]) -> None:
    assert told(tmp_path, text) == problems


@pytest.mark.parametrize("text", ["a: !!str 5\n", "a: !!map {b: c}\n", "a: !!seq [b]\n", "a: ! x\n"])
def test_tags_that_say_what_is_there_anyway_are_fine(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, text) == []


def test_a_quoted_merge_key_is_a_key_like_any_other(tmp_path: Path) -> None:
    item, problems = tree(tmp_path, '"<<": 1\n"yes": 2\n"null": 3\n')
    assert item is not None
    assert (list(item.entries), problems) == (["<<", "yes", "null"], [])
