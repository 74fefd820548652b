"""How long the dashboard takes to draw an update of 500 functions in Chromium, layout included."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

from playwright.sync_api import sync_playwright

from gearpool import Client
from tests.benchmarks.machine import Row, daemon
from tests.processes import free_port, need, running_gearmand, wait_for

FUNCTIONS = 500
BUSY = 50
"""Functions that run jobs, so that their rows change with each update."""
UPDATES = 20
TIMED = """
window.passes = [];
const request = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => request((time) => {
  const began = performance.now();
  draw(time);
  document.body.offsetHeight;  // has the layout done now
  window.passes.push(performance.now() - began);
});
"""


def rows() -> Iterator[Row]:
    """Return the row of the section of all functions."""
    functions = "".join(f"  f{number:03}: bench_handlers.echo\n" for number in range(FUNCTIONS))
    port = free_port()
    with (
        running_gearmand() as server,
        daemon(server.port, functions, core=None, http={"listen": f"127.0.0.1:{port}"}),
        sync_playwright() as playwright,
        Client(server.address) as client,
    ):
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(TIMED)
        page.goto(f"http://127.0.0.1:{port}/")
        wait_for(lambda: page.locator("tbody tr").count() == FUNCTIONS, "the rows")
        page.evaluate("window.passes = []")
        while len(passes := page.evaluate("window.passes")) < UPDATES:
            for number in range(BUSY):
                client.submit_job(f"f{number:03}", b"x", timeout=30)
            time.sleep(0.5)
        browser.close()
    detail = f"median of {len(passes)}, slowest {max(passes):.0f} ms, {BUSY} functions run jobs"
    yield Row(f"dashboard, an update of {FUNCTIONS} functions, ms", median(passes), "<= 16", detail)
