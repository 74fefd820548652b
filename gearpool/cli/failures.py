"""`gearpool failures`: what failed and what blocked, grouped by function, exception and place. Floor 5."""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

from gearpool.cli import control
from gearpool.cli.tables import brief, counted, screen_width, table
from gearpool.errors import GearpoolError
from gearpool.supervisor.control_client import RefusedError

HELP = "Show what failed, grouped by function, exception and place, with the last traceback of each group."
EXAMPLES = """\
examples:
  gearpool failures
  gearpool failures --function thumbnail
  gearpool failures 3f9c1d2a                 message and traceback of one group
  gearpool failures --stalls                 what blocked the event loop, and for how long
  gearpool failures --json | jq '.failures[] | select(.count > 100)'

PLACE is the innermost line of the handler's own code. Groups are kept until the daemon ends, over reloads and replaced
workers; the 200 seen last are kept. Payloads are never kept.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Which groups, which daemon."""
    parser.add_argument("id", metavar="ID", nargs="?", help="print the last failure or stall of this group")
    parser.add_argument("--stalls", action="store_true", help="show stalls of the event loop instead of failures")
    parser.add_argument("--function", metavar="F", help="only those of this function")
    control.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, choose and show."""
    answer = chosen(control.ask(arguments, "failures"), arguments.function)
    now = time.time()
    if arguments.id is not None:
        return control.show(arguments, group_of(answer, arguments.id), lambda group: details(group, now))
    kind = "stalls" if arguments.stalls else "failures"
    return control.show(arguments, answer, lambda answer: as_text(answer, kind, now, screen_width()))


def chosen(answer: Any, function: str | None) -> Any:
    """The answer with the groups of one function; all of them for None."""
    if function is None:
        return answer
    only = {kind: [each for each in answer[kind] if each["function"] == function] for kind in ("failures", "stalls")}
    return {**answer, **only}


def group_of(answer: Any, name: str) -> Any:
    """The group whose id begins with ``name``.

    Raises:
        GearpoolError: there is none, or several.
    """
    found = [each for kind in ("failures", "stalls") for each in answer[kind] if each["id"].startswith(name)]
    if len(found) != 1:
        many = "several groups have an id that begins with" if found else "there is no failure or stall with the id"
        raise GearpoolError(
            f"{many} {name!r}; see the last column of 'gearpool failures' and 'gearpool failures --stalls'"
        )
    return found[0]


def as_text(answer: Any, kind: str, now: float, width: int | None = None) -> str:
    """A table of failures or of stalls, and how many groups were forgotten."""
    groups, forgotten = answer[kind], answer["forgotten"][kind]
    if not groups:
        text = f"no {kind}"
    elif kind == "stalls":
        head: tuple[str, ...] = ("FUNCTION", "PLACE", "COUNT", "LONGEST", "LAST", "ID")
        stalls = [
            (_function(each), each["place"], each["count"], brief(each["longest_s"]), _ago(each, now), each["id"])
            for each in groups
        ]
        text = table(head, stalls, left=2, width=width)
    else:
        head = ("FUNCTION", "EXCEPTION", "PLACE", "COUNT", "LAST", "ID")
        failures = [
            (each["function"], each["exception"], each["place"], each["count"], _ago(each, now), each["id"])
            for each in groups
        ]
        text = table(head, failures, left=3, width=width)
    return f"{text}\n{counted(forgotten, 'more group')} not seen for a long time" if forgotten else text


def details(group: Any, now: float) -> str:
    """Everything about one group."""
    is_stall = "longest_s" in group
    lines = [f"{_function(group)}: {'blocked' if is_stall else group['exception']}{_at(group)}"]
    first = dt.datetime.fromtimestamp(group["first"]).astimezone().isoformat(sep=" ", timespec="seconds")
    how = f"{brief(group['total_s'])} in all, {brief(group['longest_s'])} at most" if is_stall else group["outcome"]
    lines.append(f"{counted(group['count'], 'time')} since {first}, last {_ago(group, now)} ago: {how}")
    names = ("handle", "unique", "server", "attempt", "worker")
    lines.append(", ".join(f"{name} {group[name]}" for name in names if group.get(name) is not None))
    text = group["stack"] if is_stall else group["traceback"] or group["message"]
    return "\n".join([*lines, *(["", text] if text else [])])


MAX_LINES = 5
RECENT_S = 300.0


def recent(answer: Any, now: float, most: int = MAX_LINES) -> Iterator[str]:
    """A line for each of the last groups of the last minutes, for `gearpool status` and `top`."""
    failures = [each for each in answer["failures"] if now - each["last"] < RECENT_S]
    for each in failures[:most]:
        times = counted(each["count"], "time")
        yield f"{each['function']}: {each['exception']}{_at(each)}, {times}, last {_ago(each, now)} ago"
    if len(failures) > most:
        yield f"{len(failures) - most} more: gearpool failures"
    for each in [each for each in answer["stalls"] if now - each["last"] < RECENT_S][:most]:
        times, longest = counted(each["count"], "time"), brief(each["longest_s"])
        yield f"{_function(each)}: blocked{_at(each)}, {times}, {longest} at most, last {_ago(each, now)} ago"


def recent_lines(arguments: argparse.Namespace, most: int = MAX_LINES) -> list[str]:
    """Ask the daemon for `recent`; nothing from one that is older than this command."""
    try:
        return list(recent(control.ask(arguments, "failures"), time.time(), most))
    except RefusedError:
        return []


def _function(group: Any) -> str:
    return group["function"] or "(no job)"


def _at(group: Any) -> str:
    return f" at {group['place']}" if group["place"] else ""


def _ago(group: Any, now: float) -> str:
    return brief(max(0.0, now - group["last"]))
