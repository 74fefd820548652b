"""The text protocol that administrators speak on a job server's port, both sides. Floor 0; pure.

Law: a request is one line of at most five words, a reply one line or rows ended by a line with a single dot. Commands
are compared without case. What gearmand 1.1.20 answers was taken from its wire, byte for byte; its PROTOCOL file
("Administrative Protocol") is older than that. Names are kept as text that gives back the same bytes
(`gearpool.protocol.names.text`).

The server's side is `parse_request` and the ``format_*`` functions and replies, the client's `request`, `reply_size`
and the ``parse_*`` functions, each the inverse of its ``format_*``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gearpool.errors import LocalProtocolError, RemoteProtocolError, ServerError
from gearpool.protocol.names import text

MAX_LINE = 8192
"""Longest request line in bytes a server takes."""

MOST_WORDS = 5
"""gearmand closes a connection that sends six words or more."""

END = b".\n"
OK = b"OK\r\n"
NO_SUCH_JOB = b"ERR UNKNOWN_JOB\r\n"
NO_SUCH_FUNCTION = b"ERR function not found\r\n"
IN_USE = b"ERR there are still connected workers or executing clients\r\n"
UNKNOWN_SHOW = b"ERR UNKNOWN_SHOW_ARGUMENTS\r\n"


class Command(enum.Enum):
    """What can be asked; the value is the line's beginning."""

    STATUS = "status"
    PRIORITY_STATUS = "prioritystatus"
    WORKERS = "workers"
    SHOW_JOBS = "show jobs"
    SHOW_UNIQUE_JOBS = "show unique jobs"
    CANCEL_JOB = "cancel job"
    CREATE_FUNCTION = "create function"
    DROP_FUNCTION = "drop function"
    MAXQUEUE = "maxqueue"
    GETPID = "getpid"
    VERBOSE = "verbose"
    VERSION = "version"


LISTING = frozenset(
    {Command.STATUS, Command.PRIORITY_STATUS, Command.WORKERS, Command.SHOW_JOBS, Command.SHOW_UNIQUE_JOBS}
)
"""Commands whose reply is rows and a dot; the others answer with one line."""


class FunctionRow(NamedTuple):
    """A row of ``status``: ``total`` includes ``running``; ``workers`` counts registrations."""

    function: str
    total: int
    running: int
    workers: int


class PriorityRow(NamedTuple):
    """A row of ``prioritystatus``: queued jobs only."""

    function: str
    high: int
    normal: int
    low: int
    workers: int


class WorkerRow(NamedTuple):
    """A row of ``workers``: every connection, worker or not; ``id`` is ``-`` when it has set none."""

    fd: int
    address: str
    id: str
    functions: tuple[str, ...]


class JobRow(NamedTuple):
    """A row of ``show jobs``: ``ignored`` means that nobody waits for it and its result is thrown away."""

    handle: str
    retries: int
    ignored: bool
    background: bool


class Request(NamedTuple):
    """A line understood: the command and its arguments as bytes."""

    command: Command
    arguments: tuple[bytes, ...] = ()


