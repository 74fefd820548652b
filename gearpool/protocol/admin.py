"""The text protocol for administration on a job server's port, both sides. Floor 0; pure.

A request is one line of at most five words; a reply is one line, or rows ended by a line with a single dot. Commands
are case-insensitive. The replies of gearmand 1.1.20 were recorded from its wire, byte for byte; its PROTOCOL file
("Administrative Protocol") is older. Names are kept as text that gives back the same bytes
(`gearpool.protocol.names.text`).

The server's side is `parse_request` and the ``format_*`` functions and replies, the client's `request`, `reply_size`
and the ``parse_*`` functions, each the inverse of its ``format_*``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from gearpool.errors import LocalProtocolError, RemoteProtocolError, ServerError
from gearpool.protocol.names import text
from gearpool.protocol.rows import Rows

_T = TypeVar("_T")

MAX_LINE = 8192
"""Longest request line in bytes a server takes."""

MAX_REPLY = 64 << 20
"""Longest list in bytes a client takes: two million jobs or so."""

MAX_REPLY_LINE = 1 << 16
"""Longest reply of one line a client takes."""

MOST_WORDS = 5
"""gearmand closes a connection that sends six words or more."""

_DIVIDERS = (b" ", b"\r", b"\n", b"\0")

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
    """A row of ``show jobs``: ``ignored`` means that no client waits for it and its result is discarded."""

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
    # At spaces only, as gearmand: a function's name may have a tab.
    words = [word for word in line.strip().split(b" ") if word]
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
        if len(words) != 3:
            raise RefusedError(incomplete(first))
        if second == b"function":
            return Request(Command.CREATE_FUNCTION if first == b"create" else Command.DROP_FUNCTION, (words[2],))
    raise RefusedError(unknown(words[0] if words else b""))


_SIMPLE = {
    command.value.encode(): command
    for command in Command
    if " " not in command.value and command is not Command.MAXQUEUE
}
"""Commands of one word, without arguments."""


def unknown(word: bytes) -> bytes:
    """The answer to an unknown command; the word follows without a separator, as gearmand has it."""
    return b"ERR UNKNOWN_COMMAND Unknown+server+command" + word + b"\r\n"


def incomplete(word: bytes) -> bytes:
    """The answer to a command that lacks arguments."""
    return b"ERR INVALID_ARGUMENTS An+incomplete+set+of+arguments+was+sent+to+this+command+" + word + b"\r\n"


def queue_limits(arguments: tuple[bytes, ...]) -> tuple[int, int, int]:
    """The limits (high, normal, low) of ``maxqueue F [n | high normal low]``; 0 is no limit.

    One number holds for all three priorities, none lifts the limits; what is no number counts as 0, as in gearmand.
    """
    numbers = [_bounded(word) for word in arguments[1:4]]
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    most = numbers[0] if numbers else 0
    return most, most, most


def _bounded(word: bytes) -> int:
    """A queue limit; more than a queue can hold is all that it can, however many digits it has."""
    if not word.isdigit():
        return 0
    digits = word.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _MAX_DIGITS else 2**32 - 1


def ok(value: str) -> bytes:
    """The answer of ``version``, ``getpid`` and ``verbose``."""
    return f"OK {value}\n".encode()


def format_counted(rows: Iterable[tuple[bytes, int, int, int]]) -> Iterator[bytes]:
    """The lines of ``status``, from rows of (function, total, running, workers), and of ``show jobs``, from rows of
    (handle, retries, ignored, background).
    """
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
        if argument.strip() != argument or not argument or any(byte in argument for byte in _DIVIDERS):
            raise LocalProtocolError(
                f"{command.value}: {argument!r} is not one word, which is all that the text protocol can name"
            )
    if line.count(b" ") >= MOST_WORDS:
        raise LocalProtocolError(f"{command.value}: too many arguments")
    return line + b"\r\n"


def reply_size(command: Command, received: bytes | bytearray, max_reply: int = MAX_REPLY) -> int:
    r"""How many bytes of ``received`` make up the whole reply to ``command``; 0 when some are still missing.

    A list ends where what was received ends: a line with a single dot before that belongs to a name with ``\n.\n`` in it.

    Raises:
        RemoteProtocolError: it is longer than any reply may be.
    """
    if command in LISTING and not received.startswith(b"ERR "):
        if received == END or received.endswith(b"\n" + END):
            return len(received)
        size, most = 0, max_reply
    else:
        size, most = received.find(b"\n") + 1, MAX_REPLY_LINE
    if not size and len(received) > most:
        raise RemoteProtocolError(f"the reply to {command.value} has no end within {most >> 10} KiB")
    return size


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


def parse_status(reply: bytes) -> Rows[FunctionRow]:
    """The rows of ``status``. Raises as `parse_ok`."""
    return _counted(reply, 3, lambda name, numbers: FunctionRow(name, *numbers))


def parse_priority_status(reply: bytes) -> Rows[PriorityRow]:
    """The rows of ``prioritystatus``. Raises as `parse_ok`."""
    return _counted(reply, 4, lambda name, numbers: PriorityRow(name, *numbers))


def parse_workers(reply: bytes) -> Rows[WorkerRow]:
    """The rows of ``workers``. Raises as `parse_ok`."""
    rows: Rows[WorkerRow] = Rows()
    begun: list[list[str]] = []
    for line in _lines(reply):
        # A line that does not begin like a row continues the one before: its id, or the last of its functions.
        if _WORKER.match(line) or not begun:
            begun.append([line])
        else:
            begun[-1].append(line)
    for lines in begun:
        line = "\n".join(lines)
        if (row := _worker(line)) is not None:
            rows.append(row)
        else:
            rows.odd.append(line)
    return rows.checked()


_WORKER = re.compile(r"\d{1,10} \S+ ", re.ASCII)


def _worker(line: str) -> WorkerRow | None:
    words = line.split(" ", 2)
    # "- :" without functions, "ID : F1 F2" with; an id may hold colons, but no space follows them and precedes one.
    name, colon, functions = (words[2] + " ").partition(" : ") if len(words) == 3 else ("", "", "")
    if not colon or not _WORKER.match(line):
        return None
    return WorkerRow(int(words[0]), words[1], name, tuple(each for each in functions.split(" ") if each))


def parse_jobs(reply: bytes) -> Rows[JobRow]:
    """The rows of ``show jobs``. Raises as `parse_ok`."""
    return _counted(
        reply,
        3,
        lambda handle, numbers: JobRow(handle, numbers[0], ignored=bool(numbers[1]), background=bool(numbers[2])),
    )


def parse_uniques(reply: bytes) -> Rows[str]:
    """The rows of ``show unique jobs``; an id with line ends in it is several. Raises as `parse_ok`."""
    rows: Rows[str] = Rows()
    rows += _lines(reply)
    return rows


def _lines(reply: bytes) -> list[str]:
    if reply != END and not reply.endswith(b"\n" + END):
        raise _refusal(reply)
    return [text(line.removesuffix(b"\r")) for line in reply[: -len(END)].split(b"\n")[:-1]]


def _counted(reply: bytes, numbers: int, make: Callable[[str, list[int]], _T]) -> Rows[_T]:
    """Rows of a name and this many numbers: a line without them continues in the next, because the name has a line end."""
    rows: Rows[_T] = Rows()
    begun: list[str] = []
    for line in _lines(reply):
        # From the right: a name may have tabs.
        name, *rest = line.rsplit("\t", numbers)
        if len(rest) < numbers or not all(map(_NUMBER.fullmatch, rest)):
            begun.append(line)
            continue
        rows.append(make("\n".join([*begun, name]), [int(word) for word in rest]))
        begun.clear()
    if begun:
        rows.odd.append("\n".join(begun))
    return rows.checked()


_MAX_DIGITS = 10
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)


def _refusal(reply: bytes) -> ServerError | RemoteProtocolError:
    line = text(reply.rstrip(b"\r\n"))
    if line.startswith("ERR "):
        # gearmand writes "ERR CODE text" or a sentence ("ERR function not found"); spaces in texts come as plus signs.
        code, _, explanation = line[4:].partition(" ")
        if code.isupper():
            return ServerError(code, explanation.replace("+", " "))
        return ServerError("ERR", line[4:])
    return RemoteProtocolError(f"not a reply of the text protocol: {line[:200]!r}")
