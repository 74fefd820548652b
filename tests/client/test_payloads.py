"""Payloads as bytes, text and JSON."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gearpool.client.payloads import BYTES, Codec, codec_of
from gearpool.errors import InvalidArgument, UndecodableResult
from gearpool.worker.functions import _encode_json

TEXT, JSON = Codec("text"), Codec("json")


@pytest.mark.parametrize(
    ("codec", "data", "sent"),
    [
        (BYTES, b"\0\xff", b"\0\xff"),
        (BYTES, "ü", "ü".encode()),
        (BYTES, None, b""),
        (BYTES, bytearray(b"a"), b"a"),
        (BYTES, memoryview(b"a"), b"a"),
        (TEXT, "ü", "ü".encode()),
        (TEXT, None, b""),
        (JSON, {"a": [1, None, "ü"]}, '{"a":[1,null,"ü"]}'.encode()),
        (JSON, None, b"null"),
        (JSON, "text", b'"text"'),
    ],
)
def test_what_is_sent(codec: Codec, data: Any, sent: bytes) -> None:
    assert codec.encode(data) == sent


def test_a_dict_without_json_is_told_of_the_keyword() -> None:
    with pytest.raises(InvalidArgument, match='payload="json"'):
        BYTES.encode({"a": 1})
    with pytest.raises(InvalidArgument, match="got dict"):
        TEXT.encode({"a": 1})


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (TEXT, b"bytes"),
        (TEXT, "\ud800"),
        (BYTES, "\ud800"),
        (BYTES, 7),
        (JSON, b"bytes"),
        (JSON, {1, 2}),
        (JSON, math.nan),
        (JSON, {"a": object()}),
    ],
)
def test_what_cannot_be_sent_is_refused(codec: Codec, data: Any) -> None:
    with pytest.raises(InvalidArgument):
        codec.encode(data)


def test_json_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidArgument):
        JSON.encode(endless)


def test_results_are_read_alike() -> None:
    assert BYTES.decode(b"\xff") == b"\xff"
    assert TEXT.decode("ü".encode()) == "ü"
    assert JSON.decode(b'{"a":1}') == {"a": 1}
    assert JSON.decode(b"") is None


@pytest.mark.parametrize(
    ("codec", "result"), [(TEXT, b"\xff"), (JSON, b"not JSON"), (JSON, b"\xff"), (JSON, b"[" * 100_000)]
)
def test_a_result_of_another_kind_is_an_error_that_holds_it(codec: Codec, result: bytes) -> None:
    with pytest.raises(UndecodableResult) as raised:
        codec.decode(result)
    assert raised.value.payload == result
    assert raised.value.kind == codec.kind


def test_an_unknown_kind_is_refused() -> None:
    kind: Any = "yaml"
    with pytest.raises(InvalidArgument, match='"json"'):
        Codec(kind)


def test_a_call_may_name_another_kind_than_its_client() -> None:
    assert codec_of(None, TEXT) is TEXT
    assert codec_of("json", TEXT).kind == "json"


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
@given(JSONS)
def test_json_comes_back_as_it_was_sent_and_is_what_a_worker_sends(value: Any) -> None:
    assert JSON.decode(JSON.encode(value)) == value
    assert JSON.decode(_encode_json(value)) == value
