"""Work started by a job is attributed to it, and the job that kills its process is identified, with real processes."""

from __future__ import annotations

import os
import signal

import pytest

from gearpool import Client, JobFailed
from gearpool.protocol.packets import PacketType
from tests.conformance.wire import Wire
from tests.integration.conftest import Sites
from tests.integration.daemons import Site
from tests.processes import Gearmand, wait_for

HANDLERS = '''
import ctypes, multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import gevent, gevent.event, greenlet
from gevent import monkey
from gevent.threadpool import ThreadPoolExecutor as NativeExecutor

FOLDER = Path(__file__).parent
SHARED = ThreadPoolExecutor(2)
native_sleep = monkey.get_original("time", "sleep")

def note(name, line=b""):
    with open(FOLDER / name, "ab", buffering=0) as file:
        file.write(line + b"\\n")

def nap(arg):
    note("began", arg)
    time.sleep(float(arg.split()[-1]))
    note("ended", arg)
    return arg

def loop():
    while True:
        pass

def in_c():
    sum(range(10**11))

def crash():
    ctypes.string_at(0)

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def soon(what):
    """Run ``what`` once the other jobs have begun."""
    while len((FOLDER / "began").read_bytes().splitlines()) < 3:
        native_sleep(0.01)
    what()

def thread_loops(arg):
    thread = threading.Thread(target=loop)
    thread.start()
    thread.join()

def executor_loops(arg):
    with ThreadPoolExecutor(1) as executor:
        executor.submit(loop).result()

def shared_executor_loops(arg):
    SHARED.submit(loop).result()

def greenlet_loops(arg):
    gevent.joinall([gevent.spawn(loop)])

def pool_loops(arg):
    gevent.pool.Pool(2).map(lambda _: loop(), [1])

def grandchild_loops(arg):
    gevent.spawn(lambda: gevent.spawn(loop).join()).join()

def raw_greenlet_loops(arg):
    greenlet.greenlet(loop).switch()

def returns_once_it_has_started(arg):
    started = gevent.event.Event()
    gevent.spawn(lambda: (started.set(), loop()))
    started.wait()

def processes_block(arg):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(native_sleep, (3600,))

def left_behind(arg):
    gevent.spawn(in_c)

def greenlet_in_c(arg):
    gevent.spawn(in_c).join()

def native_crash(arg):
    gevent.get_hub().threadpool.apply(soon, (crash,))

def executor_crash(arg):
    NativeExecutor(1).submit(soon, crash).result()

def native_kill(arg):
    gevent.get_hub().threadpool.apply(soon, (kill,))

def native_exit(arg):
    gevent.get_hub().threadpool.apply(soon, (lambda: os._exit(0),))

def alone_kill(arg):
    gevent.get_hub().threadpool.apply(kill)

def alone_exit(arg):
    gevent.get_hub().threadpool.apply(os._exit, (0,))

def thread_exits(arg):
    thread = threading.Thread(target=sys.exit, args=(3,))
    thread.start()
    thread.join()

def alarm(arg):
    signal.alarm(1)
    time.sleep(60)

def closerange(arg):
    os.closerange(3, 1000)
    time.sleep(60)

def closerange_and_return(arg):
    os.closerange(3, 1000)
'''

LOOPS = [
    "thread_loops", "executor_loops", "shared_executor_loops", "greenlet_loops", "pool_loops", "grandchild_loops",
    "raw_greenlet_loops", "returns_once_it_has_started", "processes_block",
]  # fmt: skip
NAMES = [line.split("(")[0].removeprefix("def ") for line in HANDLERS.splitlines() if line.endswith("(arg):")]


def blaming(sites: Sites, servers: str, kills: int, stall_timeout: str = "30s") -> Site:
    """Return a serving site with these handlers; the looping ones have a time limit."""
    limits = dict.fromkeys(LOOPS, ", timeout: 500ms, timeout_grace: 10s")
    functions = [f"  {name}: {{handler: blaming.{name}{limits.get(name, '')}}}" for name in NAMES]
    top = [f"servers: {servers}", "log: {format: json}", "processes: 1", f"stall_timeout: {stall_timeout}"]
    top += [f"defaults: {{poison: {{kills: {kills}}}}}", "functions:"]
    site = sites("\n".join([*top, *functions]) + "\n")
    (site.folder / "blaming.py").write_text(HANDLERS)
    return site.start().until_serving()


def blamed(site: Site) -> list[tuple[str, int]]:
    return [(event["function"], event["kills"]) for event in site.events("job.blamed")]


def test_work_started_by_a_job_is_interrupted_at_the_jobs_time_limit(sites: Sites, gearmand: Gearmand) -> None:
    site = blaming(sites, gearmand.address, kills=2)
    before = site.workers()
    with Client(gearmand.address) as client:
        beside = client.submit("nap", "beside 3")
        for name in LOOPS:
            with pytest.raises(JobFailed):
                client.submit_job(name, b"", timeout=60)
        assert beside.result(60) == b"beside 3"
        # A thread that exits does not end its process.
        assert client.submit_job("thread_exits", b"", timeout=60) == b""
    assert [row["function"] for row in site.events("job.timeout")] == LOOPS
    stalled = {row.get("function") for row in site.events("stall")}
    assert stalled, "each blocks the event loop and is reported as the cause"
    assert stalled <= set(LOOPS)
    assert site.workers() == before


