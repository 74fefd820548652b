"""Handlers that fork: with multiprocessing, whose start method on Linux is fork up to Python 3.13, and with os.fork."""

from __future__ import annotations

import signal

import pytest

from gearpool import Client
from tests.integration.conftest import Sites
from tests.integration.daemons import Site, children_of, configuration
from tests.processes import Gearmand, wait_for

HANDLERS = """
import multiprocessing, subprocess, sys, threading

fork = multiprocessing.get_context("fork")


def sleep_then_put(queue):
    time.sleep(1)
    queue.put(b"from the child")


def with_multiprocessing(arg):
    note("forking", b"%d" % os.getpid())
    queue = fork.SimpleQueue()
    process = fork.Process(target=sleep_then_put, args=(queue,))
    process.start()
    process.join()
    return queue.get()


def terminated(arg):
    process = fork.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join()
    return str(process.exitcode)


def burning(arg):
    # Longer than stall_timeout, only in the child.
    process = fork.Process(target=burn)
    process.start()
    process.join()
    return str(process.exitcode)


def burn():
    time.sleep(0.01)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        pass


def by_hand(arg):
    way, _, waited = arg.partition(b" ")
    if waited:
        time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        if way == b"exit":
            sys.exit(7)
        if way == b"raise":
            raise ValueError("in the child")
        if way == b"run":
            sys.exit(subprocess.run(["sh", "-c", "sleep 0.1; exit 5"]).returncode)
        if way == b"thread":
            thread = threading.Thread(target=time.sleep, args=(0.1,))
            thread.start()
            thread.join()
            os._exit(6)
        return b"the copy's"
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def outrun(arg):
    # The child exits before fork() returns in the parent.
    os.register_at_fork(after_in_parent=lambda: os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT))
    pid = os.fork()
    if pid == 0:
        os._exit(4)
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
FUNCTIONS = "".join(
    f"  {name}: {{handler: site_handlers.{name}, timeout: 60s}}\n"
    for name in ("with_multiprocessing", "terminated", "burning", "by_hand", "outrun")
)


def forking(sites: Sites, gearmand: Gearmand, **top: object) -> Site:
    site = sites(configuration(gearmand.address, FUNCTIONS, **top))
    site.handlers.write_text(site.handlers.read_text() + HANDLERS)
    return site.start().until_serving()


def test_a_process_forked_from_a_worker_takes_no_jobs_and_runs_none_of_those_in_flight(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = forking(sites, gearmand)
    with Client(gearmand.address) as client:
        naps = [client.submit("nap", b"nap%d 2" % number) for number in range(20)]
        wait_for(lambda: site.count("began") == 20, "the naps to begin")
        forked = client.submit("with_multiprocessing", b"")
        wait_for(lambda: site.lines("forking"), "the handler that forks")
        while not forked.done():
            assert client.submit_job("record", b"abc", timeout=30) == b"cba"
        assert forked.result(timeout=30) == b"from the child"
        assert [nap.result(timeout=30) for nap in naps] == [b"nap%d" % number for number in range(20)]
    assert site.count("ended") == 20
    assert not site.events("server.lost")


def test_a_busy_forked_process_is_not_a_stall_of_the_worker(sites: Sites, gearmand: Gearmand) -> None:
    site = forking(sites, gearmand, stall_timeout="1s")
    (worker,) = site.workers()
    with Client(gearmand.address) as client:
        assert client.submit_job("burning", b"", timeout=60) == b"0"
    assert site.workers() == [worker]


def test_a_forked_process_can_be_terminated(sites: Sites, gearmand: Gearmand) -> None:
    forking(sites, gearmand)
    with Client(gearmand.address) as client:
        assert client.submit_job("terminated", b"", timeout=30) == b"%d" % -signal.SIGTERM


def test_a_child_that_exits_before_its_parent_continues_is_noticed(sites: Sites, gearmand: Gearmand) -> None:
    forking(sites, gearmand)
    with Client(gearmand.address) as client:
        assert client.submit_job("outrun", b"", timeout=30) == b"4"


@pytest.mark.parametrize("waited", [b"", b" after waiting"])
@pytest.mark.parametrize(
    ("way", "code"), [(b"return", b"0"), (b"exit", b"7"), (b"raise", b"1"), (b"run", b"5"), (b"thread", b"6")]
)
def test_a_forked_process_exits_with_its_handler_and_reports_nothing(
    sites: Sites, gearmand: Gearmand, way: bytes, code: bytes, waited: bytes
) -> None:
    site = forking(sites, gearmand)
    with Client(gearmand.address) as client:
        assert client.submit_job("by_hand", way + waited, timeout=30) == code
        assert client.submit_job("record", b"abc", timeout=30) == b"cba"
    (worker,) = site.workers()
    assert children_of(worker) == []
    assert not site.events("server.lost")
