"""Where in the code something was raised or blocked, in words that hold no values of variables. Floor 1; pure.

A place names the innermost frame of the handler's own code: of its package, or of a file that is not part of Python or of an
installed package. Only names and line numbers are kept of frames, so nothing keeps a job or its payload alive.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

from gearpool.status import MAX_MESSAGE, MAX_TRACE

_FIRST, _LAST = 20, 40
"""Frames that are kept of a deep stack, from either end."""
_MAX_CHAIN = 5
_PACKAGE = str(Path(__file__).parent) + "/"
_EXAMPLES = _PACKAGE + "examples.py"
_INTERRUPTS = _PACKAGE + "worker/interrupts.py"
_INSTALLED = re.compile(r".*/(?:site|dist)-packages/")
_STDLIB = tuple({sysconfig.get_path(name) + "/" for name in ("stdlib", "platstdlib")})
_DUMPED = re.compile(r'^ *File "([^"\n]+)", line (\d+),? in (.+)$', re.MULTILINE)
_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


class Frame(NamedTuple):
    """A place in the code."""

    file: str
    line: int
    name: str


class Raised(NamedTuple):
    """One exception of a chain: its ``frames``, the innermost last, and in ``link`` how the next one came of it."""

    name: str
    message: str
    frames: tuple[Frame, ...]
    link: str = ""


def exception_name(error: BaseException) -> str:
    """The name of its class as one would import it: ``requests.exceptions.ConnectionError``, ``gearpool.JobTimeout``."""
    kind = type(error)
    module = "gearpool" if kind.__module__.startswith("gearpool.") else kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """Its message, cut. It never raises."""
    try:
        return cut_message(str(error))
    except BaseException:  # noqa: BLE001 - a handler's own exception class may fail to print itself, in any way
        return "<unprintable>"


def cut_message(text: str) -> str:
    """The text, cut and without what cannot be encoded."""
    shown = text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}... (cut: it has {len(text)} characters)"
    return shown.encode("utf-8", "backslashreplace").decode()


def chain_of(error: BaseException) -> list[Raised]:
    """The exception and those that it came of, in the order in which they were raised."""
    chain: list[Raised] = []
    link, each = "", error
    for _ in range(_MAX_CHAIN):
        chain.append(Raised(exception_name(each), message_of(each), frames_of(each.__traceback__), link))
        if each.__cause__ is not None:
            link, each = _CAUSE, each.__cause__
        elif each.__context__ is not None and not each.__suppress_context__:
            link, each = _CONTEXT, each.__context__
        else:
            break
    return chain[::-1]


def frames_of(trace: TracebackType | None) -> tuple[Frame, ...]:
    """The frames of a traceback, the innermost last, without gearpool's own that called or interrupted the handler."""
    frames = _ends(
        Frame(each.tb_frame.f_code.co_filename, each.tb_lineno, each.tb_frame.f_code.co_qualname)
        for each in _walk(trace)
    )
    return frames[:-1] if frames and frames[-1].file == _INTERRUPTS else frames


def stack_of(frame: FrameType | None) -> tuple[Frame, ...]:
    """The frames of a stack, the innermost last, without gearpool's own that called the handler."""
    found: list[Frame] = []
    while frame is not None:
        found.append(Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
        frame = frame.f_back
    return _ends(reversed(found))


def dumped(stacks: str) -> tuple[Frame, ...]:
    """The frames of the thread that was running in what faulthandler wrote, the innermost last."""
    blocks = re.split(r"^(?=(?:Current thread|Thread) )", stacks, flags=re.MULTILINE)
    block = next((each for each in blocks if each.startswith("Current thread")), blocks[-1])
    return _ends(Frame(file, int(line), name) for file, line, name in reversed(_DUMPED.findall(block)))


def place_of(frames: Sequence[Frame], package: str, roots: Iterable[str] = ()) -> str:
    """Such as ``shop/images.py:41 in thumbnail``; empty without frames.

    Args:
        frames: the innermost last.
        package: the top-level package of the handler.
        roots: folders that are left out of the file's name, as ``sys.path`` has them.
    """
    found = next((frame for frame in reversed(frames) if _is_own(frame.file, package)), None)
    if found is None:
        if not frames or frames[-1].file.startswith(_PACKAGE):
            return ""
        found = frames[-1]
    return f"{_shown(found.file, roots)}:{found.line} in {found.name}"[:MAX_MESSAGE]


def written(chain: Sequence[Raised]) -> str:
    """The traceback as Python prints it, with lines of source; cut to `status.MAX_TRACE` bytes. Reads source files."""
    parts: list[str] = []
    for raised in chain:
        if raised.frames:
            parts.append("Traceback (most recent call last):\n")
            parts += _lines(raised.frames)
        parts.append(f"{raised.name}: {raised.message}\n" if raised.message else f"{raised.name}\n")
        if raised.link:
            parts.append(f"\n{raised.link}\n\n")
    return cut_trace("".join(parts))


def written_stack(frames: Sequence[Frame]) -> str:
    """A stack as Python prints it, the innermost frame last; cut likewise."""
    return cut_trace("".join(_lines(frames)))


def cut_trace(text: str) -> str:
    """At most `status.MAX_TRACE` bytes of ``text``: its beginning, a note of how much was cut, and its end."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= MAX_TRACE:
        return data.decode().rstrip("\n")
    note = f"\n... (cut: it has {len(data)} bytes) ...\n".encode()
    half = (MAX_TRACE - len(note)) // 2
    return b"".join((data[:half], note, data[-half:])).decode("utf-8", "ignore").rstrip("\n")


def _lines(frames: Sequence[Frame]) -> list[str]:
    return traceback.StackSummary.from_list([(frame.file, frame.line, frame.name, None) for frame in frames]).format()


def _walk(trace: TracebackType | None) -> Iterable[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _ends(frames: Iterable[Frame]) -> tuple[Frame, ...]:
    """The first and the last frames, without those of gearpool that come first."""
    rest = iter(frames)
    for first in rest:
        if not first.file.startswith(_PACKAGE) or first.file == _EXAMPLES:
            return (first, *islice(rest, _FIRST - 1), *deque(rest, _LAST))
    return ()


def _is_own(file: str, package: str) -> bool:
    installed = _INSTALLED.match(file)
    if installed is not None:
        inside = file[installed.end() :]
        return inside.startswith(f"{package}/") or inside == f"{package}.py"
    if not file.startswith("/"):
        return file.startswith(f"{package}/")  # compiled code names its source as its author did
    return not file.startswith(_STDLIB) and (not file.startswith(_PACKAGE) or file == _EXAMPLES)


def _shown(file: str, roots: Iterable[str]) -> str:
    installed = _INSTALLED.match(file)
    prefixes = [installed.group()] if installed is not None else []
    prefixes += [root.rstrip("/") + "/" for root in roots if root]
    prefixes += _STDLIB
    longest = max((prefix for prefix in prefixes if file.startswith(prefix)), key=len, default="")
    return file[len(longest) :]
