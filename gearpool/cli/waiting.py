"""Informs the user when a job waits because no worker serves its function. Floor 5."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gearpool.cli import servers
from gearpool.cli.tables import duration
from gearpool.errors import GearpoolError

if TYPE_CHECKING:
    from gearpool.client import Client

SILENCE_S = 2.0
"""After this much silence the servers are asked whether a worker serves the function."""


@contextlib.contextmanager
def told_if_nobody_serves(client: Client, function: str, timeout_s: float | None) -> Iterator[threading.Event]:
    """Report once on standard error that no worker serves ``function``, if the job makes no progress within SILENCE_S.

    Yields an event to set at the first sign of progress; the end of the block sets it, too.
    """
    heard = threading.Event()
    thread = threading.Thread(target=_tell, args=(client, function, timeout_s, heard), daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        heard.set()


def _tell(client: Client, function: str, timeout_s: float | None, heard: threading.Event) -> None:
    if heard.wait(SILENCE_S):
        return
    with contextlib.suppress(GearpoolError):  # a server that is down is reported with the job
        where = unserved(client, function)
        if where and not heard.is_set():
            limit = "without limit" if timeout_s is None else f"for {duration(timeout_s)} at most"
            servers.complain(f"no worker serves {function} on {', '.join(where)}: waiting {limit} (--timeout)")


def unserved(client: Client, function: str) -> list[str]:
    """The servers on which no worker is registered for it.

    Raises:
        NoServersAvailable: none of the servers answers.
    """
    return [
        server
        for server, rows in client.admin.status().items()
        if not any(row.workers for row in rows if row.function == function)
    ]
