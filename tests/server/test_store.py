"""Background jobs that outlive the server."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gearpool.errors import ConfigurationError
from gearpool.protocol.codec import request
from gearpool.server.core import Core
from gearpool.server.queues import HIGH, NORMAL
from gearpool.server.store import Kept, Store
from gearpool.testing.servers import job_server
from tests.conformance.wire import T, Wire, eventually
from tests.server.talk import Talker, worker


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "jobs.sqlite")


def kept(path: str) -> list[Kept]:
    store = Store(path)
    try:
        return list(store.load())
    finally:
        store.close()


def again(path: str, store: Store) -> tuple[Core, Store]:
    store.commit()
    store.close()
    after = Store(path)
    core = Core(host="h", keeper=after)
    for each in after.load():
        core.ledger.restore(*each)
    core.ledger.check()
    return core, after


def test_background_jobs_come_back_with_everything_they_had_and_foreground_jobs_do_not(path: str) -> None:
    store = Store(path)
    core = Core(host="h", keeper=store)
    client = Talker(core)
    client.submit(b"f", b"u", b"da\0ta", T.SUBMIT_JOB_BG)
    client.submit(b"f", b"v", b"foreground")
    client.submit(b"\xff", b"", b"", T.SUBMIT_JOB_HIGH_BG)
    client.say(T.SUBMIT_JOB_EPOCH, b"f", b"w", b"4000000000", b"later")
    client.say(T.SUBMIT_REDUCE_JOB_BACKGROUND, b"f", b"x", b"sum", b"", b"r")
    core, store = again(path, store)
    assert [(job.handle, job.unique, job.data, job.priority, job.reducer) for job in core.ledger.jobs.values()] == [
        (b"H:h:1", b"u", b"da\0ta", NORMAL, b""),
        (b"H:h:3", b"", b"", HIGH, b""),
        (b"H:h:4", b"w", b"later", NORMAL, b""),
        (b"H:h:5", b"x", b"r", NORMAL, b"sum"),
    ]
    assert core.next_due == 4000000000
    client = Talker(core)
    assert client.submit(unique=b"u") == b"H:h:1", "it is joined as before"
    assert client.submit() == b"H:h:6", "no handle is used twice"
    assert worker(core, b"\xff").grab()[1] == b"H:h:3"
    store.close()


@pytest.mark.parametrize("end", [T.WORK_COMPLETE, T.WORK_FAIL, T.WORK_EXCEPTION, "cancel", "cancel running"])
def test_a_job_that_has_ended_does_not_come_back(path: str, end: T | str) -> None:
    store = Store(path)
    core = Core(host="h", keeper=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    store.commit()
    runner = worker(core)
    if end != "cancel":
        runner.grab()
    if isinstance(end, str):
        Talker(core).ask(f"cancel job {handle.decode()}")
    else:
        runner.say(end, handle, *([] if end is T.WORK_FAIL else [b""]))
    core, store = again(path, store)
    assert core.ledger.jobs == {}
    store.close()


def test_a_running_job_comes_back(path: str) -> None:
    store = Store(path)
    core = Core(host="h", keeper=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    worker(core).grab()
    core, store = again(path, store)
    assert worker(core).grab()[1] == handle
    store.close()


def test_a_foreground_job_joined_in_the_background_is_kept(path: str) -> None:
    store = Store(path)
    core = Core(host="h", keeper=store)
    client = Talker(core)
    handle = client.submit(unique=b"u", data=b"first")
    assert client.submit(unique=b"u", data=b"second", kind=T.SUBMIT_JOB_BG) == handle
    core, store = again(path, store)
    assert worker(core).grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"first")
    store.close()


def test_a_job_that_came_and_went_between_two_commits_is_never_written(path: str) -> None:
    store = Store(path)
    core = Core(keeper=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"")
    assert not store.waiting
    store.close()


def test_what_cannot_be_written_is_refused_and_not_run(path: str) -> None:
    store = Store(path)
    core = Core(keeper=store)
    client, other = Talker(core), Talker(core)
    handle = client.submit(unique=b"u", kind=T.SUBMIT_JOB_BG)
    store.commit()
    # The replies wait for the commit: they are not heard yet.
    core.receive(client.peer, request(T.SUBMIT_JOB_BG, b"f", b"v", b"") + request(T.ECHO_REQ, b"x"))
    core.receive(other.peer, request(T.SUBMIT_JOB_BG, b"f", b"v", b"") + request(T.SUBMIT_JOB_BG, b"f", b"u", b""))
    core.take_back(store.drop_added())
    core.ledger.check()
    refused = (T.ERROR, b"QUEUE_ERROR", b"The job could not be written to the store")
    assert client.heard() == [refused, (T.ECHO_RES, b"x")]
    assert other.heard() == [refused, (T.JOB_CREATED, handle)]
    runner = worker(core)
    assert runner.grab()[1] == handle
    assert runner.grab() == (T.NO_JOB,)
    store.close()


def test_a_failed_commit_writes_nothing_and_says_so(path: str) -> None:
    store = Store(path)
    core = Core(keeper=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    store._file.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.Error):
        store.commit()
    assert store.drop_added() == [handle]
    store._file.execute("PRAGMA query_only = OFF")
    store.commit()
    store.close()
    assert kept(path) == []


def test_two_servers_cannot_use_one_file(path: str) -> None:
    with job_server(store=path), pytest.raises(ConfigurationError, match="another job server is using it"):
        with job_server(store=path):
            pass


@pytest.mark.parametrize("content", [b"this is no database, it is a text of more than a hundred bytes" * 10])
def test_a_file_that_is_no_store_is_a_configuration_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    for name in ("other", "no/such/folder"):
        with pytest.raises(ConfigurationError, match="store: "), job_server(store=str(tmp_path / name)):
            pass
    assert (tmp_path / "other").read_bytes() == content


def test_a_restart_forgets_nothing_that_was_acknowledged(path: str) -> None:
    with job_server(store=path) as server:
        with Wire(server.port) as client:
            handles = [client.submit(b"f", b"%d" % number, b"x", T.SUBMIT_JOB_BG) for number in range(50)]
        server.restart()
        with Wire(server.port) as client:
            worker = client.can(b"f")
            assert [worker.grab()[1] for _ in range(50)] == handles
            assert worker.grab() == (T.NO_JOB,)
            for handle in handles:
                worker.say(T.WORK_COMPLETE, handle, b"")
            assert worker.settle() == []
    assert kept(path) == []


def test_a_job_for_later_is_still_due_after_a_restart(path: str) -> None:
    with job_server(store=path) as server:
        with Wire(server.port) as client:
            handle = client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1000", b"x")[1]
        server.restart()
        with Wire(server.port) as worker:
            worker.can(b"f").say(T.PRE_SLEEP)
            assert worker.hear() == (T.NOOP,)
            assert worker.grab()[1] == handle


def test_kill_9_in_the_middle_of_submissions_loses_no_acknowledged_job(path: str) -> None:
    program = f"""
