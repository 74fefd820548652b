"""Time limits also apply to handlers that never yield; with real processes."""

from __future__ import annotations

import os
import signal
import textwrap

import pytest

from gearpool import Client, JobFailed
from tests.integration.conftest import Sites
from tests.integration.daemons import Site, configuration
from tests.processes import Gearmand, wait_for

LOOPS = '''
import re, threading, time
import gevent
from gevent import monkey

def plain(arg):
    while True:
        pass

def in_try(arg):
    n = 0
    while True:
        try:
            n += 1
        except Exception:
            pass

def in_finally(arg):
    try:
        raise ValueError("first")
    finally:
        while True:
            pass

def in_generator(arg):
    yield b"part"
    while True:
        pass

def in_regex(arg):
    return str(bool(re.match(r"(a+)+$", "a" * 60 + "b")))

def after_waiting(arg):
    gevent.sleep(0.05)
    while True:
        pass

def stubborn(arg):
    n = 0
    while True:
        try:
            while True:
                n += 1
                n -= 1
        except Exception:
            raise
        except BaseException as error:
            if type(error).__name__ == "GreenletExit":
                raise
            n = 0

def swallowing(arg):
    """Waits and swallows every exception."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            gevent.sleep(1)
        except BaseException:
            pass

def late(arg):
    """Swallows its JobTimeout but not its kill, and ends by itself after a while."""
    try:
        gevent.sleep(60)
    except BaseException:
        gevent.sleep(60)

def nap(arg):
    time.sleep(float(arg))
    return arg

def really_sleep(arg):
    monkey.get_original("time", "sleep")(float(arg))
    return arg

def read_file(arg):
    with open("/dev/zero", "rb", buffering=0) as zero:
        total = 0
        while total < 200 << 20:
            total += len(zero.read(1 << 20))
    return str(total)

def in_thread(arg):
    """Computes in a native thread while its greenlet waits and other greenlets run."""
    def burn():
        end = time.monotonic() + float(arg)
        while time.monotonic() < end:
            pass
        return arg
    return gevent.get_hub().threadpool.apply(burn)

def gil(arg):
    return str(sum(range(10**11)))
'''

NAMES = ["plain", "in_try", "in_finally", "in_generator", "in_regex", "after_waiting"]


def limited(sites: Sites, server: str, extra: str = "") -> Site:
    """Return a serving site whose loops have a time limit of a second."""
    functions = "".join(f"  {name}: {{handler: loops.{name}, timeout: 1s}}\n" for name in NAMES)
    site = sites(
        f"servers: {server}\nlog: {{format: json}}\nprocesses: 1\n{extra}functions:\n"
        "  nap: loops.nap\n  really_sleep: {handler: loops.really_sleep, timeout: 1s}\n"
        "  stubborn: {handler: loops.stubborn, timeout: 500ms, timeout_grace: 500ms}\n"
        "  swallowing: {handler: loops.swallowing, timeout: 300ms, timeout_grace: 300ms}\n"
        "  late: {handler: loops.late, timeout: 300ms, timeout_grace: 300ms}\n"
        "  read_file: loops.read_file\n  in_thread: {handler: loops.in_thread, timeout: 30s}\n"
        f"  gil: {{handler: loops.gil, poison: {{kills: 2}}}}\n{functions}"
    )
    (site.folder / "loops.py").write_text(textwrap.dedent(LOOPS))
    return site.start().until_serving()


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_that_never_yields_is_interrupted_in_its_process(sites: Sites, gearmand: Gearmand, name: str) -> None:
    site = limited(sites, gearmand.address)
    before = site.workers()
    with Client(gearmand.address) as client:
        naps = [client.submit("nap", b"0.5") for _ in range(49)]
        loop = client.submit(name, b"")
        with pytest.raises(JobFailed):
            loop.result(30)
        assert [future.result(30) for future in naps] == [b"0.5"] * 49
    assert site.workers() == before
    assert [row["function"] for row in site.events("job.timeout")] == [name]
    stalls = wait_for(lambda: site.events("stall"), "the stall to be logged")
    assert "loops.py" in stalls[0]["at"] or "re/" in stalls[0]["at"]


LAZY = """
import taken, os
taken.register("lazy")  # once
while not os.path.exists(os.path.join(os.path.dirname(__file__), "go_on")):
    pass
"""
TAKEN = """
names = set()
def register(name):
    if name in names:
        raise ValueError(f"duplicated: {name}")
    names.add(name)
"""
LAZILY = """
def lazily(arg):
    import lazy
    while not arg:
        pass
    return b"whole"
"""


