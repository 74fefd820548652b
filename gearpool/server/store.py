"""Background jobs on disk, in SQLite. Floor 3.

Changes are collected and written in one transaction per iteration of the server's event loop, before any reply of that
iteration is sent: a client that has its handle has it on disk, and a hundred submissions cost one fsync (gearmand
commits each by itself, about 1 300 a second). Foreground jobs are not kept: their clients see the server go.

After a restart jobs have the handles they had, so a client may ask after them; gearmand gives new ones.
"""

from __future__ import annotations

import math
import os
import shlex
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from gearpool.errors import ConfigurationError
from gearpool.protocol.names import MAX_FUNCTION
from gearpool.server.clients import MAX_UNIQUE
from gearpool.server.records import HIGH, LOW, NORMAL, Job
from gearpool.settings import store_problem

MAX_HANDLE = 64

_VERSION = 1
_TABLE = """
CREATE TABLE jobs (
    handle BLOB NOT NULL PRIMARY KEY,
    function BLOB NOT NULL,
    unique_id BLOB NOT NULL,
    priority INTEGER NOT NULL,
    due REAL,
    reducer BLOB NOT NULL,
    data BLOB NOT NULL
)
"""
_COLUMNS = "handle, function, unique_id, priority, due, reducer, data"


class Kept(NamedTuple):
    """A background job as it is on disk; ``due`` in seconds since 1970, None: at once."""

    handle: bytes
    function: bytes
    unique: bytes
    priority: int
    due: float | None
    reducer: bytes
    data: bytes


class StoreError(Exception):
    """What was to be kept could not be written."""


class Store:
    """One file, for one server at a time.

    Args:
        path: the file; it is made when it is not there.

    Raises:
        ConfigurationError: the file cannot be used, or another server is using it.
    """

    def __init__(self, path: str) -> None:
        problem = store_problem(path)
        if problem:
            raise ConfigurationError(f"store: {problem}")
        self._path = path
        self._added: dict[bytes, Kept] = {}
        self._removed: list[tuple[bytes]] = []
        try:
            # One connection in one thread; a busy file is another server's.
            self._file = sqlite3.connect(path, timeout=0.0, isolation_level=None)
            try:
                self._prepare()
                self._identity = _identity(path)
            except BaseException:
                self._file.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ConfigurationError:
        why = str(error)
        if "locked" in why:
            why = "another job server is using it"
        elif isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            why += "; restore it from a backup, or move it away to start with an empty one"
        return ConfigurationError(f"store: {self._path}: {why}")

    def _prepare(self) -> None:
        run = self._file.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        # Before anything is changed: switching to the write-ahead log writes into the file.
        (version,) = run("PRAGMA user_version").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables:
            raise ConfigurationError(f"store: {self._path}: it is the database of another program")
        if version not in (0, _VERSION):
            raise ConfigurationError(f"store: {self._path}: written by another version of gearpool ({version})")
        run("PRAGMA journal_mode = WAL")
        # Every commit reaches the disk, not only the file system's cache.
        run("PRAGMA synchronous = FULL")
        run("BEGIN EXCLUSIVE")
        if version == 0:
            run(_TABLE)
            run(f"PRAGMA user_version = {_VERSION}")
        run("COMMIT")

    def load(self) -> Iterator[Kept]:
        """The jobs that are on disk, in the order of their submission.

        Raises:
            ConfigurationError: the file is damaged, or has a row that is no job.
        """
        try:
            # The rows are read below; this finds what else is damaged and would show only when a job ends.
            (found,) = self._file.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(f"damaged: {' '.join(str(found).split())}")
            for number, *row in self._file.execute(f"SELECT rowid, {_COLUMNS} FROM jobs ORDER BY rowid"):  # noqa: S608 - a constant
                kept = Kept(*row)
                problem = _problem(kept)
                if problem:
                    remedy = f"'DELETE FROM jobs WHERE rowid = {number}'"  # noqa: S608 - for the operator
                    raise ConfigurationError(
                        f"store: {self._path}: row {number} of table jobs is no job: {problem}; "
                        f"delete it with: sqlite3 {shlex.quote(self._path)} {remedy}"
                    )
                yield kept
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def keep(self, job: Job, due: float | None) -> None:
        """Write it with the next `commit`."""
        self._added[job.handle] = Kept(job.handle, job.queue.name, job.unique, job.priority, due, job.reducer, job.data)

    def forget(self, job: Job) -> None:
        """Delete it with the next `commit`."""
        if self._added.pop(job.handle, None) is None:
            self._removed.append((job.handle,))

    @property
    def waiting(self) -> bool:
        """Whether `commit` has something to do."""
        return bool(self._added or self._removed)

    def commit(self) -> None:
        """Write what has come since the last time.

        Raises:
            StoreError: nothing was written. What was to be added is given up (see `drop_added`); what was to be deleted
                is tried again with the next.
        """
        try:
            if _identity(self._path) != self._identity:
                raise StoreError("the file was replaced; restart the job server to use the new one")
        except OSError as error:
            # SQLite would continue to write into a deleted file.
            raise StoreError(
                f"{error.strerror}: the file was deleted or moved; what it held is kept in memory only. Restart the job "
                "server once its jobs are done"
            ) from error
        try:
            self._write()
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error
        self._added.clear()
        self._removed.clear()

    def _write(self) -> None:
        run = self._file.execute
        run("BEGIN IMMEDIATE")
        try:
            many = self._file.executemany
            if self._added:
                many(f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", self._added.values())  # noqa: S608
            if self._removed:
                many("DELETE FROM jobs WHERE handle = ?", self._removed)
            run("COMMIT")
        except BaseException:
            if self._file.in_transaction:
                run("ROLLBACK")
            raise

    def drop_added(self) -> list[bytes]:
        """Give up what could not be written; the handles."""
        handles = list(self._added)
        self._added.clear()
        return handles

    def close(self) -> None:
        """Close the file; what has not been committed is lost."""
        self._file.close()


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - for each commit, and Path costs as much again
    return found.st_dev, found.st_ino


def _problem(kept: Kept) -> str:
    """What is wrong with a row; empty: nothing."""
    for name in ("handle", "function", "unique", "reducer", "data"):
        value = getattr(kept, name)
        if not isinstance(value, bytes):
            return f"{name} is not a blob but {type(value).__name__}"
    if not kept.handle or len(kept.handle) > MAX_HANDLE or b"\0" in kept.handle:
        return f"the handle is {kept.handle[:80]!r}"
    if not kept.function or len(kept.function) > MAX_FUNCTION or b"\n" in kept.function or b"\0" in kept.function:
        return f"the function is {kept.function[:80]!r}"
    if len(kept.unique) > MAX_UNIQUE or b"\0" in kept.unique:
        return f"the unique id is {kept.unique[:80]!r}"
    if b"\0" in kept.reducer:
        return f"the reducer is {kept.reducer[:80]!r}"
    if kept.priority not in (HIGH, NORMAL, LOW) or not isinstance(kept.priority, int):
        return f"the priority is {kept.priority!r}"
    if kept.due is not None and not (isinstance(kept.due, float) and math.isfinite(kept.due)):
        return f"the time is {kept.due!r}"
    return ""
