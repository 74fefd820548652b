"""Words and phrases that the project has replaced by plainer ones do not come back; see the glossary in CONTRIBUTING."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SEARCHED = ("gearpool", "config", "deploy", ".ci", "Makefile", "*.md")
"""Code and documents. Of the tests only their names are searched: some quote input in other words."""

REPLACED: dict[str, str] = {
    r"stares?": "stall detector",
    r"pulses?": "heartbeat",
    r"eyes": "what detects it",
    r"crews?": "greenlet pool",
    r"scouts?": "prober",
    r"hush": "quiet",
    r"be_quiet": "quiet",
    r"hungry": "waiting for work",
    r"deaf": "ignores these signals",
    r"law:": "Invariant:",
    r"laid (together|over|under|beside)": "merged",
    r"judges": "decides",
    r"bears (\d+|only|so much)": "has a capacity of",
    r"let go": "disconnected, released",
    r"never turns|no longer turns|as soon as it turns": "is blocked, yields",
    r"(its|a) letters? (is|are|would|that|to|cannot)": "dead letter",
    r"waits? together": "run concurrently",
    r"in vain": "timed out",
    r"(dies?|tried|killed|blocked) again and again": "repeatedly",
    r"from birth": "from the start",
    r"so many failures": "consecutive failures",
    r"as it stands|as they stand": "as written, unchanged",
    r"goes? round for ever": "loops",
    r"giving up: workers|workers die": "workers keep crashing; shutting down",
    r"unexcused": "unexplained",
    r"is no worker": "does not act as a worker",
    r"what bears": "of limited capacity",
    r"who does not read": "a peer that does not drain its output",
    r"lets? too much pile up": "exceeds max_unsent",
    r"whoever": "a thread (client, reader ...) that",
    r"anew": "again, new, afresh",
    r"all the same": "nevertheless, still",
    r"in the midst of": "during",
    r"(stands?|stood) still": "hangs, is suspended",
    r"in force": "in effect, active",
    r"(is|are) told (already|so|in|with)": "reported",
    r"nobody (misses|reads it|looks|awaits|begins|serves it|waits for)": "name what does not: client, worker, reader",
    r"(?<!there )is no (address|time|file|systemd unit|dependency|valid)": "is not a",
    r"who swallows": "a handler that swallows",
    r"the innocent": "the other jobs",
}
"""A regular expression for whole words, whatever their case: what is written instead."""


def lines() -> list[tuple[str, str]]:
    """Each line of the code and the documents that git tracks, with where it is; and the names of the tests."""
    listed = subprocess.run(["git", "ls-files", *SEARCHED], cwd=ROOT, capture_output=True, text=True, check=True)
    found = []
    for name in listed.stdout.splitlines():
        text = (ROOT / name).read_text()
        found += [(f"{name}:{number}", line) for number, line in enumerate(text.splitlines(), 1)]
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        names = re.findall(r"(?m)^(?:async )?def test_(\w+)", file.read_text())
        found += [(str(file.relative_to(ROOT)), name.replace("_", " ")) for name in names]
    return found


@pytest.fixture(scope="module")
def written() -> list[tuple[str, str]]:
    return lines()


@pytest.mark.parametrize(("phrase", "instead"), REPLACED.items())
def test_a_replaced_phrase_does_not_come_back(phrase: str, instead: str, written: list[tuple[str, str]]) -> None:
    pattern = re.compile(rf"(?<!\w)(?:{phrase})(?!\w)", re.IGNORECASE)
    found = [f"{where}: {line.strip()}" for where, line in written if pattern.search(line)]
    assert not found, f"write {instead!r} instead:\n" + "\n".join(found)
