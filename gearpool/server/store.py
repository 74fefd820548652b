"""Background jobs on disk, in SQLite. Floor 3.

Law: what the ledger says is collected and written in one transaction a turn of the server's loop, before any reply of
that turn is sent: a client that has its handle has it on disk, and a hundred submissions cost one fsync (gearmand
commits each by itself, about 1 300 a second). Foreground jobs are not kept: their clients see the server go.

After a restart jobs have the handles they had, so a client may ask after them; gearmand gives new ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from gearpool.errors import ConfigurationError
from gearpool.server.queues import Job

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


class Store:
    """One file, for one server at a time.

    Args:
        path: the file; it is made when it is not there.

    Raises:
        ConfigurationError: the file cannot be used, or another server is using it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._added: dict[bytes, Kept] = {}
        self._removed: list[tuple[bytes]] = []
        try:
            # One connection in one thread; a busy file is another server's.
            self._file = sqlite3.connect(path, timeout=0.0, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._file.close()
                raise
        except sqlite3.Error as error:
            why = "another job server is using it" if "locked" in str(error) else str(error)
            raise ConfigurationError(f"store: {path}: {why}") from error

    def _prepare(self) -> None:
        run = self._file.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        # Every commit reaches the disk, not only the file system's cache.
        run("PRAGMA synchronous = FULL")
        run("BEGIN EXCLUSIVE")
        (version,) = run("PRAGMA user_version").fetchone()
        if version == 0:
            run(_TABLE)
            run(f"PRAGMA user_version = {_VERSION}")
        run("COMMIT")
        if version not in (0, _VERSION):
            raise ConfigurationError(f"store: {self._path}: written by another version of gearpool ({version})")

    def load(self) -> Iterator[Kept]:
        """The jobs that are on disk, in the order of their submission."""
        for row in self._file.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY rowid"):  # noqa: S608 - a constant
            yield Kept(*row)

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
            sqlite3.Error: nothing was written. What was to be added is given up (see `drop_added`); what was to be
                deleted is tried again with the next.
        """
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
        self._added.clear()
        self._removed.clear()

    def drop_added(self) -> list[bytes]:
        """Give up what could not be written; the handles."""
        handles = list(self._added)
        self._added.clear()
        return handles

    def close(self) -> None:
        """Close the file; what has not been committed is lost."""
        self._file.close()