import gevent
from gearpool.server import JobServer
server = JobServer(store={path!r})
server.start()
print(server.port, flush=True)
gevent.get_hub().join()
"""
    acknowledged: list[bytes] = []
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with Wire(int(process.stdout.readline())) as client:
            for number in range(2000):
                client.send(request(T.SUBMIT_JOB_BG, b"f", b"%d" % number, b"payload"))
            acknowledged += [client.hear()[1] for _ in range(1000)]
            process.kill()
            # What was still on its way was acknowledged, too.
            try:
                while True:
                    acknowledged.append(client.hear()[1])
            except (EOFError, OSError):
                pass
    on_disk = [each.handle for each in kept(path)]
    assert on_disk[: len(acknowledged)] == acknowledged


def test_the_file_does_not_grow_with_jobs_that_are_done(path: str) -> None:
    with job_server(store=path) as server, Wire(server.port) as client, Wire(server.port) as runner:
        runner.can(b"f")
        for number in range(300):
            handle = client.submit(b"f", b"%d" % number, bytes(20_000), T.SUBMIT_JOB_BG)
            assert runner.grab()[1] == handle
            runner.say(T.WORK_COMPLETE, handle, b"")
        eventually(lambda: runner.status(handle) == (b"0", b"0", b"0", b"0"), "the end")
    assert Path(path).stat().st_size < 2_000_000, "300 jobs of 20 kB passed through"
