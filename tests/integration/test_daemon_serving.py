from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter

import pytest

from gearpool import Client
from gearpool.errors import GearpoolError
from tests.integration.conftest import Sites
from tests.integration.daemons import configuration
from tests.processes import Gearmand, accepts, free_port, running_gearmand, wait_for

LIMITED = "  spin: {handler: site_handlers.spin, timeout: 1s}\n"


STRAYS = """
import signal, sys
import gevent


def raise_late(number, frame):
    raise LookupError("late")


def stray(arg):
    if arg == b"signal":
        signal.signal(signal.SIGALRM, raise_late)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
    else:
        gevent.spawn(sys.exit, 3)
    time.sleep(0.5)
    return b"%d" % os.getpid()
"""


def embedded(port: int) -> str:
    return configuration("embedded", embedded=f'{{listen: "127.0.0.1:{port}"}}')


def test_the_embedded_server_and_a_worker_serve_a_client(sites: Sites) -> None:
    port = free_port()
    site = sites(embedded(port)).start().until_serving()
    answer = site.gearpool("submit", "record", "hello", "--servers", f"127.0.0.1:{port}")
    assert (answer.returncode, answer.stdout.strip()) == (0, "olleh"), answer.stderr


def test_a_dead_embedded_server_is_replaced_and_served_again(sites: Sites) -> None:
    port = free_port()
    site = sites(embedded(port)).start().until_serving()
    before = site.ask("status")["jobserver"]["pid"]
    os.kill(before, signal.SIGKILL)

    def replaced() -> bool:
        now = site.ask("status")["jobserver"]
        return now is not None and now["state"] == "ready" and now["pid"] != before

    wait_for(replaced, "another job server")
    with Client(f"127.0.0.1:{port}") as client:
        assert client.submit_job("record", "ab", timeout=20) == b"ba"


def test_a_port_in_use_ends_startup_with_exit_code_73(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(embedded(gearmand.port)).start()
    assert site.wait() == 73
    assert str(gearmand.port) in site.events("daemon.start_failed")[0]["message"]


def test_two_gearmands_are_both_served_and_one_may_restart(sites: Sites, gearmand: Gearmand) -> None:
    with running_gearmand() as other:
        site = sites(configuration(f'["{gearmand.address}", "{other.address}"]')).start().until_serving(2)
        for address in (gearmand.address, other.address):
            with Client(address) as client:
                assert client.submit_job("record", "ab", timeout=10) == b"ba"
        other.kill()
        with Client(gearmand.address) as client:
            assert client.submit_job("record", "ab", timeout=10) == b"ba"
        other.start()
        with Client(other.address) as client:
            assert client.submit_job("record", "ab", timeout=10) == b"ba"
        assert site.ask("status")["state"] == "running"


def test_background_jobs_survive_kill_9_of_the_worker_process(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address)).start().until_serving()
    with Client(gearmand.address) as client:
        list(client.submit_background_jobs("nap", [f"job{n} 0.3" for n in range(500)]))
    wait_for(lambda: len(site.lines("began")) >= 50, "some jobs to begin")
    os.kill(site.workers()[0], signal.SIGKILL)
    wait_for(lambda: len(set(site.lines("ended"))) == 500, "all jobs to end")


def test_a_loop_that_never_yields_fails_at_its_limit_and_the_others_complete(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address, functions=LIMITED)).start().until_serving()
    before = site.workers()
    with Client(gearmand.address) as client:
        naps = [client.submit("nap", f"job{n} 1.5") for n in range(49)]
        wait_for(lambda: len(site.lines("began")) == 49, "the naps to begin")
        spinning = client.submit("spin", "x")
        assert isinstance(spinning.exception(timeout=20), Exception)
        assert [nap.result(timeout=20) for nap in naps] == [f"job{n}".encode() for n in range(49)]
    assert site.workers() == before
    assert not site.events("worker.killed")


