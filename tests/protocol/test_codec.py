from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gearpool.errors import LocalProtocolError, RemoteProtocolError
from gearpool.protocol.codec import Decoder, encode, request, response
from gearpool.protocol.packets import REQUEST_MAGIC, RESPONSE_MAGIC, SPECS, TABLE, PacketType

_WORD = st.binary(max_size=30).filter(lambda value: b"\0" not in value)


@st.composite
def packets(draw: st.DrawFn) -> tuple[PacketType, list[bytes]]:
    spec = draw(st.sampled_from(TABLE))
    count = len(spec.arguments)
    arguments = [draw(_WORD) for _ in range(max(0, count - 1))]
    if count:
        arguments.append(draw(st.binary(max_size=60)))
    return spec.kind, arguments


def test_the_table_has_all_42_types_in_order() -> None:
    assert [spec.kind for spec in TABLE] == list(PacketType)
    assert [int(kind) for kind in PacketType] == list(range(1, 43))


@given(st.lists(packets(), max_size=8), st.lists(st.integers(0, 400), max_size=8))
def test_whatever_is_encoded_is_decoded_however_it_is_cut(
    sent: list[tuple[PacketType, list[bytes]]], cuts: list[int]
) -> None:
    stream = b"".join(encode(RESPONSE_MAGIC, kind, *arguments) for kind, arguments in sent)
    decoder = Decoder(RESPONSE_MAGIC)
    got: list[tuple[PacketType, list[bytes]]] = []
    at = 0
    for cut in [*sorted(cuts), len(stream)]:
        got += decoder.feed(stream[at:cut])
        at = max(at, min(cut, len(stream)))
    assert got == sent
    assert decoder.missing == 0


def test_byte_by_byte_a_packet_comes_with_its_last_byte() -> None:
    decoder = Decoder(REQUEST_MAGIC)
    packet = request(PacketType.SUBMIT_JOB, b"f", b"u", b"a\0b")
    for byte in packet[:-1]:
        assert decoder.feed(bytes([byte])) == []
    assert decoder.feed(packet[-1:]) == [(PacketType.SUBMIT_JOB, [b"f", b"u", b"a\0b"])]


def test_trailing_bytes_wait_for_the_rest() -> None:
    decoder = Decoder(RESPONSE_MAGIC)
    noop = response(PacketType.NOOP)
    assert decoder.feed(noop + noop[:5]) == [(PacketType.NOOP, [])]
    assert decoder.missing == 7
    assert decoder.feed(noop[5:]) == [(PacketType.NOOP, [])]


def test_missing_says_how_much_of_a_large_packet_is_to_come() -> None:
    decoder = Decoder(RESPONSE_MAGIC)
    packet = response(PacketType.ECHO_RES, b"x" * 1000)
    decoder.feed(packet[:100])
    assert decoder.missing == len(packet) - 100


def test_only_the_last_argument_may_have_nuls() -> None:
    (packet,) = Decoder(RESPONSE_MAGIC).feed(response(PacketType.JOB_ASSIGN_UNIQ, b"H", b"f", b"u", b"\0\0x\0"))
    assert packet == (PacketType.JOB_ASSIGN_UNIQ, [b"H", b"f", b"u", b"\0\0x\0"])
    with pytest.raises(LocalProtocolError, match="function"):
        request(PacketType.SUBMIT_JOB, b"f\0", b"u", b"")


def test_an_empty_result_still_has_its_separator() -> None:
    assert request(PacketType.WORK_COMPLETE, b"H:x:1", b"") == b"\0REQ\0\0\0\x0d\0\0\0\x06H:x:1\0"


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.kind.name)
def test_a_wrong_number_of_arguments_is_not_sent(spec: object) -> None:
    kind = spec.kind  # type: ignore[attr-defined]
    with pytest.raises(LocalProtocolError, match=kind.name):
        request(kind, *[b"x"] * (len(SPECS[kind].arguments) + 1))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"\0REQ\0\0\0\x06\0\0\0\0", "wrong magic"),
        (b"\0RES\0\0\0\0\0\0\0\0", "unknown packet type 0"),
        (b"\0RES\0\0\0\x2b\0\0\0\0", "unknown packet type 43"),
        (b"\0RES\0\0\0\x11\x7f\xff\xff\xff", "over the limit"),
        (b"\0RES\0\0\0\x1f\0\0\0\x05H\0f\0u", "has 3 arguments, expected 4"),
        (b"HTTP/1.1 400 Bad Request\r\n", "wrong magic"),
        (b"HTTP", "not Gearman's binary protocol"),
    ],
)
def test_malformed_bytes_are_an_error_that_keeps_the_good_packets_before_them(bad: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message) as raised:
        Decoder(RESPONSE_MAGIC).feed(response(PacketType.NOOP) + bad)
    assert list(raised.value.packets) == [(PacketType.NOOP, [])]


def test_a_body_over_the_limit_is_refused_before_it_has_come() -> None:
    with pytest.raises(RemoteProtocolError, match="over the limit of 10"):
        Decoder(RESPONSE_MAGIC, max_packet=10).feed(response(PacketType.ECHO_RES, b"x" * 11)[:12])


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_raise_a_protocol_error(data: bytes) -> None:
    decoder = Decoder(REQUEST_MAGIC)
    try:
        for kind, arguments in decoder.feed(data):
            assert len(arguments) == len(SPECS[kind].arguments)
    except RemoteProtocolError:
        pass
