"""`gearpool dead`: the letters of jobs that were given up. Floor 5; the file is `gearpool.deadfile`'s."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from gearpool import deadfile
from gearpool.cli import exits, servers
from gearpool.cli.tables import shown
from gearpool.deadfile import BadLetter, Letter
from gearpool.errors import GearpoolError

HELP = "list, show, submit again or drop the letters of a dead-letter file"
EXAMPLES = """examples:
  gearpool dead list dead-letters.jsonl
  gearpool dead show dead-letters.jsonl 3f2a91c04b7d
  gearpool dead retry dead-letters.jsonl 3f2a91c04b7d     # as a background job; dropped once the server has it
  gearpool dead retry dead-letters.jsonl --all
  gearpool dead drop dead-letters.jsonl --function thumbnail
"""
INTERMIXED = True
DROP_EVERY_S = 1.0
_BAD_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("list", "show", "retry", "drop"))
    parser.add_argument("file", type=Path, help="the file that `dead_letter: {file: …}` names")
    parser.add_argument(
        "ids", nargs="*", default=[], metavar="ID", help="which letters; for list and show: default all"
    )
    parser.add_argument("--all", action="store_true", help="retry, drop: every letter")
    parser.add_argument("--function", help="only letters of this function")
    parser.add_argument("--json", action="store_true", help="JSON, one letter a line")
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
            return exits.USAGE
        code = _ACTIONS[arguments.action](arguments, letters)
    except OSError as error:
        print(f"gearpool dead: {arguments.file}: {error.strerror or error}", file=sys.stderr)
        return exits.FAILED
    return exits.FAILED if missing else code


def _letters(arguments: argparse.Namespace) -> list[Letter]:
    letters = []
    bad: list[str] = []
    good = 0
    for number, letter in deadfile.read(arguments.file):
        if isinstance(letter, BadLetter):
            if len(bad) <= _BAD_SHOWN:
                bad.append(f"{arguments.file}:{number}: {letter}")
            continue
        good += 1
        if (not arguments.ids or letter.id in arguments.ids) and arguments.function in (None, letter.function):
            letters.append(letter)
    for text in bad[:_BAD_SHOWN]:
        print(f"gearpool dead: {shown(text)}", file=sys.stderr)
    if len(bad) > _BAD_SHOWN:
        print("gearpool dead: … and more lines that are no letter", file=sys.stderr)
    if bad and not good:
        raise GearpoolError(f"{arguments.file} is no file of dead letters: not one of its lines is a letter")
    return letters


def _list(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    for letter in letters:
        if arguments.json:
            print(json.dumps(_fields(letter)))
        else:
            function, error = shown(letter.function), shown(letter.error.partition("\n")[0])
            print(f"{letter.id}  {_moment(letter.time)}  {function}  attempts {letter.attempts}  {error}")
    return exits.OK


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
    return exits.OK


def _retry(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    submitted: set[str] = set()
    dropped_at = time.monotonic()
    with servers.make_client(arguments) as client:
        try:
            for letter in letters:
                # The letter's own id as unique: submitted twice, after a crash in between say, it is one job.
                job = client.submit_background_job(letter.function, letter.payload, unique=f"dead-{letter.id}")
                submitted.add(letter.id)
                print(shown(str(job)))
                # Not after each: to drop letters is to write the whole file again.
                if time.monotonic() - dropped_at >= DROP_EVERY_S:
                    deadfile.remove(arguments.file, lambda each: each.id in submitted)
                    dropped_at = time.monotonic()
        finally:
            deadfile.remove(arguments.file, lambda each: each.id in submitted)
    print(f"{len(submitted)} submitted", file=sys.stderr)
    return exits.OK


def _drop(arguments: argparse.Namespace, letters: list[Letter]) -> int:
    ids = {letter.id for letter in letters}
    dropped = deadfile.remove(arguments.file, lambda letter: letter.id in ids)
    print(f"{len(dropped)} dropped", file=sys.stderr)
    return exits.OK


def _moment(when: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(when))
    except (OverflowError, ValueError, OSError):
        return f"{when:g}"  # whoever wrote that: it is still a letter


def _fields(letter: Letter) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(letter.line())
    return fields


_ACTIONS = {"list": _list, "show": _show, "retry": _retry, "drop": _drop}