def test_a_greenlet_that_hangs_in_c_is_blamed_on_its_job_even_after_the_job_has_ended(
    sites: Sites, gearmand: Gearmand
) -> None:
    site = blaming(sites, gearmand.address, kills=1, stall_timeout="1s")
    with Client(gearmand.address) as client:
        beside = client.submit("nap", "beside 0.5")
        for name in ("greenlet_in_c", "left_behind"):
            client.submit(name, b"").exception(60)
            wait_for(lambda name=name: (name, 1) in blamed(site), f"{name} to be blamed")  # type: ignore[misc] # bound
        assert beside.result(60) == b"beside 0.5"
    assert blamed(site) == [("greenlet_in_c", 1), ("left_behind", 1)]
    assert [event["function"] for event in site.events("worker.killed")] == ["greenlet_in_c", "left_behind"]


def test_a_crash_in_a_native_thread_is_blamed_on_the_job_that_started_it(sites: Sites, gearmand: Gearmand) -> None:
    site = blaming(sites, gearmand.address, kills=1)
    names = ["native_crash", "executor_crash"]
    with Client(gearmand.address) as client:
        beside = [client.submit("nap", f"beside{n} 1") for n in range(3)]
        for name in names:
            with pytest.raises(JobFailed):
                client.submit_job(name, b"", timeout=60)
        assert [future.result(60) for future in beside] == [f"beside{n} 1".encode() for n in range(3)]
    assert blamed(site) == [(name, 1) for name in names]
    assert all("string_at" in event["stacks"] for event in site.events("worker.gone"))


def test_the_only_running_job_is_blamed_however_its_process_dies(sites: Sites, gearmand: Gearmand) -> None:
    site = blaming(sites, gearmand.address, kills=1)
    names = ["alone_kill", "alone_exit", "alarm", "closerange", "closerange_and_return"]
    with Client(gearmand.address) as client:
        for name in names:
            with pytest.raises(JobFailed):
                client.submit_job(name, b"", timeout=60)
    assert blamed(site) == [(name, 1) for name in names]
    gone = [[one["function"] for one in event["suspects"]] for event in site.events("worker.gone")]
    assert gone == [[name] for name in names]
    assert [row["function"] for row in site.events("job.poisoned")] == names
    assert not site.ended(), "the daemon does not end because of one job"


def test_the_culprit_among_several_jobs_is_found_and_reruns_of_the_others_are_bounded(
    sites: Sites, server: str
) -> None:
    site = blaming(sites, server, kills=2)
    with Client(server) as client:
        beside = [client.submit("nap", f"beside{n} 0.7", unique=f"nap{n}") for n in range(4)]
        with pytest.raises(JobFailed):
            client.submit_job("native_kill", b"", unique="culprit", timeout=60)
        assert [future.result(60) for future in beside] == [f"beside{n} 0.7".encode() for n in range(4)]
    wait_for(lambda: site.events("job.poisoned"), "the job to be given up")
    assert [row["function"] for row in site.events("job.poisoned")] == ["native_kill"], site.stderr()
    began = site.lines("began")
    assert max(began.count(f"beside{n} 0.7") for n in range(4)) <= 7
    assert not site.ended()


def test_deaths_are_not_added_up_across_successful_runs_of_a_recurring_job(sites: Sites, gearmand: Gearmand) -> None:
    site = blaming(sites, gearmand.address, kills=2)
    with Client(gearmand.address) as client:
        for _ in range(2):
            began = site.count("began")
            nightly = client.submit("nap", "nightly 0.5", unique="nightly")
            wait_for(lambda began=began: site.count("began") > began, "the job to begin")  # type: ignore[misc] # bound
            os.kill(site.until_workers(1)[0], signal.SIGKILL)
            assert nightly.result(60) == b"nightly 0.5"
    assert blamed(site) == [("nap", 1)] * 2
    assert not site.events("job.poisoned")


def test_a_handle_reused_by_a_restarted_server_is_a_different_job(sites: Sites, gearmand: Gearmand) -> None:
    """Even if the server restarts before the killed worker is replaced."""
    site = blaming(sites, gearmand.address, kills=1)
    with Wire(gearmand.port) as wire:
        doomed = wire.submit(b"nap", b"", b"doomed 60", PacketType.SUBMIT_JOB_BG)
        wait_for(lambda: site.count("began") == 1, "the job to begin")
        (worker,) = site.workers()
        gearmand.signal(signal.SIGSTOP)  # it hands nothing out as long as it is stopped
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: blamed(site) == [("nap", 1)], "the job to be blamed")
    gearmand.restart()
    with Wire(gearmand.port) as wire:
        assert wire.submit(b"nap", b"", b"innocent 0", PacketType.SUBMIT_JOB_BG) == doomed
        wait_for(lambda: "innocent 0" in site.lines("ended"), "the other job to run")
    assert not site.events("job.poisoned")
