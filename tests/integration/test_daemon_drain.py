from __future__ import annotations

import os
import signal

import pytest

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import configuration
from tests.processes import Gearmand, free_port, wait_for
from tests.supervisor.daemons import exists


def test_sigterm_with_1000_jobs_in_flight_completes_every_one_and_exits_0(sites: Sites, server: str) -> None:
    site = sites(configuration(server, concurrency=1000)).start().until_serving()
    with Client(server) as client:
        list(client.submit_background_jobs("nap", [f"job{n} {n % 31 / 10}" for n in range(1000)]))
        # Those of 0 s may have ended by now; the others are in flight.
        wait_for(lambda: len(site.lines("began")) == 1000, "all jobs to begin")
    site.send(signal.SIGTERM)
    assert site.wait() == 0
    assert sorted(site.lines("ended")) == sorted(f"job{n}" for n in range(1000))


def test_jobs_that_outlast_the_drain_are_completed_by_another_daemon(sites: Sites, server: str) -> None:
    site = sites(configuration(server, drain_timeout="1s")).start().until_serving()
    with Client(server) as client:
        list(client.submit_background_jobs("nap", [f"job{n} {600 if n % 2 else 0.5}" for n in range(20)]))
        wait_for(lambda: len(site.lines("began")) == 20, "all jobs to begin")
        site.send(signal.SIGTERM)
        assert site.wait() == 1
        assert len(site.lines("ended")) == 10
    other = sites(configuration(server))
    other.handlers.write_text(other.handlers.read_text().replace("float(seconds)", "0.1"))
    other.start().until_serving()
    wait_for(lambda: len(other.lines("ended")) == 10, "the rest to be completed")
    assert sorted(site.lines("ended") + other.lines("ended")) == sorted(f"job{n}" for n in range(20))


def test_the_log_lists_the_running_jobs_while_draining(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address)).start().until_serving()
    with Client(gearmand.address) as client:
        client.submit_background_job("nap", "slow 5")
        wait_for(lambda: site.lines("began"), "the job to begin")
    site.send(signal.SIGTERM)
    wait_for(lambda: site.events("worker.draining"), "the log of the drain")
    assert "nap" in str(site.events("worker.draining")[0]["waiting_for"])
    assert site.wait() == 0


def test_a_second_sigint_hands_the_jobs_back_immediately(sites: Sites, server: str) -> None:
    site = sites(configuration(server, drain_timeout="600s")).start().until_serving()
    with Client(server) as client:
        handle = client.submit_background_job("nap", "slow 600")
        wait_for(lambda: site.lines("began"), "the job to begin")
        site.send(signal.SIGINT)
        wait_for(lambda: site.events("daemon.draining"), "the drain")
        site.send(signal.SIGINT)
        assert site.wait() == 1
        status = client.get_job_status(handle)
    assert status.is_known
    assert not status.is_running


def test_a_stop_that_interrupts_no_job_exits_0(sites: Sites, server: str) -> None:
    site = sites(configuration(server)).start().until_serving()
    site.gearpool("stop", "-c", str(site.path))
    assert site.wait() == 0
    assert site.events("daemon.stopped")[0]["exit_code"] == 0


def test_sigterm_to_the_process_group_acts_like_sigterm_to_the_parent(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address, processes=2)).start().until_serving()
    with Client(gearmand.address) as client:
        list(client.submit_background_jobs("nap", [f"job{n} 1" for n in range(10)]))
        wait_for(lambda: len(site.lines("began")) == 10, "all jobs to begin")
    assert site.process is not None
    os.killpg(site.process.pid, signal.SIGTERM)
    assert site.wait() == 0
    assert len(site.lines("ended")) == 10


def test_workers_exit_within_2_s_of_the_supervisors_death_and_their_jobs_are_requeued(
    sites: Sites, server: str
) -> None:
    site = sites(configuration(server, processes=2)).start().until_serving()
    workers = site.workers()
    with Client(server) as client:
        list(client.submit_background_jobs("nap", [f"job{n} 600" for n in range(10)]))
        wait_for(lambda: len(site.lines("began")) == 10, "all jobs to begin")
    site.close()
    wait_for(lambda: not any(exists(pid) for pid in workers), "the workers to exit", 2.0)
    other = sites(configuration(server)).start().until_serving()
    wait_for(lambda: len(other.lines("began")) == 10, "the jobs to be assigned again")


@pytest.mark.parametrize("kept", [False, True])
def test_background_jobs_lost_with_the_in_memory_store_are_counted_at_a_stop(kept: bool, sites: Sites) -> None:
    port = free_port()
    store = ", store: jobs.sqlite" if kept else ""
    text = configuration("embedded", embedded=f"{{listen: '127.0.0.1:{port}'{store}}}")
    site = sites(text.replace("nap: {", "nap: {enabled: false, ")).start().until_serving()
    with Client(f"127.0.0.1:{port}") as client:
        list(client.submit_background_jobs("nap", ["a 0", "b 0", "c 0"]))
    site.send(signal.SIGTERM)
    assert site.wait() == 0
    assert [event["jobs"] for event in site.events("server.lost_jobs")] == ([] if kept else [3])
    warned = [event["message"] for event in site.events("configuration.warning")]
    assert any("embedded.store: waiting background jobs are lost" in message for message in warned) is not kept
    assert not site.events("server.refused"), "the server accepts the daemon's own connections"


def test_the_log_level_applies_to_the_embedded_job_server_too(sites: Sites) -> None:
    port = free_port()
    text = configuration("embedded", embedded=f"{{listen: '127.0.0.1:{port}'}}")
    site = sites(text.replace("nap: {", "nap: {enabled: false, ")).start().until_serving()
    with Client(f"127.0.0.1:{port}") as client:
        client.submit_background_job("nap", "a 0")
    site.ask("log-level", level="error")
    site.send(signal.SIGTERM)
    assert site.wait() == 0
    assert not site.events("server.lost_jobs")
