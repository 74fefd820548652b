"""Payloads as bytes, text or JSON: encoded on the way out, and results decoded alike. Floor 3; pure.

The kinds are those of a function's ``payload`` in the configuration, so ``payload: json`` in the worker and
``payload="json"`` in the client belong together. Nothing is guessed: a value of the wrong kind is an error that says
what is expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from gearpool.errors import InvalidArgument, UndecodableResult
from gearpool.settings import PayloadKind

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # in the standard library's from 3.13 on; type checkers bring their own

    R = TypeVar("R", default=bytes)
else:
    from typing import TypeVar

    R = TypeVar("R")
    """What a result is: bytes, str with ``payload="text"``, anything with ``payload="json"``."""

MAX_PAYLOAD = 0xFFFFFFFF - 1024
"""Bytes that a packet's 32-bit length leaves for a payload beside function, unique id and the rest."""

_OTHERWISE = 'payload="json", for the call or the client, sends numbers, lists and dicts'


class Codec:
    """How payloads of one kind are sent, and results read.

    Args:
        kind: "bytes" (text is sent as UTF-8, None as an empty payload; results are bytes), "text" (text is sent and comes
            back) or "json" (any JSON value; an empty result is None).

    Raises:
        InvalidArgument: there is no such kind.

    Attributes:
        raw: results are given as they come.
    """

    __slots__ = ("encode", "kind", "raw")

    def __init__(self, kind: PayloadKind) -> None:
        if kind not in get_args(PayloadKind):
            raise InvalidArgument(f'payload must be "bytes", "text" or "json", got {kind!r}')
        self.kind = kind
        self.raw: bool = kind == "bytes"
        self.encode: Callable[[Any], bytes] = {"bytes": _bytes, "text": _text, "json": _json}[kind]

    def decode(self, result: bytes) -> Any:
        """A result as the caller gets it.

        Raises:
            UndecodableResult: it is not of this kind.
        """
        if self.kind == "bytes":
            return result
        try:
            if self.kind == "text":
                return result.decode()
            return json.loads(result) if result else None
        except (ValueError, RecursionError) as error:
            raise UndecodableResult(self.kind, str(error), result) from error


def codec_of(kind: PayloadKind | None, otherwise: Codec) -> Codec:
    """The codec for a call: that of the kind it names, or the client's."""
    return otherwise if kind is None else Codec(kind)


def _bytes(data: Any) -> bytes:
    if isinstance(data, bytes):
        raw = data
    elif isinstance(data, str):
        raw = _utf8(data)
    elif data is None:
        return b""
    elif isinstance(data, bytearray | memoryview):
        raw = bytes(data)
    else:
        raise InvalidArgument(f"the payload must be bytes or str, got {type(data).__name__}; {_OTHERWISE}")
    return _bounded(raw)


def _text(data: Any) -> bytes:
    if data is None:
        return b""
    if not isinstance(data, str):
        raise InvalidArgument(f'with payload="text" the payload must be str, got {type(data).__name__}; {_OTHERWISE}')
    return _bounded(_utf8(data))


def _json(data: Any) -> bytes:
    try:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"the payload cannot be sent as JSON: {error}") from error
    # A lone surrogate is sent as it is, as the worker sends its results, and comes back as it was.
    return _bounded(text.encode("utf-8", "surrogatepass"))


def _utf8(data: str) -> bytes:
    try:
        return data.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the payload is not valid text: {error}") from error


def _bounded(raw: bytes) -> bytes:
    if len(raw) > MAX_PAYLOAD:
        raise InvalidArgument(f"the payload has {len(raw)} bytes, a packet holds at most 4 GiB")
    return raw


BYTES = Codec("bytes")
"""What a client without ``payload`` uses."""
