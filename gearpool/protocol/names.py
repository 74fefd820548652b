"""What may be sent as a function name, unique id, handle or client id. Floor 0; pure.

gearmand takes more than it survives: a function name over about 8170 bytes kills the connection of every worker that
grabs the job, a unique id of 64 bytes is never coalesced and puts a stray NUL before the payload, 65 are refused
(gearmand 1.1.20 and 2.0.0). So everything is checked before it is sent.
"""

from __future__ import annotations

from gearpool.errors import InvalidArgument

MAX_FUNCTION = 255
MAX_UNIQUE = 63
MAX_HANDLE = 63
MAX_CLIENT_ID = 127

_LINE_ENDS = {b"\0": "a NUL", b"\r": "a carriage return", b"\n": "a line end"}
_SEPARATORS = {b" ": "a space", b"\t": "a tab", **_LINE_ENDS}


def _encoded(what: str, value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise InvalidArgument(f"{what} must be str or bytes, got {type(value).__name__}")
    # surrogateescape: names that came from the wire as undecodable bytes go back as they were.
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} {value!r} cannot be encoded: {error}") from error


def text(value: bytes) -> str:
    """Bytes from the wire as str, such that the functions below give back the same bytes."""
    return value.decode("utf-8", "surrogateescape")


def wire(value: str) -> bytes:
    """The bytes that `text` made this of. A server may give any handle; only what a caller gives is judged below."""
    return value.encode("utf-8", "surrogateescape")


def _word(what: str, value: str | bytes, most: int, forbidden: dict[bytes, str] = _SEPARATORS) -> bytes:
    raw = _encoded(what, value)
    if not raw:
        raise InvalidArgument(f"{what} must not be empty")
    if len(raw) > most:
        raise InvalidArgument(f"{what} has {len(raw)} bytes, at most {most} are possible: {raw[:80]!r}")
    for separator, name in forbidden.items():
        if separator in raw:
            raise InvalidArgument(f"{what} {text(raw[:80])!r} has {name} in it")
    return raw


def function_name(value: str | bytes) -> bytes:
    """A function name as bytes: 1 to 255 of them, no NUL or line end.

    Spaces and tabs are served by gearmand as any other byte, and the ``prefix`` of Perl's Gearman::Client puts a tab
    into each name. But the text protocol divides a command at spaces, so an administrator cannot name such a function.

    Raises:
        InvalidArgument: anything else.
    """
    return _word("function name", value, MAX_FUNCTION, _LINE_ENDS)


def unique_id(value: str | bytes) -> bytes:
    """A unique id as bytes: at most 63, no NUL or line end; empty means none.

    Raises:
        InvalidArgument: anything else, ``-`` included (gearmand takes it to mean "hash the payload").
    """
    raw = _encoded("unique id", value)
    if len(raw) > MAX_UNIQUE:
        raise InvalidArgument(
            f"unique id has {len(raw)} bytes, gearmand keeps at most {MAX_UNIQUE}; shorten it (a sha256 hex digest is 64)"
        )
    if raw == b"-":
        raise InvalidArgument("unique id '-' makes gearmand use the payload as the id; give a real one")
    if b"\0" in raw or b"\n" in raw or b"\r" in raw:
        raise InvalidArgument(f"unique id {raw!r} has a NUL or a line end")
    return raw


def handle_name(value: str | bytes) -> bytes:
    """A job handle as bytes: 1 to 63, no NUL, space or line end; 64 bytes in GET_STATUS get no reply at all."""
    return _word("handle", value, MAX_HANDLE)


def client_id(value: str | bytes) -> bytes:
    """A client id as bytes: 1 to 127, no NUL, space or line end, as ``gearadmin --workers`` prints it in a row."""
    return _word("client id", value, MAX_CLIENT_ID)
