"""Dead letters over HTTP: list, submit again, drop. Floor 3.

Only files that the configuration names are read or changed. Files and job servers are waited for in a thread, so that health
checks are answered meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import falcon

from gearpool.client import Client
from gearpool.client import dead_letters as actions
from gearpool.dead_letter_file import Letter, read
from gearpool.errors import GearpoolError
from gearpool.web.guard import respond
from gearpool.web.letter_counts import LetterFiles
from gearpool.web.letter_files import listing
from gearpool.web.site import Site
from gearpool.web.steering import Field, read_body
from gearpool.web.threads import in_thread

BY_ID = {
    "file": Field({"type": "string"}, "The file."),
    "ids": Field({"type": "array", "items": {"type": "string"}, "minItems": 1}, "The letters."),
}
BY_KIND = {
    "file": Field({"type": "string"}, "The file."),
    "function": Field({"type": ["string", "null"]}, "Letters of this function; null: of all."),
    "error": Field({"type": ["string", "null"]}, "Letters whose error begins with this; null: all."),
}


class DeadLetters:
    """GET /api/dead-letters."""

    def __init__(self, letters: LetterFiles) -> None:
        self._letters = letters

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The newest letters of each file."""
        respond(resp, {"files": [in_thread(listing, path) for path in self._letters.paths]})


class ChangeDeadLetters:
    """POST /api/dead-letters/retry and /drop: letters by their ids, or all of a kind."""

    def __init__(self, site: Site, *, retry: bool) -> None:
        self._site = site
        self._retry = retry

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The answer says how many."""
        body = read_body(req, BY_ID, BY_KIND)
        path = body["file"]
        if path not in self._site.letters.paths:
            raise falcon.HTTPConflict(description="the configuration has no such file of dead letters")
        with self._site.letters.changing:
            try:
                count = in_thread(self._change, Path(path), body)
            except OSError as error:
                raise falcon.HTTPConflict(description=f"{path}: {error.strerror or error}") from error
            except GearpoolError as error:
                raise falcon.HTTPConflict(description=f"not all letters were submitted again: {error}") from error
        respond(resp, {"ok": True, "result": {"file": path, "submitted" if self._retry else "dropped": count}})

    def _change(self, path: Path, body: dict[str, Any]) -> int:
        ids, function, error = frozenset(body.get("ids", ())), body.get("function"), body.get("error")
        letters = [
            letter
            for _, letter in read(path)
            if isinstance(letter, Letter) and actions.is_selected(letter, ids, function, error)
        ]
        if not self._retry:
            return actions.drop(path, {letter.id for letter in letters})
        with Client(self._site.settings.servers, connect_timeout=5.0, request_timeout=10.0) as client:
            return actions.retry(client, path, letters)
