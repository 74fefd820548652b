"""kill -9 of whatever runs, again and again, under load. GEARPOOL_KILLS says how often (default 10)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import configuration
from tests.processes import Gearmand, wait_for

KILLS = int(os.environ.get("GEARPOOL_KILLS", "10"))


def test_nothing_is_lost_when_workers_are_killed_at_any_moment(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address, processes=2)).start().until_serving()
    stop = threading.Event()
    submitted: list[str] = []

    def submit() -> None:
        with Client(gearmand.address) as client:
            while not stop.is_set():
                names = [f"job{len(submitted) + n}" for n in range(20)]
                list(client.submit_background_jobs("nap", [f"{name} 0.05" for name in names]))
                submitted.extend(names)
                stop.wait(0.05)

    producer = threading.Thread(target=submit)
    producer.start()
    rng = random.Random(4730)
    try:
        for _ in range(KILLS):
            victims = wait_for(lambda: site.workers("starting", "ready"), "a worker")
            os.kill(rng.choice(victims), signal.SIGKILL)
            # Any moment: while it starts, registers, works.
            time.sleep(rng.random() * 0.5)
    finally:
        stop.set()
        producer.join()
    wait_for(lambda: len(set(site.lines("ended"))) == len(submitted), "all jobs to end", 60.0)
    assert site.ask("status")["state"] == "running"
    site.send(signal.SIGTERM)
    assert site.wait() == 0
