"""Names of exceptions and places, and tracebacks without values."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gearpool import JobTimeout, places
from gearpool.places import Frame
from gearpool.status import MAX_MESSAGE, MAX_TRACE

LIBRARY = "/srv/venv/lib/python3.11/site-packages/"
OURS = str(Path(places.__file__).parent / "worker/batch.py")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit


def raised(call: Any) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError


def test_exceptions_have_the_name_by_which_they_are_imported() -> None:
    assert places.exception_name(ValueError()) == "ValueError"
    assert places.exception_name(json.JSONDecodeError("", "", 0)) == "json.decoder.JSONDecodeError"
    assert places.exception_name(JobTimeout()) == "gearpool.JobTimeout"


def test_a_message_is_cut_and_can_be_encoded() -> None:
    message = places.message_of(ValueError("x" * 10_000_000))
    assert len(message) < MAX_MESSAGE + 50
    assert message.endswith("(cut: it has 10000000 characters)")
    assert places.message_of(ValueError("\udcff")) == "\\udcff"
    assert places.message_of(Unprintable()) == "<unprintable>"


@pytest.mark.parametrize(
    ("files", "package", "expected"),
    [
        (["/srv/app/shop/images.py", LIBRARY + "PIL/Image.py"], "shop", "shop/images.py:1 in f0"),
        (["/srv/app/shop/images.py", "/srv/app/core/db.py", LIBRARY + "psycopg.py"], "shop", "core/db.py:2 in f1"),
        ([LIBRARY + "shop/images.py", LIBRARY + "PIL/Image.py"], "shop", "shop/images.py:1 in f0"),
        ([LIBRARY + "shop.py", LIBRARY + "shopping.py"], "shop", "shop.py:1 in f0"),
        (["/srv/app/a.py", json.__file__, "<frozen importlib._bootstrap>", "<string>"], "a", "a.py:1 in f0"),
        (["/srv/app/a.py", "src/gevent/_hub.pyx"], "a", "a.py:1 in f0"),
        (["/srv/app/a.py", "a/fast.pyx"], "a", "a/fast.pyx:2 in f1"),
        ([json.__file__], "shop", "json/__init__.py:1 in f0"),
        ([LIBRARY + "PIL/Image.py"], "shop", "PIL/Image.py:1 in f0"),
        ([OURS], "shop", ""),
        ([], "shop", ""),
    ],
)
def test_the_place_is_the_innermost_frame_of_the_handlers_own_code(
    files: list[str], package: str, expected: str
) -> None:
    frames = [Frame(file, number + 1, f"f{number}") for number, file in enumerate(files)]
    assert places.place_of(frames, package, ["/srv", "/srv/app", ""]) == expected


def test_frames_of_gearpool_that_called_the_handler_are_left_out() -> None:
    code = SimpleNamespace(co_filename=OURS, co_qualname="Batch.run")
    outer: Any = SimpleNamespace(
        tb_frame=SimpleNamespace(f_code=code), tb_lineno=3, tb_next=raised(lambda: json.loads("{")).__traceback__
    )
    frames = places.frames_of(outer)
    assert frames[0].file == __file__
    assert frames[-1].name.endswith("JSONDecoder.raw_decode")


def test_the_frame_that_interrupted_a_handler_is_left_out() -> None:
    def frame(file: str, after: Any) -> Any:
        code = SimpleNamespace(co_filename=file, co_qualname="f")
        return SimpleNamespace(tb_frame=SimpleNamespace(f_code=code), tb_lineno=3, tb_next=after)

    interrupt = frame(str(Path(places.__file__).parent / "worker/interrupts.py"), None)
    assert places.frames_of(frame("/srv/app/shop.py", interrupt)) == (Frame("/srv/app/shop.py", 3, "f"),)


def test_a_deep_stack_keeps_its_ends() -> None:
    def down(n: int) -> None:
        if n == 0:
            raise KeyError(n)
        down(n - 1)

    frames = places.frames_of(raised(lambda: down(300)).__traceback__)
    assert len(frames) == 60
    assert frames[0].name == "raised"
    assert frames[-1].name.endswith("down")
    assert places.stack_of(sys._getframe())[-1].name == "test_a_deep_stack_keeps_its_ends"
    assert places.stack_of(None) == ()


def test_a_traceback_is_written_as_python_does_with_its_causes_and_without_values() -> None:
    def fail() -> None:
        secret = "payload" * 10_000
        try:
            json.loads(secret)
        except ValueError as error:
            raise RuntimeError("cannot") from error

    text = places.written(places.chain_of(raised(fail)))
    first, second = text.split("\n\nThe above exception was the direct cause of the following exception:\n\n")
    assert first.startswith("Traceback (most recent call last):\n  File")
    assert "json.decoder.JSONDecodeError: Expecting value" in first
    assert "    json.loads(secret)" in first
    assert second.endswith("RuntimeError: cannot")
    assert "payloadpayload" not in text


def test_a_context_is_written_unless_it_was_suppressed() -> None:
    def fail(*, hide: bool) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            if hide:
                raise ValueError from None
            raise ValueError  # noqa: B904 - it has a context

    assert "During handling" in places.written(places.chain_of(raised(lambda: fail(hide=False))))
    hidden = raised(lambda: fail(hide=True))
    assert [each.name for each in places.chain_of(hidden)] == ["ValueError"]


def test_exceptions_that_are_each_others_cause_come_to_an_end() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert len(places.chain_of(one)) == 5


def test_what_is_too_long_is_cut_in_the_middle_and_says_so() -> None:
    text = places.cut_trace("begin" + "ü" * MAX_TRACE + "end")
    assert len(text.encode()) <= MAX_TRACE
    assert (text[:5], text[-3:]) == ("begin", "end")
    assert f"(cut: it has {2 * MAX_TRACE + 8} bytes)" in text


def test_the_running_thread_of_a_dump_is_read_innermost_last() -> None:
    text = (
        'Thread 0x1 (most recent call first):\n  File "/lib/threading.py", line 5 in wait\n\n'
        'Current thread 0x2 (most recent call first):\n  File "/srv/app/shop.py", line 9 in inner\n'
        '  File "/srv/app/shop.py", line 4 in handler\n'
        f'  File "{OURS}", line 3 in run\n'
    )
    frames = places.dumped(text)
    assert frames == (Frame("/srv/app/shop.py", 4, "handler"), Frame("/srv/app/shop.py", 9, "inner"))
    assert places.dumped("") == ()