def test_a_job_that_hangs_in_c_is_killed_and_blamed_and_finally_not_run_again(sites: Sites, gearmand: Gearmand) -> None:
    functions = "  stuck: {handler: site_handlers.hold_the_gil, poison: {kills: 2}}\n"
    site = sites(configuration(gearmand.address, functions=functions, stall_timeout="1s")).start().until_serving()
    with Client(gearmand.address) as client:
        handles = list(client.submit_background_jobs("nap", [f"job{n} 0.5" for n in range(20)]))
        assert handles
        stuck = client.submit("stuck", "x", unique="culprit")
        assert isinstance(stuck.exception(timeout=60), Exception)
        wait_for(lambda: len(set(site.lines("ended"))) == 20, "the other jobs to end")
    assert "hold_the_gil" in site.events("worker.killed")[0]["stacks"]
    assert [event["kills"] for event in site.events("job.blamed")] == [1, 2]
    assert {event["function"] for event in site.events("job.blamed")} == {"stuck"}


def test_status_jobs_and_ping_answer_while_the_only_worker_is_blocked(sites: Sites, gearmand: Gearmand) -> None:
    functions = "  stuck: {handler: site_handlers.hold_the_gil}\n"
    site = sites(configuration(gearmand.address, functions=functions, stall_timeout="60s")).start().until_serving()
    with Client(gearmand.address) as client:
        client.submit_background_job("stuck", "x")
        wait_for(lambda: site.lines("began"), "the job to begin")
    wait_for(lambda: site.ask("status")["workers"][0]["stalled_s"] > 0, "the stall to be seen")
    assert site.gearpool("ping", "-c", str(site.path)).returncode == 0
    assert "stuck" in site.gearpool("jobs", "-c", str(site.path)).stdout
    assert "hold_the_gil" in site.gearpool("stacks", "-c", str(site.path)).stdout
    assert "blocked" in site.gearpool("status", "-c", str(site.path)).stdout.lower()


@pytest.mark.timeout(120)
def test_gearmand_replaced_gracefully_under_load_loses_nothing(sites: Sites, gearmand: Gearmand) -> None:
    """The new gearmand listens on the same port while the old one still finishes its jobs."""
    site = sites(configuration(gearmand.address, concurrency=100)).start().until_serving()
    submitted: list[str] = []
    unsure: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        with Client(gearmand.address) as client:
            while not stop.is_set():
                name = f"job{len(submitted) + len(unsure)}"
                try:
                    client.submit_background_job("nap", f"{name} 0.2", timeout=5)
                except GearpoolError:
                    unsure.append(name)
                    time.sleep(0.01)
                else:
                    submitted.append(name)

    with Client(gearmand.address) as client:
        list(client.submit_background_jobs("nap", [f"old{n} 0.2" for n in range(1000)]))
    producer = threading.Thread(target=submit)
    producer.start()
    old = gearmand.process
    assert old is not None
    try:
        wait_for(lambda: len(site.lines("ended")) >= 100, "the load to be under way")
        gearmand.signal(signal.SIGUSR1)
        wait_for(lambda: not accepts(gearmand.port), "the old gearmand to stop listening")
        successor = Gearmand(port=gearmand.port)
        try:
            # A client of the old one keeps it running for as long as it submits.
            stop.set()
            producer.join()
            wait_for(lambda: old.poll() is not None, "the old gearmand to exit", 60.0)
            submitted_to_old = len(submitted)
            stop.clear()
            producer = threading.Thread(target=submit)
            producer.start()
            wait_for(lambda: len(submitted) >= submitted_to_old + 100, "jobs for the successor")
            stop.set()
            producer.join()
            expected = {*submitted, *(f"old{n}" for n in range(1000))}
            wait_for(lambda: expected <= set(site.lines("ended")), "every job to end", 60.0)
        finally:
            successor.stop()
    finally:
        stop.set()
        producer.join()
    ended = Counter(site.lines("ended"))
    assert {name for name, times in ended.items() if times > 1} == set()
    assert set(ended) - expected <= set(unsure)


@pytest.mark.parametrize(("way", "error"), [(b"signal", "LookupError: late"), (b"greenlet", "SystemExit: 3")])
def test_an_exception_in_work_left_behind_by_a_handler_does_not_end_its_worker(
    sites: Sites, gearmand: Gearmand, way: bytes, error: str
) -> None:
    site = sites(configuration(gearmand.address, "  stray: site_handlers.stray\n"))
    site.handlers.write_text(site.handlers.read_text() + STRAYS)
    site.start().until_serving()
    with Client(gearmand.address) as client:
        assert int(client.submit_job("stray", way, timeout=30)) in site.workers()
    (event,) = site.events("worker.stray_exception")
    assert event["error"] == error
