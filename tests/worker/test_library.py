"""`Worker` as an application uses it; in separate processes, because it takes over the main thread."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import gevent
import pytest

from gearpool import Client, Worker
from gearpool.errors import ConfigurationError, InvalidArgument, JobFailed

PROGRAM = """
import sys
from gevent import monkey
monkey.patch_all()
from gearpool import Worker

def reverse(arg, job):
    return arg[::-1]

with Worker(sys.argv[1]) as worker:
    worker.add_ability("reverse", reverse, timeout=30)
    for _ in range(2):
        assert worker.work(timeout=20)
    worker.remove_ability("reverse")
    worker.add_ability("upper", bytes.upper)
    assert worker.work(timeout=20)
    assert not worker.work(timeout=0.05)
print("bye")
"""


def test_each_work_runs_one_job_and_abilities_can_be_added_and_removed(server: str, client: Client) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, server],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert client.submit_job("reverse", b"abc", timeout=20) == b"cba"
        assert client.submit_job("reverse", b"def", timeout=20) == b"fed"
        assert client.submit_job("upper", b"x", timeout=20) == b"X"
        out, err = process.communicate(timeout=20)
    assert (out, err.strip(), process.returncode) == ("bye\n", "", 0)


def test_work_times_out_without_a_server() -> None:
    worker = Worker("127.0.0.1:1")
    worker.add_ability("x", lambda arg: arg)
    assert not worker.work(timeout=0.05)
    worker.close(0)


def test_an_invalid_ability_is_refused_at_once() -> None:
    worker = Worker()
    with pytest.raises(InvalidArgument):
        worker.add_ability("a\nb", lambda arg: arg)
    with pytest.raises(ConfigurationError):
        worker.add_ability("x", lambda: None)
    with pytest.raises(InvalidArgument):
        Worker(concurrency=0)
    with pytest.raises(InvalidArgument):
        Worker(concurrency=10**4000)
    with pytest.raises(InvalidArgument):
        worker.add_ability("x", lambda arg: arg, concurrency=10**4000)


@pytest.mark.parametrize("wrong", [-1, math.nan, "5", True, timedelta(seconds=-1)])
def test_an_invalid_duration_is_refused_everywhere(wrong: Any) -> None:
    worker = Worker()
    for use in (
        lambda: worker.work(timeout=wrong),
        lambda: worker.close(timeout=wrong),
        lambda: worker.add_ability("x", lambda arg: arg, timeout=wrong),
        lambda: worker.add_ability("x", lambda arg: arg, timeout_grace=wrong),
    ):
        with pytest.raises(InvalidArgument):
            use()
    assert worker.snapshot["functions"] == {}
    worker.add_ability("x", lambda arg: arg)  # the worker is not closed


@pytest.mark.parametrize("wrong", ["5", True, 2.5, None])
def test_an_invalid_concurrency_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument):
        Worker(concurrency=wrong)


def test_durations_may_be_timedeltas(server: str, client: Client) -> None:
    def serve() -> tuple[bool, bool]:
        worker = Worker(server)
        worker.add_ability(
            "wait", lambda arg: gevent.sleep(60), timeout=timedelta(seconds=0.05), timeout_grace=timedelta(seconds=1)
        )
        return worker.work(timeout=timedelta(seconds=30)), worker.close(timeout=timedelta(seconds=30))

    with ThreadPoolExecutor(1) as thread:
        served = thread.submit(serve)
        assert isinstance(client.submit("wait", "x", timeout=30).exception(), JobFailed)
        assert served.result() == (True, True)


LIMITS = """
import signal, sys, time
if sys.argv[2] == "patched":
    from gevent import monkey
    monkey.patch_all()
import gevent, greenlet
from gearpool import JobTimeout, Worker

def spin(arg):
    while True:
        pass

def wait(arg):
    gevent.sleep(60)

def block(arg):
    try:
        time.sleep(60)
    except JobTimeout:
        cleaned.append(arg)
        raise

def swallow(arg):
    while True:
        try:
            while True:
                arg + arg
        except JobTimeout:
            pass

cleaned = []
worker = Worker(sys.argv[1], concurrency=10)
for handler in (spin, wait, block):
    worker.add_ability(handler.__name__, handler, timeout=0.2, report="exception")
worker.add_ability("swallow", swallow, timeout=0.2, timeout_grace=0.2, on_timeout="skip")
worker.add_ability("quick", lambda arg: arg)
if sys.argv[3] == "work":
    for _ in range(5):
        assert worker.work(timeout=30)
