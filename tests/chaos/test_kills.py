"""Random processes are killed repeatedly under load. GEARPOOL_KILLS is how often (default 10)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time

import pytest

from gearpool import Client
from gearpool.errors import GearpoolError
from tests.integration.conftest import Sites
from tests.integration.daemons import children_of, configuration
from tests.processes import Gearmand, free_port, wait_for

KILLS = int(os.environ.get("GEARPOOL_KILLS", "10"))


def test_no_job_is_lost_when_workers_are_killed_at_any_moment(sites: Sites, gearmand: Gearmand) -> None:
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
            with contextlib.suppress(ProcessLookupError):  # it may have ended since
                os.kill(rng.choice(victims), signal.SIGKILL)
            # At a random moment: while it starts, registers or works.
            time.sleep(rng.random() * 0.5)
    finally:
        stop.set()
        producer.join()
    wait_for(lambda: len(set(site.lines("ended"))) == len(submitted), "all jobs to end", 60.0)
    assert site.ask("status")["state"] == "running"
    site.send(signal.SIGTERM)
    assert site.wait() == 0


@pytest.mark.timeout(300)
def test_no_acknowledged_job_is_lost_when_workers_and_the_embedded_server_are_killed_at_any_moment(
    sites: Sites,
) -> None:
    port = free_port()
    site = sites(configuration("embedded", processes=2, embedded=f"{{listen: '127.0.0.1:{port}', store: jobs.sqlite}}"))
    site.start().until_serving()
    assert site.process is not None
    supervisor = site.process.pid
    stop = threading.Event()
    acknowledged: list[str] = []

    def submit() -> None:
        number = 0
        while not stop.is_set():
            # A new client each time: the previous one may have marked the server as down and be backing off.
            with contextlib.suppress(GearpoolError), Client(f"127.0.0.1:{port}") as client:
                while not stop.is_set():
                    number += 1
                    client.submit_background_job("nap", f"job{number} 0.02", timeout=10)
                    acknowledged.append(f"job{number}")
            stop.wait(0.02)

    producer = threading.Thread(target=submit)
    producer.start()
    rng = random.Random(4731)
    try:
        for _ in range(KILLS):
            victims = wait_for(lambda: children_of(supervisor), "a child")
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(victims), signal.SIGKILL)
            # A job server that is killed repeatedly is restarted after a second: leave time for jobs in between.
            time.sleep(rng.random() * 1.5)
    finally:
        stop.set()
        producer.join()
    wait_for(lambda: set(acknowledged) <= set(site.lines("ended")), "all jobs to end", 60.0)
    assert len(acknowledged) > KILLS
    assert site.ask("status")["state"] == "running"
    site.send(signal.SIGTERM)
    assert site.wait() == 0