def test_an_import_that_exceeds_the_time_limit_is_not_interrupted_but_its_job_is(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = sites(
        f"servers: {gearmand.address}\nlog: {{format: json}}\nprocesses: 1\n"
        "functions: {lazily: {handler: lazily.lazily, timeout: 300ms, timeout_grace: 20s}}\n"
    )
    for name, source in {"lazy": LAZY, "taken": TAKEN, "lazily": LAZILY}.items():
        (site.folder / f"{name}.py").write_text(source)
    site.start().until_serving()
    with Client(gearmand.address) as client:
        first = client.submit("lazily", b"")
        wait_for(lambda: site.ask("status")["workers"][0]["stalled_s"] > 1.0, "the import to be past the limit")
        assert not site.events("job.timeout")
        (site.folder / "go_on").touch()
        with pytest.raises(JobFailed):
            first.result(30)
        assert client.submit_job("lazily", b"import it", timeout=30) == b"whole"
    assert [event["function"] for event in site.events("job.timeout")] == ["lazily"]


def test_a_loop_that_swallows_its_timeout_is_ended_after_the_grace_period(sites: Sites, gearmand: Gearmand) -> None:
    site = limited(sites, gearmand.address)
    before = site.workers()
    with Client(gearmand.address) as client:
        with pytest.raises(JobFailed):
            client.submit_job("stubborn", b"", timeout=30)
        assert client.submit_job("nap", b"0", timeout=30) == b"0"
    assert site.workers() == before


def test_a_handler_that_swallows_its_timeout_is_ended_after_the_grace_period_and_its_process_keeps_running(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = limited(sites, gearmand.address)
    before = site.workers()
    with Client(gearmand.address) as client:
        with pytest.raises(JobFailed):
            client.submit_job("late", b"", timeout=30)
        assert client.submit_job("nap", b"0", timeout=30) == b"0"
    assert site.workers() == before
    assert not site.events("job.stuck")


def test_a_handler_that_also_swallows_the_kill_is_reported_and_its_process_recycled(sites: Sites, server: str) -> None:
    site = limited(sites, server, "drain_timeout: 3s\n")
    before = site.workers()
    with Client(server) as client:
        naps = [client.submit("nap", b"2") for _ in range(20)]
        with pytest.raises(JobFailed):
            client.submit_job("swallowing", b"", timeout=30)
        site.until_workers(1, without=before[0])
        assert [future.result(30) for future in naps] == [b"2"] * 20
        assert client.submit_job("nap", b"0", timeout=30) == b"0"
    stuck = site.events("job.stuck")
    assert [row["function"] for row in stuck] == ["swallowing"]
    assert len(site.workers()) == 1


def test_an_unpatched_sleep_is_interrupted_in_its_process(sites: Sites, gearmand: Gearmand) -> None:
    site = limited(sites, gearmand.address)
    before = site.workers()
    with Client(gearmand.address) as client:
        with pytest.raises(JobFailed):
            client.submit_job("really_sleep", b"60", timeout=30)
        assert client.submit_job("really_sleep", b"0.3", timeout=30) == b"0.3"
    assert site.workers() == before


def test_a_handler_that_blocks_on_file_reads_completes_and_its_worker_is_not_killed(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = limited(sites, gearmand.address)
    with Client(gearmand.address) as client:
        assert client.submit_job("read_file", b"", timeout=60) == b"%d" % (200 << 20)
    assert not site.events("worker.killed")


def test_a_handler_in_a_native_thread_does_not_block_the_other_jobs(sites: Sites, gearmand: Gearmand) -> None:
    site = limited(sites, gearmand.address)
    with Client(gearmand.address) as client:
        slow = client.submit("in_thread", b"1.5")
        assert client.submit_job("nap", b"0.01", timeout=30) == b"0.01"
        assert not slow.done()
        assert slow.result(30) == b"1.5"
    assert not site.events("worker.killed")


def test_a_job_stuck_in_c_is_killed_with_its_process_and_the_other_jobs_complete(sites: Sites, server: str) -> None:
    site = limited(sites, server, "stall_timeout: 2s\n")
    with Client(server) as client:
        naps = [client.submit("nap", b"6", unique=f"nap{number}") for number in range(10)]
        culprit = client.submit("gil", b"", unique="culprit")
        with pytest.raises(JobFailed):
            culprit.result(60)
        assert [future.result(60) for future in naps] == [b"6"] * 10
    assert "loops.py" in site.stderr()  # the dump names the line
    killed = site.events("worker.killed")
    assert [(row["function"], row["unique"]) for row in killed] == [("gil", "culprit")] * 2
    assert [row["unique"] for row in site.events("job.poisoned")] == ["culprit"]


def test_a_worker_suspended_by_sigstop_is_replaced_and_its_jobs_complete_elsewhere(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = sites(configuration(gearmand.address, stall_timeout="1s")).start().until_serving()
    (worker,) = site.workers()
    with Client(gearmand.address) as client:
        naps = [client.submit("nap", b"nap%d 0.5" % number) for number in range(5)]
        wait_for(lambda: site.count("began") == 5, "the naps to begin")
        os.kill(worker, signal.SIGSTOP)
        assert [nap.result(timeout=60) for nap in naps] == [b"nap%d" % number for number in range(5)]
    assert worker not in site.workers()
    assert not site.events("job.blamed")
