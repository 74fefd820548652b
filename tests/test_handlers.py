from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gearpool
from gearpool.handlers import HandlerError, examine, exception_class, load, resolve


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    monkeypatch.syspath_prepend(tmp_path)
    made: list[str] = []

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)

    yield write
    for name in made:
        sys.modules.pop(name, None)


def generator(arg: bytes) -> Iterator[bytes]:
    yield arg


class Shop:
    def sell(self, arg: bytes, job: object) -> bytes:
        return arg

    def __call__(self, arg: bytes) -> bytes:
        return arg


@pytest.mark.parametrize(
    ("handler", "takes_job", "is_generator"),
    [
        (lambda arg: arg, False, False),
        (lambda arg, job: arg, True, False),
        (lambda *args: args[0], True, False),
        (lambda arg, job=None: arg, True, False),
        (lambda arg, size=3: arg, False, False),
        (Shop().sell, True, False),
        (Shop(), False, False),
        (generator, False, True),
        (functools.partial(lambda extra, arg: arg, 1), False, False),
        (bytes.upper, False, False),
        (len, False, False),
    ],
)
def test_a_handler_is_called_as_its_parameters_want(
    handler: Callable[..., Any], takes_job: bool, is_generator: bool
) -> None:
    loaded = examine(handler, "h")
    assert (loaded.takes_job, loaded.is_generator) == (takes_job, is_generator)


async def coroutine(arg: bytes) -> bytes:
    return arg


async def stream(arg: bytes) -> Any:
    yield arg


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (7, "not callable"),
        (Shop, "is a class"),
        (coroutine, "is async"),
        (stream, "is async"),
        (lambda: b"", r"must take \(arg\) or \(arg, job\)"),
        (lambda a, b, c: b"", r"must take \(arg\) or \(arg, job\)"),
        (lambda arg, *, key: b"", r"must take \(arg\) or \(arg, job\)"),
    ],
)
def test_what_cannot_be_a_handler_is_refused_with_the_reason(handler: Any, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        examine(handler, "h")


def test_both_forms_of_a_path_lead_to_the_object(module: Callable[[str, str], None]) -> None:
    module("shop_a", "class Shop:\n    def sell(self, arg): return arg\nshop = Shop()\ndef buy(arg, job): return arg\n")
    assert load("shop_a.buy").takes_job
    assert load("shop_a:shop.sell").function(b"x") == b"x"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "not a dotted path"),
        ("a..b", "not a dotted path"),
        ("a.b-c", "not a dotted path"),
        ("no_such_module_x.f", "there is no module 'no_such_module_x'"),
        ("gearpool.examples.nope", "gearpool.examples has no 'nope'"),
        ("gearpool.examples:echo.nope", "gearpool.examples.echo has no 'nope'"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path: str, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        load(path)


def test_a_method_behind_dots_only_is_told_to_stand_behind_a_colon(module: Callable[[str, str], None]) -> None:
    module("shop_m", "class Shop:\n    def sell(self, arg): return arg\nshop = Shop()\n")
    with pytest.raises(HandlerError) as raised:
        load("shop_m.shop.sell")
    assert str(raised.value).endswith("""shop_m has 'shop', so write "shop_m:shop.METHOD\"""")
    with pytest.raises(HandlerError) as raised:
        load("shop_m.nope.sell")
    assert str(raised.value).endswith("searched: shop_m, which is no package")


def test_a_missing_module_is_reported_with_the_folders_searched(
    module: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path / "app"), "", sysconfig.get_path("stdlib"), "/opt/site-packages"])
    with pytest.raises(HandlerError) as raised:
        load("no_such_module_x.f")
    assert str(raised.value).endswith(f"\n    searched: {tmp_path}/app, {Path.cwd()}, /opt/site-packages")
    with pytest.raises(HandlerError) as raised:
        load("gearpool.no_such_module_x.f")
    assert str(raised.value).endswith(f"\n    searched: {Path(gearpool.__file__).parent}")


def test_a_folder_that_was_searched_twice_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "space_m").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path), *sys.path])
    with pytest.raises(HandlerError) as raised:
        load("space_m.nope.f")
    sys.modules.pop("space_m")
    assert str(raised.value).endswith(f"\n    searched: {tmp_path}/space_m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import no_such_thing_y\n", "No module named 'no_such_thing_y'"),
        ("x = 1 / 0\n", "ZeroDivisionError"),
        ("def f(:\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit"),
    ],
)
def test_a_module_that_does_not_import_shows_its_own_error_and_line(
    module: Callable[[str, str], None], text: str, message: str
) -> None:
    module("broken_b", text)
    with pytest.raises(HandlerError) as raised:
        load("broken_b.f")
    assert message in str(raised.value)
    assert "broken_b.py:1" in str(raised.value)


def test_exception_classes_are_found_by_name_and_nothing_else_is() -> None:
    assert exception_class("ValueError") is ValueError
    assert exception_class("json.JSONDecodeError").__name__ == "JSONDecodeError"
    for name in ("print", "json.dumps", "NoSuchError", "no_such_module_x.Error"):
        with pytest.raises(HandlerError):
            exception_class(name)
    assert resolve("json.dumps").__name__ == "dumps"
