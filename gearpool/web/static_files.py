"""The files of the dashboard, read once when the process starts: no path of a request ever reaches the disk. Floor 3."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import falcon

FOLDER = Path(__file__).parent / "static"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    data: bytes
    content_type: str
    etag: str


def read_files(folder: Path = FOLDER) -> dict[str, StaticFile]:
    """The files of a folder whose type is known, by name."""
    found = {}
    for path in sorted(folder.glob("*")):
        if path.suffix in TYPES and path.is_file():
            data = path.read_bytes()
            found[path.name] = StaticFile(data, TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:32])
    return found


class StaticFiles:
    """Serves the files by name, and the dashboard itself without one."""

    is_public = True

    def __init__(self, files: dict[str, StaticFile]) -> None:
        self._files = files

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str = INDEX) -> None:
        """The file, or 304 if the client has it."""
        file = self._files.get(name)
        if file is None:
            raise falcon.HTTPNotFound(description=f"there is no file {name[:100]!r}")
        resp.etag = file.etag
        resp.set_header("Cache-Control", "no-cache")  # it may be kept, but is asked for again
        if req.if_none_match and any(each in ("*", file.etag) for each in req.if_none_match):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = file.content_type
        resp.data = file.data
