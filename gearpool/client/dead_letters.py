"""Selects dead letters of a file, submits them again, and takes them out of it. Floor 3; blocks its thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from gearpool import dead_letter_file
from gearpool.client.client import Client
from gearpool.dead_letter_file import Letter

DROP_EVERY_S = 1.0


def is_selected(
    letter: Letter, ids: Collection[str] = (), function: str | None = None, error: str | None = None
) -> bool:
    """Whether a letter has one of these ids (none: any), is of this function, and its error begins with this text."""
    return (
        (not ids or letter.id in ids)
        and function in (None, letter.function)
        and (error is None or letter.error.startswith(error))
    )


def retry(
    client: Client, path: Path, letters: Iterable[Letter], on_submitted: Callable[[object], object] = lambda _: None
) -> int:
    """Submit letters again as background jobs, and drop each once a server has it; returns how many.

    Args:
        client: submits them.
        path: the file that they are in.
        letters: which.
        on_submitted: called with each job.

    Raises:
        GearpoolError: a letter could not be submitted; it and those after it are still in the file.
        OSError: the file could not be written.
    """
    submitted: set[str] = set()
    dropped_at = time.monotonic()
    try:
        for letter in letters:
            # The letter's own id as unique: submitted twice, after a crash in between say, it is one job.
            job = client.submit_background_job(letter.function, letter.payload, unique=f"dead-{letter.id}")
            submitted.add(letter.id)
            on_submitted(job)
            # Not after each: to drop letters is to write the whole file again.
            if time.monotonic() - dropped_at >= DROP_EVERY_S:
                drop(path, submitted)
                dropped_at = time.monotonic()
    finally:
        drop(path, submitted)
    return len(submitted)


def drop(path: Path, ids: Collection[str]) -> int:
    """Take letters out of the file; returns how many.

    Raises:
        OSError: the file could not be written.
    """
    return len(dead_letter_file.remove(path, lambda letter: letter.id in ids)) if ids else 0
