"""A reverse proxy in front of a daemon."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from collections.abc import Iterator
from typing import Any


class Proxy(http.server.BaseHTTPRequestHandler):
    """Serves the daemon below a prefix, with another Host. It holds every answer back until it is complete."""

    upstream = 0
    prefix = "/ops/pool"

    def do_GET(self) -> None:
        self._forward(None)

    def do_POST(self) -> None:
        self._forward(self.rfile.read(int(self.headers["Content-Length"])))

    def _forward(self, body: bytes | None) -> None:
        if not self.path.startswith(self.prefix):
            self.send_error(404)
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=20)
        names = ("Authorization", "Content-Type", "Origin", "Sec-Fetch-Site")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        connection.request(self.command, self.path.removeprefix(self.prefix) or "/", body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name in ("Content-Type", "Location"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def prefix_proxy(port: int) -> Iterator[str]:
    """Run a proxy in front of ``port``; the value is the address that it serves."""
    handler = type("Proxy", (Proxy,), {"upstream": port})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{Proxy.prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