else:
    worker.add_ability("stop", lambda arg: worker.stop())
    worker.run()
worker.close()
assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
assert greenlet.gettrace() is None
print(cleaned)
"""


@pytest.mark.parametrize("patched", ["patched", "plain"])
@pytest.mark.parametrize("how", ["work", "run"])
def test_time_limits_apply_as_in_the_daemon_even_to_handlers_that_never_yield(
    server: str, client: Client, patched: str, how: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LIMITS, server, patched, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        futures = [client.submit(name, "x", timeout=60) for name in ("spin", "wait", "block", "swallow", "quick")]
        errors = [future.exception() for future in futures]
        assert [getattr(error, "payload", None) for error in errors] == [
            b"JobTimeout: over its time limit of 0.2 s",
            b"JobTimeout: over its time limit of 0.2 s",
            b"JobTimeout: over its time limit of 0.2 s",
            None,
            None,
        ]
        assert [future.result() for future in futures[3:]] == [b"", b"x"]
        if how == "run":
            client.submit_job("stop", timeout=60)
        out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("[b'x']\n", 0)


OWN_SIGNAL = """
import os, signal, sys, threading
from gearpool import Worker
seen = []
signal.signal(signal.SIGUSR2, lambda *_: seen.append("mine"))

def handler(arg):
    os.kill(os.getpid(), signal.SIGUSR2)
    return arg

def serve():
    with Worker(sys.argv[1]) as worker:
        worker.add_ability("f", handler, timeout=20)
        assert worker.work(timeout=30)

serve()
thread = threading.Thread(target=serve)
thread.start()
thread.join()
print(seen)
"""


def test_a_program_may_use_the_signal_itself_and_work_in_other_threads(server: str, client: Client) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OWN_SIGNAL, server], stdout=subprocess.PIPE, text=True
    ) as process:
        assert client.submit_job("f", "x", timeout=30) == b"x"
        assert client.submit_job("f", "y", timeout=30) == b"y"
        out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("['mine', 'mine']\n", 0)


def test_work_runs_a_job_of_any_function_at_once(server: str, client: Client) -> None:
    # Only one grab at a time is allowed: one that brings no job must let the next function grab at once, not after 5 s.
    program = """
import sys, time
from gearpool import Worker
with Worker(sys.argv[1]) as worker:
    for number in range(20):
        worker.add_ability(f"f{number}", lambda arg: arg)
    for _ in range(40):
        assert worker.work(timeout=2)
"""
    with subprocess.Popen([sys.executable, "-W", "error", "-c", program, server]) as process:
        for number in range(40):
            assert client.submit_job(f"f{number * 7 % 20}", str(number), timeout=30) == str(number).encode()
        assert process.wait(60) == 0


THREADS = """
import os, signal, sys, threading
import gevent
from gearpool import Client, Worker
from gearpool.errors import UsageError
from tests.processes import wait_for

def in_thread(target):
    thread = threading.Thread(target=target)
    thread.start()
    return thread

def ends(thread):
    thread.join(30)
    assert not thread.is_alive()

server = sys.argv[1]
client = Client(server)

def made_in_one_thread_and_run_in_another():
    for round in range(3):
        worker = Worker(server)
        worker.add_ability("double", lambda arg: arg * 2)
        thread = in_thread(worker.run)
        assert [future.result() for future in [client.submit("double", "x", timeout=20) for _ in range(50)]] == [b"xx"] * 50
        worker.add_ability("later", lambda arg: arg + b"!")
        assert client.submit_job("later", "y", timeout=20) == b"y!"
        worker.remove_ability("later")
        assert worker.snapshot["functions"]["double"]["outcomes"]["complete"] == 50
        if round:
            assert worker.close(timeout=20)
        else:
            worker.stop()
        ends(thread)
        for use in (worker.run, worker.work, lambda: worker.add_ability("x", print)):
            try:
                use()
            except UsageError as error:
                assert "closed" in str(error)
            else:
                raise AssertionError(use)

def work_in_one_thread_and_later_in_another():
    worker = Worker(server)
    worker.add_ability("one", lambda arg: arg)
    done = []
    thread = in_thread(lambda: done.append(worker.work(timeout=20)))
    assert client.submit_job("one", "1", timeout=20) == b"1"
    ends(thread)
    assert done == [True]
    for use in (worker.work, worker.run, lambda: worker.add_ability("x", print)):
        try:
            use()
        except UsageError as error:
            assert "bound to" in str(error)
        else:
            raise AssertionError(use)
    assert worker.close()
    # The thread that owned the connection has ended, but the server must still notice.
    wait_for(lambda: sum(row.workers for row in client.admin.status()[server] if row.function == "one") == 0, "its end")