class RefusedError(Exception):
    """A line that is no command. ``reply`` is what to answer; None: close the connection, as gearmand does."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__(reply)
        self.reply = reply


# The server's side


def parse_request(line: bytes) -> Request:
    """One request line, without or with its line end.

    Raises:
        RefusedError: it is not a command, or one that lacks something; ``reply`` is the answer.
    """
    words = line.split()
    if len(words) > MOST_WORDS:
        raise RefusedError(None)
    first = words[0].lower() if words else b""
    simple = _SIMPLE.get(first)
    if simple is not None:
        return Request(simple)
    if first == b"maxqueue":
        if len(words) < 2:
            raise RefusedError(incomplete(first))
        return Request(Command.MAXQUEUE, tuple(words[1:]))
    second = words[1].lower() if len(words) > 1 else b""
    if first == b"show" and second:
        if second == b"jobs":
            return Request(Command.SHOW_JOBS)
        if second == b"unique" and len(words) > 2 and words[2].lower() == b"jobs":
            return Request(Command.SHOW_UNIQUE_JOBS)
        raise RefusedError(UNKNOWN_SHOW)
    if first == b"cancel" and second == b"job" and len(words) == 3:
        return Request(Command.CANCEL_JOB, (words[2],))
    if first in (b"create", b"drop"):
        if len(words) < 3:
            raise RefusedError(incomplete(first))
        if second == b"function":
            return Request(Command.CREATE_FUNCTION if first == b"create" else Command.DROP_FUNCTION, (words[2],))
    raise RefusedError(unknown(words[0] if words else b""))


_SIMPLE = {
    command.value.encode(): command
    for command in (
        Command.STATUS,
        Command.PRIORITY_STATUS,
        Command.WORKERS,
        Command.GETPID,
        Command.VERBOSE,
        Command.VERSION,
    )
}


def unknown(word: bytes) -> bytes:
    """The answer to a command nobody knows; the word follows without a separator, as gearmand has it."""
    return b"ERR UNKNOWN_COMMAND Unknown+server+command" + word + b"\r\n"


def incomplete(word: bytes) -> bytes:
    """The answer to a command that lacks arguments."""
    return b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+" + word + b"\r\n"


def queue_limits(arguments: tuple[bytes, ...]) -> tuple[int, int, int]:
    """The limits (high, normal, low) of ``maxqueue F [n | high normal low]``; 0 is no limit.

    One number holds for all three priorities, none lifts the limits; what is no number counts as 0, as in gearmand.
    """
    numbers = [int(word) if word.isdigit() else 0 for word in arguments[1:4]]
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    most = numbers[0] if numbers else 0
    return most, most, most


def ok(value: str) -> bytes:
    """The answer of ``version``, ``getpid`` and ``verbose``."""
    return f"OK {value}\n".encode()


def format_status(rows: Iterable[tuple[bytes, int, int, int]]) -> Iterator[bytes]:
    """The reply's lines, from rows of (function, total, running, workers)."""
    for row in rows:
        yield b"%b\t%d\t%d\t%d\n" % row
    yield END


def format_priority_status(rows: Iterable[tuple[bytes, int, int, int, int]]) -> Iterator[bytes]:
    """The reply's lines, from rows of (function, high, normal, low, workers)."""
    for row in rows:
        yield b"%b\t%d\t%d\t%d\t%d\n" % row
    yield END


def format_workers(rows: Iterable[tuple[int, bytes, bytes, Iterable[bytes]]]) -> Iterator[bytes]:
    """The reply in pieces, from rows of (fd, address, id, functions); an empty id is shown as ``-``."""
    for fd, address, name, functions in rows:
        yield b"%d %b %b :" % (fd, address, name or b"-")
        for function in functions:
            yield b" " + function
        yield b"\n"
    yield END


def format_jobs(rows: Iterable[tuple[bytes, int, bool, bool]]) -> Iterator[bytes]:
    """The reply's lines, from rows of (handle, retries, ignored, background)."""
    for row in rows:
        yield b"%b\t%d\t%d\t%d\n" % row
    yield END


def format_uniques(uniques: Iterable[bytes]) -> Iterator[bytes]:
    r"""The reply's lines, a unique id each; a line end within one is shown as ``\n``, or it would end the row."""
    for unique in uniques:
        yield unique.replace(b"\n", b"\\n") + b"\n"
    yield END


# The client's side


def request(command: Command, *arguments: bytes) -> bytes:
    r"""A request line. It ends in CRLF: a bare LF cuts off the last letter of ``create function``'s argument.

    Raises:
        LocalProtocolError: an argument is empty or has white space, or there are too many.
    """
    words = [command.value.encode(), *arguments]
    line = b" ".join(words)
    for argument in arguments:
        if len(argument.split()) != 1 or argument.split()[0] != argument:
            raise LocalProtocolError(f"{command.value}: {argument!r} is not one word")
    if len(line.split()) > MOST_WORDS:
        raise LocalProtocolError(f"{command.value}: too many arguments")
    return line + b"\r\n"


