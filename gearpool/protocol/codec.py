"""Bytes to packets and packets to bytes, for both sides. Floor 0; pure.

Nothing here reads a socket, a clock or a file. A decoder is fed whatever bytes arrived and returns every packet they
complete, a whole buffer at a time: at hundreds of thousands of jobs a second a call per packet would be too expensive.

A packet is a plain tuple ``(kind, arguments)``: ``kind`` a PacketType (compare with ``is``), ``arguments`` a list of
bytes in the order of `packets.TABLE`. A class would cost more than the decoding itself.
"""

from __future__ import annotations

import struct

from gearpool.errors import LocalProtocolError, RemoteProtocolError
from gearpool.protocol.packets import HEADER_SIZE, REQUEST_MAGIC, RESPONSE_MAGIC, SPECS, TABLE, PacketType

Packet = tuple[PacketType, list[bytes]]

DEFAULT_MAX_PACKET = 256 * 1024 * 1024
"""Bytes of body we take from a peer; gearmand itself has no limit below 4 GiB."""

_header = struct.Struct(">4sII")
_unpack_header = _header.unpack_from
_pack_header = _header.pack

# Indexed by type number: (kind, how many NULs separate its arguments). Index 0 is no type.
_SHAPES: list[tuple[PacketType, int]] = [(PacketType.UNUSED, 0)] + [
    (spec.kind, len(spec.arguments) - 1) for spec in TABLE
]
_LAST_TYPE = len(_SHAPES) - 1
_OVERHEAD = 48  # what a bytes object and its place in a list cost beside the bytes


class Decoder:
    """Turns a byte stream into packets. One for each direction of a connection.

    Args:
        magic: the magic this side expects: RESPONSE_MAGIC in a client or worker, REQUEST_MAGIC in a server.
        max_packet: largest body in bytes that is taken.
    """

    __slots__ = ("_chunks", "_have", "_magic", "_max", "_missing")

    def __init__(self, magic: bytes, max_packet: int = DEFAULT_MAX_PACKET) -> None:
        self._magic = magic
        self._max = max_packet
        self._chunks: list[bytes] = []
        self._have = 0
        self._missing = 0

    @property
    def missing(self) -> int:
        """How many more bytes the packet under way needs at least; 0 between packets."""
        return max(0, self._missing - self._have) if self._chunks else 0

    @property
    def buffered(self) -> int:
        """Bytes of memory that the packet under way takes: however little comes at a time."""
        return self._have + _OVERHEAD * len(self._chunks) if self._chunks else 0

    def feed(self, data: bytes) -> list[Packet]:
        """Every packet completed by ``data``; what is left waits for the next call.

        Raises:
            RemoteProtocolError: wrong magic, unknown type, too few arguments or a body over the limit; its ``packets``
                are the good ones that came before it. The stream has no way back: feed no more.
        """
        if self._chunks:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._missing:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        packets: list[Packet] = []
        append, shapes, expected, most = packets.append, _SHAPES, self._magic, self._max
        at, end = 0, len(data)
        while end - at >= HEADER_SIZE:
            magic, number, size = _unpack_header(data, at)
            if magic != expected or not 0 < number <= _LAST_TYPE or size > most:
                raise self._malformed(magic, number, size, packets)
            start = at + HEADER_SIZE
            stop = start + size
            if stop > end:
                break
            kind, separators = shapes[number]
            if separators > 0:
                arguments = data[start:stop].split(b"\0", separators)
                if len(arguments) <= separators:
                    raise self._too_few(kind, arguments, packets)
            elif separators == 0:
                arguments = [data[start:stop]]
            else:
                # A body where none belongs: gearmand ignores it, and so do we.
                arguments = []
            append((kind, arguments))
            at = stop
        if at < end:
            rest = data[at:] if at else data
            have = end - at
            self._chunks.append(rest)
            self._have = have
            self._missing = HEADER_SIZE
            if have >= HEADER_SIZE:
                self._missing += _unpack_header(rest)[2]
            elif not expected.startswith(rest[:4]):
                raise RemoteProtocolError(f"not Gearman's binary protocol: it begins with {rest[:4]!r}", packets)
        return packets

    def _malformed(self, magic: bytes, number: int, size: int, before: list[Packet]) -> RemoteProtocolError:
        if magic != self._magic:
            message = f"wrong magic {magic!r}, expected {self._magic!r}"
        elif not 0 < number <= _LAST_TYPE:
            message = f"unknown packet type {number}"
        else:
            message = f"{PacketType(number).name} of {size} bytes is over the limit of {self._max}"
        return RemoteProtocolError(message, before)

    @staticmethod
    def _too_few(kind: PacketType, arguments: list[bytes], before: list[Packet]) -> RemoteProtocolError:
        names = SPECS[kind].arguments
        message = f"{kind.name} has {len(arguments)} arguments, expected {len(names)}: {', '.join(names)}"
        return RemoteProtocolError(message, before)


def encode(magic: bytes, kind: PacketType, *arguments: bytes) -> bytes:
    """One packet as bytes.

    Raises:
        LocalProtocolError: the number of arguments is not that of the type, or one that is not the last has a NUL.
    """
    names = SPECS[kind].arguments
    if len(arguments) != len(names):
        raise LocalProtocolError(f"{kind.name} takes {len(names)} arguments {names}, got {len(arguments)}")
    for name, argument in zip(names[:-1], arguments, strict=False):
        if b"\0" in argument:
            raise LocalProtocolError(f"{kind.name}: {name} {argument!r} has a NUL byte")
    body = b"\0".join(arguments)
    if len(body) > 0xFFFFFFFF:
        raise LocalProtocolError(f"{kind.name} of {len(body)} bytes: a packet holds at most 4 GiB")
    return _pack_header(magic, kind, len(body)) + body


def request(kind: PacketType, *arguments: bytes) -> bytes:
    """A packet from a client or worker to the server; see `encode`."""
    return encode(REQUEST_MAGIC, kind, *arguments)


def response(kind: PacketType, *arguments: bytes) -> bytes:
    """A packet from the server; see `encode`."""
    return encode(RESPONSE_MAGIC, kind, *arguments)
