"""`gearpool dead`: the dead letters of jobs that were given up. Floor 5; the file is `gearpool.dead_letter_file`'s."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from gearpool import dead_letter_file, exit_codes
from gearpool.cli import servers
from gearpool.cli.tables import shown
from gearpool.dead_letter_file import BadLetter, Letter
from gearpool.errors import GearpoolError

HELP = "List, show, submit again or drop the dead letters of a file."
EXAMPLES = """examples:
  gearpool dead list dead-letters.jsonl
  gearpool dead show dead-letters.jsonl 3f2a91c04b7d
  gearpool dead retry dead-letters.jsonl 3f2a91c04b7d     # as a background job; dropped once the server has it
  gearpool dead retry dead-letters.jsonl --all
  gearpool dead drop dead-letters.jsonl --function thumbnail
"""
INTERMIXED = True
_BAD_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("list", "show", "retry", "drop"))
    parser.add_argument("file", type=Path, help="the file named by `dead_letter: {file: …}`")
    parser.add_argument(
        "ids", nargs="*", default=[], metavar="ID", help="the dead letters; default for list and show: all"
    )
    parser.add_argument("--all", action="store_true", help="for retry and drop: all dead letters")
    parser.add_argument("--function", help="only dead letters of this function")
    parser.add_argument("--json", action="store_true", help="print JSON, one dead letter a line")
    servers.add_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    try:
        letters = _letters(arguments)
        missing = set(arguments.ids) - {letter.id for letter in letters}
        for name in sorted(missing):
            print(f"gearpool dead: there is no letter {name} in {arguments.file}", file=sys.stderr)
        if arguments.action in ("retry", "drop") and not (arguments.ids or arguments.all or arguments.function):
            print(f"gearpool dead {arguments.action}: name letters, or give --function or --all", file=sys.stderr)
            return exit_codes.USAGE
        code = _ACTIONS[arguments.action](arguments, letters)
    except OSError as error:
        print(f"gearpool dead: {arguments.file}: {error.strerror or error}", file=sys.stderr)
        return exit_codes.FAILED
    return exit_codes.FAILED if missing else code


def _letters(arguments: argparse.Namespace) -> list[Letter]:
    from gearpool.client import dead_letters

    letters = []
    bad: list[str] = []
    good = 0
    for number, letter in dead_letter_file.read(arguments.file):
        if isinstance(letter, BadLetter):
            if len(bad) <= _BAD_SHOWN:
                bad.append(f"{arguments.file}:{number}: {letter}")
            continue
        good += 1
        if dead_letters.is_selected(letter, arguments.ids, arguments.function):
            letters.append(letter)
    for text in bad[:_BAD_SHOWN]:
        print(f"gearpool dead: {shown(text)}", file=sys.stderr)
    if len(bad) > _BAD_SHOWN:
        print("gearpool dead: … and more lines that are no letter", file=sys.stderr)
    if bad and not good:
        raise GearpoolError(f"{arguments.file} is not a dead-letter file: none of its lines is a dead letter")
    return letters


def _list(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    for letter in letters:
        if arguments.json:
            print(json.dumps(_fields(letter)))
        else:
            function, error = shown(letter.function), shown(letter.error.partition("\n")[0])
            print(f"{letter.id}  {_moment(letter.time)}  {function}  attempts {letter.attempts}  {error}")
    return exit_codes.OK


def _show(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    for letter in letters:
        if arguments.json:
            print(json.dumps(_fields(letter)))
            continue
        for name, value in _fields(letter).items():
            if name not in ("traceback", "payload"):
                print(f"{name:10} {_moment(letter.time) if name == 'time' else shown(str(value))}")
        print(f"{'payload':10} {letter.payload[:1000]!r}{'…' * (len(letter.payload) > 1000)} ({len(letter.payload)} B)")
        print("\n".join(map(shown, letter.traceback.split("\n"))))
    return exit_codes.OK


def _retry(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    from gearpool.client import dead_letters

    submitted = 0

    def on_submitted(job: object) -> None:
        nonlocal submitted
        submitted += 1
        print(shown(str(job)))

    with servers.make_client(arguments) as client:
        dead_letters.retry(client, arguments.file, letters, on_submitted)
    print(f"{submitted} submitted", file=sys.stderr)
    return exit_codes.OK


def _drop(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    from gearpool.client import dead_letters

    dropped = dead_letters.drop(arguments.file, {letter.id for letter in letters})
    print(f"{dropped} dropped", file=sys.stderr)
    return exit_codes.OK


def _moment(when: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(when))
    except (OverflowError, ValueError, OSError):
        return f"{when:g}"  # another program wrote this, but it is still a dead letter


def _fields(letter: Letter) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(letter.line())
    return fields


_ACTIONS = {"list": _list, "show": _show, "retry": _retry, "drop": _drop}