def made_before_a_fork():
    worker = Worker(server)
    worker.add_ability("pid", lambda arg: str(os.getpid()))
    child = os.fork()
    if not child:
        worker.run()
        os._exit(0)
    assert client.submit_job("pid", timeout=20) == str(child).encode()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

def close_while_a_job_runs_lets_it_finish():
    worker = Worker(server)
    began, go_on = threading.Event(), threading.Event()
    def handler(arg):
        began.set()
        while not go_on.is_set():
            gevent.sleep(0.005)
        return arg
    worker.add_ability("slow", handler)
    thread = in_thread(worker.run)
    future = client.submit("slow", "z", timeout=30)
    assert began.wait(20)
    closed = []
    closing = in_thread(lambda: closed.append(worker.close(timeout=20)))
    go_on.set()
    ends(closing)
    ends(thread)
    assert closed == [True] and future.result() == b"z"

def refuses_changes(worker):
    try:
        worker.remove_ability("none")
    except UsageError:
        return True
    return False

def close_while_work_runs_a_job_lets_it_finish():
    worker = Worker(server)
    began, go_on = threading.Event(), threading.Event()
    def handler(arg):
        began.set()
        while not go_on.is_set():
            gevent.sleep(0.005)
        return arg
    worker.add_ability("slow", handler)
    worked, closed = [], []
    thread = in_thread(lambda: worked.append(worker.work(timeout=30)))
    future = client.submit("slow", "z", timeout=30)
    assert began.wait(20)
    # Longer than `ends` waits: when work() returns, close() must return, too.
    closing = in_thread(lambda: closed.append(worker.close(timeout=100)))
    wait_for(lambda: refuses_changes(worker), "close")
    go_on.set()
    ends(closing)
    ends(thread)
    assert worked == [True] and closed == [True] and future.result() == b"z"
    wait_for(lambda: sum(row.workers for row in client.admin.status()[server] if row.function == "slow") == 0, "its end")

def close_inside_a_handler_says_so():
    worker = Worker(server)
    def handler(arg):
        try:
            worker.close()
        except UsageError as error:
            return str(error).encode()
        finally:
            worker.stop()
    worker.add_ability("self", handler)
    thread = in_thread(worker.run)
    assert b"stop()" in client.submit_job("self", timeout=30)
    ends(thread)

def stop_before_run_makes_it_return():
    worker = Worker(server)
    worker.stop()
    worker.run()

def one_serves_at_a_time():
    worker = Worker(server)
    worker.add_ability("twice", lambda arg: arg)
    first = gevent.spawn(worker.run)
    gevent.sleep(0)
    try:
        worker.work()
    except UsageError as error:
        assert "already" in str(error)
    else:
        raise AssertionError
    worker.stop()
    first.join()

globals()[sys.argv[2]]()
client.close()
print("good")
"""


CASES = [
    ("plain", "made_in_one_thread_and_run_in_another"),
    ("plain", "work_in_one_thread_and_later_in_another"),  # threads of a patched program are greenlets of one thread
    ("plain", "made_before_a_fork"),
    ("plain", "close_while_a_job_runs_lets_it_finish"),
    ("plain", "close_while_work_runs_a_job_lets_it_finish"),
    ("plain", "close_inside_a_handler_says_so"),
    ("plain", "stop_before_run_makes_it_return"),
    ("plain", "one_serves_at_a_time"),
    ("patched", "made_in_one_thread_and_run_in_another"),
    ("patched", "close_while_a_job_runs_lets_it_finish"),
    ("patched", "close_while_work_runs_a_job_lets_it_finish"),
    ("patched", "close_inside_a_handler_says_so"),
]


@pytest.mark.parametrize(("patched", "case"), CASES)
def test_a_worker_binds_to_the_thread_that_serves(server: str, patched: str, case: str) -> None:
    patch = "from gevent import monkey\nmonkey.patch_all()\n" if patched == "patched" else ""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", patch + THREADS, server, case],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr
    # On a busy machine the worker may warn that it was delayed; there must be no other output.
    assert not [line for line in done.stderr.splitlines() if "[stall " not in line]
