from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gearpool.dead_letter_file import LOCK_S, BadLetter, Letter, append, read, remove


def letter(number: int = 0, payload: bytes = b"\0\xffbody") -> Letter:
    return Letter(
        payload=payload, function="f", unique=f"u{number}", handle=f"H:x:{number}", server="s:1", attempts=3,
        error="ValueError: x", traceback="line 1\nline 2", time=1000.0 + number,
    )  # fmt: skip


def letters(path: Path) -> list[Letter]:
    return [each for _, each in read(path) if isinstance(each, Letter)]


def test_a_letter_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    append(path, letter(1))
    append(path, letter(2))
    assert letters(path) == [letter(1), letter(2)]
    assert json.loads(path.read_text().splitlines()[0])["id"] == letter(1).id


def test_several_processes_append_at_once_and_every_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from tests.test_dead_letter_file import append, letter
        for number in range(50):
            append(Path(sys.argv[1]), letter(int(sys.argv[2]) * 1000 + number, b"x" * 5000))
    """)
    processes = [subprocess.Popen([sys.executable, "-c", program, str(path), str(number)]) for number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len({each.unique for each in letters(path)}) == 200
    assert not [each for _, each in read(path) if isinstance(each, BadLetter)]


def test_somebodys_unfinished_line_does_not_swallow_ours(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_bytes(b'{"half":')
    append(path, letter(1))
    assert letters(path) == [letter(1)]
    assert [type(each) for _, each in read(path)] == [BadLetter, Letter]


def test_a_full_disk_fails_the_letter_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    append(path, letter(1))
    program = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        from tests.test_dead_letter_file import append, letter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = Path(sys.argv[1]).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
        try:
            append(Path(sys.argv[1]), letter(2, b"x" * 5000))
        except OSError as error:
            sys.exit(3)
    """)
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 3
    assert letters(path) == [letter(1)]
    append(path, letter(3))
    assert letters(path) == [letter(1), letter(3)]


def test_after_a_rotation_letters_go_to_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    append(path, letter(1))
    path.rename(tmp_path / "dead.jsonl.1")
    append(path, letter(2))
    assert letters(path) == [letter(2)]
    assert letters(tmp_path / "dead.jsonl.1") == [letter(1)]


def test_removing_keeps_the_others_and_what_is_no_letter(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    append(path, letter(1))
    with path.open("ab") as file:
        file.write(b"not json\n")
    append(path, letter(2))
    assert remove(path, lambda each: each.unique == "u1") == [letter(1)]
    assert [type(each) for _, each in read(path)] == [BadLetter, Letter]
    assert letters(path) == [letter(2)]


def test_names_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    odd = Letter(
        payload=b"", function="f\udcff", unique="", handle="H", server="s", attempts=1, error="", traceback="", time=1.0
    )
    append(path, odd)
    assert letters(path) == [odd]


def test_a_file_that_is_not_there_is_an_error_to_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "none"))


def test_a_file_that_stays_locked_fails_the_letter_and_leaves_no_trace_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dead.jsonl"
    append(path, letter(1))
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("time.sleep", lambda seconds: now.append(now.pop() + seconds))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for attempt in (lambda: append(path, letter(2)), lambda: remove(path, lambda _: True)):
            before = now[0]
            with pytest.raises(OSError, match="another process has had it locked for 5 s") as caught:
                attempt()
            assert caught.value.errno == errno.ETIMEDOUT
            assert now[0] - before == pytest.approx(LOCK_S, abs=0.1)
    assert letters(path) == [letter(1)]


def test_a_lock_that_is_given_back_in_time_only_delays_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dead.jsonl"
    path.touch()
    held = path.open("rb")
    fcntl.flock(held, fcntl.LOCK_EX)
    monkeypatch.setattr("time.sleep", lambda _: held.close())
    append(path, letter(1))
    assert letters(path) == [letter(1)]
