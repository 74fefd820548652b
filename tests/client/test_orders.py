"""What callers may ask for, and the bytes it becomes."""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import Any

import pytest

from gearpool.client.orders import make_order
from gearpool.client.payloads import BYTES
from gearpool.errors import InvalidArgument
from gearpool.protocol.codec import Decoder
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType

T = PacketType


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, T.SUBMIT_JOB),
        ({"priority": "normal"}, T.SUBMIT_JOB),
        ({"priority": "high"}, T.SUBMIT_JOB_HIGH),
        ({"priority": "low"}, T.SUBMIT_JOB_LOW),
        ({"background": True}, T.SUBMIT_JOB_BG),
        ({"background": True, "priority": "high"}, T.SUBMIT_JOB_HIGH_BG),
        ({"background": True, "priority": "low"}, T.SUBMIT_JOB_LOW_BG),
        ({"reducer": "sum"}, T.SUBMIT_REDUCE_JOB),
        ({"background": True, "reducer": "sum"}, T.SUBMIT_REDUCE_JOB_BACKGROUND),
        ({"background": True, "delay": 5.0}, T.SUBMIT_JOB_EPOCH),
    ],
)
def test_options_choose_the_packet(options: dict[str, Any], kind: PacketType) -> None:
    order = make_order("f", **options)
    ((sent, arguments),) = Decoder(REQUEST_MAGIC).feed(order.encode(b"u", b"data\0x"))
    assert sent is kind
    assert arguments[:2] == [b"f", b"u"]
    assert arguments[-1] == b"data\0x"


def test_a_reducer_is_followed_by_an_empty_field() -> None:
    ((_, arguments),) = Decoder(REQUEST_MAGIC).feed(make_order("f", reducer="sum").encode(b"u", b"d"))
    assert arguments == [b"f", b"u", b"sum", b"", b"d"]


@pytest.mark.parametrize(
    "at", [1_900_000_000, 1_899_999_999.5, dt.datetime.fromtimestamp(1_900_000_000, tz=dt.UTC)], ids=str
)
def test_a_time_is_sent_in_whole_seconds_never_early(at: Any) -> None:
    ((_, arguments),) = Decoder(REQUEST_MAGIC).feed(make_order("f", background=True, at=at).encode(b"u", b"d"))
    assert arguments[2] == b"1900000000"


def test_a_delay_counts_from_now() -> None:
    before = time.time()
    ((_, arguments),) = Decoder(REQUEST_MAGIC).feed(make_order("f", background=True, delay=60).encode(b"u", b"d"))
    assert before + 60 <= int(arguments[2]) <= time.time() + 61


@pytest.mark.parametrize(
    "options",
    [
        {"priority": "urgent"},
        {"at": 1_900_000_000},
        {"delay": 5},
        {"background": True, "at": 1, "delay": 1},
        {"background": True, "at": dt.datetime(2030, 1, 1)},  # noqa: DTZ001 - without a zone on purpose
        {"background": True, "at": -1},
        {"background": True, "at": math.nan},
        {"background": True, "at": math.inf},
        {"background": True, "at": 2.0**63},
        {"background": True, "delay": 5, "priority": "high"},
        {"background": True, "delay": 5, "reducer": "sum"},
        {"reducer": "sum", "priority": "low"},
        {"reducer": ""},
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_refused_before_it_is(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        make_order("f", **options)


@pytest.mark.parametrize("name", ["", "a\0b", "a\n", "x" * 256, 7])
def test_a_function_name_must_fit_the_protocol(name: Any) -> None:
    with pytest.raises(InvalidArgument):
        make_order(name)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (b"\0\xff", b"\0\xff"),
        ("größe", "größe".encode()),
        (None, b""),
        (bytearray(b"x"), b"x"),
        (memoryview(b"y"), b"y"),
    ],
)
def test_payloads_are_bytes_or_text(given: Any, sent: bytes) -> None:
    assert BYTES.encode(given) == sent


@pytest.mark.parametrize("given", [7, ["x"], "\ud800"])
def test_other_payloads_are_refused(given: Any) -> None:
    with pytest.raises(InvalidArgument):
        BYTES.encode(given)
