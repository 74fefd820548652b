"""``make stress``: checks that take too long for a test. Each prints what it did, and an error ends the program.

python -m tests.stress [--interruptions 10000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from gearpool import Client, JobFailed
from tests.integration.daemons import Site
from tests.processes import running_gearmand, wait_for

LOOPS = """
import threading
import gevent
from gevent.lock import BoundedSemaphore

LOCK = threading.Lock()
SEMAPHORE = BoundedSemaphore(3)

def loop(arg):
    n = 0
    with SEMAPHORE:
        while True:
            with LOCK:
                n += 1

def honest(arg):
    gevent.sleep(0.001)
    with LOCK:
        return arg

def held(arg):
    with LOCK:
        return "%d free" % SEMAPHORE.counter
"""


def interruptions(count: int) -> None:
    """Interrupt ``count`` busy loops beside normal jobs; event loop, locks and slots must be intact afterwards."""
    with running_gearmand() as server, tempfile.TemporaryDirectory() as folder:
        site = Site(
            Path(folder),
            f"servers: {server.address}\nlog: {{format: json}}\nprocesses: 2\nfunctions:\n"
            "  loop: {handler: loops.loop, timeout: 10ms, concurrency: 3}\n  honest: loops.honest\n  held: loops.held\n",
        )
        (site.folder / "loops.py").write_text(LOOPS)
        try:
            site.start().until_serving()
            before = site.workers()
            began = time.monotonic()
            with Client(server.address) as client:
                ended = failed = 0
                while ended < count:
                    batch = min(200, count - ended)
                    loops = [client.submit("loop", b"") for _ in range(batch)]
                    honest = [client.submit("honest", b"%d" % number) for number in range(batch)]
                    for future in loops:
                        try:
                            future.result(120)
                        except JobFailed:
                            failed += 1
                    for number, future in enumerate(honest):
                        assert future.result(120) == b"%d" % number
                    ended += batch
                    print(f"\r{ended} interruptions, {ended / (time.monotonic() - began):.0f}/s", end="", flush=True)
                print()
                assert failed == count, f"{count - failed} loops did not fail"
                assert site.workers() == before, "a process was replaced"
                for _ in range(20):
                    held = client.submit_job("held", b"", timeout=30)
                    assert held == b"3 free", f"a lock or a semaphore was lost: {held!r}"
                # Counters are reported once a second.
                wait_for(lambda: site.ask("status")["slots"]["used"] == 0, "all slots to be free again")
        finally:
            site.close()
    print(f"{count} interruptions in place: hub, locks and slots are intact, no process was replaced")


def main() -> int:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interruptions", type=int, default=10_000)
    arguments = parser.parse_args()
    interruptions(arguments.interruptions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
