"""The pure modules of the dashboard, each with plain values."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Page

from gearpool.web.static_files import FOLDER


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves the files of the dashboard without a daemon."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def modules(page: Page) -> Iterator[Page]:
    """A tab in which modules can be imported."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(FOLDER)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    page.goto(f"http://127.0.0.1:{server.server_address[1]}/icon.svg")
    yield page
    server.shutdown()
    thread.join()
    server.server_close()


def call(page: Page, module: str, function: str, *arguments: object) -> Any:
    """The value of a module's function."""
    body = "async ([module, name, args]) => (await import(`/${module}.js`))[name](...args)"
    return page.evaluate(body, [module, function, list(arguments)])


def test_format(modules: Page) -> None:
    narrow = "\u202f"
    cases: dict[str, list[tuple[object, str]]] = {
        "count": [(None, "–"), (0, "0"), (999, "999"), (1240, f"1{narrow}240"), (12345678, f"12{narrow}345{narrow}678")],
        "number": [(0, "0"), (0.345, "0.34"), (9.96, "10"), (12.44, "12.4"), (1240.4, f"1{narrow}240")],
        "rate": [(None, "–"), (0, "0/s"), (210.2, "210/s")],
        "duration": [
            (None, "–"), (0, "0 s"), (0.00056, "0.56 ms"), (0.084, "84 ms"), (0.9996, "1.0 s"), (5.12, "5.1 s"),
            (9.98, "10 s"), (119, "119 s"), (119.7, "2 min"), (3600, "1 h"), (11100, "3 h 5 min"), (273600, "3 d 4 h"),
            (-5.1, "in 5.1 s"),
        ],
        "bytes": [(None, "–"), (512, "512 B"), (35 * 1024 * 1024, "35 MiB"), (1.2 * 1024**3, "1.2 GiB")],
        "percent": [(None, "–"), (0, "0 %"), (0.003, "0.3 %"), (0.34, "34 %"), (1, "100 %")],
    }  # fmt: skip
    found = {name: [call(modules, "format", name, given) for given, _ in rows] for name, rows in cases.items()}
    assert found == {name: [wanted for _, wanted in rows] for name, rows in cases.items()}


@pytest.mark.parametrize(
    ("target", "patch", "wanted"),
    [
        # The examples of RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge(modules: Page, target: object, patch: object, wanted: object) -> None:
    assert call(modules, "merge", "merge", target, patch) == wanted


def test_a_key_called_proto_is_a_key(modules: Page) -> None:
    body = """async () => {
        const { merge } = await import("/merge.js");
        const found = merge({ a: 1 }, JSON.parse('{"__proto__": {"b": 2}}'));
        return [Object.keys(found), found.b, JSON.stringify(found)];
    }"""
    assert modules.evaluate(body) == [["a", "__proto__"], None, '{"a":1,"__proto__":{"b":2}}']


def test_events_in_pieces(modules: Page) -> None:
    body = """async (pieces) => {
        const { EventParser } = await import("/events.js");
        const parser = new EventParser();
        return pieces.map((piece) => parser.push(piece));
    }"""
    pieces = ["event: vi", "ew\nid: 1\ndata: {}\n", "\n: a comment\n\ndata: one\ndata: two\n\nevent: x"]
    view, lines = {"name": "view", "data": "{}"}, {"name": "message", "data": "one\ntwo"}
    assert modules.evaluate(body, pieces) == [[], [], [view, lines]]


def test_the_scale_of_a_chart(modules: Page) -> None:
    cases = {0: 1, 0.3: 0.5, 1: 1, 1.1: 2, 4: 5, 5.5: 10, 100: 100, 212: 500}
    assert [call(modules, "chart", "niceCeiling", value) for value in cases] == pytest.approx(list(cases.values()))


def test_the_prefix_of_an_error(modules: Page) -> None:
    cases = {
        "ValueError: bad": "ValueError:",
        "gave up after 3 attempts: ValueError: bad": "gave up after 3 attempts: ValueError:",
        "shop.errors.Gone: x: y": "shop.errors.Gone:",
        "killed by a signal": "killed by a signal",
    }
    assert [call(modules, "dead_letters", "errorPrefix", error) for error in cases] == list(cases.values())