def reply_size(command: Command, received: bytes) -> int:
    """How many bytes of ``received`` make up the whole reply to ``command``; 0 when some are still missing."""
    if command in LISTING and not received.startswith(b"ERR "):
        if received.startswith(END):
            return len(END)
        at = received.find(b"\n" + END)
        return at + 1 + len(END) if at >= 0 else 0
    return received.find(b"\n") + 1


def parse_ok(reply: bytes) -> str:
    """The value after ``OK``, empty when there is none.

    Raises:
        ServerError: the reply is ``ERR``.
        RemoteProtocolError: it is neither.
    """
    line = text(reply.rstrip(b"\r\n"))
    if line == "OK" or line.startswith("OK "):
        return line[3:]
    raise _refusal(reply)


def parse_status(reply: bytes) -> list[FunctionRow]:
    """The rows of ``status``. Raises as `parse_ok`."""
    return [FunctionRow(name, *_numbers(rest, 3)) for name, rest in _rows(reply, 3)]


def parse_priority_status(reply: bytes) -> list[PriorityRow]:
    """The rows of ``prioritystatus``. Raises as `parse_ok`."""
    return [PriorityRow(name, *_numbers(rest, 4)) for name, rest in _rows(reply, 4)]


def parse_workers(reply: bytes) -> list[WorkerRow]:
    """The rows of ``workers``. Raises as `parse_ok`."""
    rows = []
    for line in _lines(reply):
        words = line.split(" ", 2)
        # "- :" without functions, "ID : F1 F2" with; an id may hold colons, but no space follows them and precedes one.
        name, colon, functions = (words[2] + " ").partition(" : ") if len(words) == 3 else ("", "", "")
        if not colon or not (words[0].isascii() and words[0].isdigit()):
            raise RemoteProtocolError(f"not a row of workers: {line!r}")
        rows.append(WorkerRow(int(words[0]), words[1], name, tuple(each for each in functions.split(" ") if each)))
    return rows


def parse_jobs(reply: bytes) -> list[JobRow]:
    """The rows of ``show jobs``. Raises as `parse_ok`."""
    rows = []
    for handle, rest in _rows(reply, 3):
        retries, ignored, background = _numbers(rest, 3)
        rows.append(JobRow(handle, retries, bool(ignored), bool(background)))
    return rows


def parse_uniques(reply: bytes) -> list[str]:
    """The rows of ``show unique jobs``. Raises as `parse_ok`."""
    return _lines(reply)


def _lines(reply: bytes) -> list[str]:
    if reply != END and not reply.endswith(b"\n" + END):
        raise _refusal(reply)
    return [text(line.removesuffix(b"\r")) for line in reply[: -len(END)].split(b"\n")[:-1]]


def _rows(reply: bytes, numbers: int) -> list[tuple[str, list[str]]]:
    rows = []
    for line in _lines(reply):
        # From the right: a name that came over the binary protocol may have tabs.
        name, *rest = line.rsplit("\t", numbers)
        if len(rest) != numbers:
            raise RemoteProtocolError(f"expected a name and {numbers} numbers, got {line!r}")
        rows.append((name, rest))
    return rows


def _numbers(words: list[str], count: int) -> list[int]:
    if len(words) != count or not all(word.isascii() and word.isdigit() for word in words):
        raise RemoteProtocolError(f"expected {count} numbers, got {words!r}")
    return [int(word) for word in words]


def _refusal(reply: bytes) -> ServerError | RemoteProtocolError:
    line = text(reply.rstrip(b"\r\n"))
    if line.startswith("ERR "):
        # gearmand writes "ERR CODE text" or a sentence ("ERR function not found"); spaces in texts come as plus signs.
        code, _, explanation = line[4:].partition(" ")
        if code.isupper():
            return ServerError(code, explanation.replace("+", " "))
        return ServerError("ERR", line[4:])
    return RemoteProtocolError(f"not a reply of the text protocol: {line[:200]!r}")
