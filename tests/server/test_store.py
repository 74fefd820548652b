"""Background jobs that outlive the server."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gearpool.errors import ConfigurationError
from gearpool.protocol.codec import request
from gearpool.server import JobServer
from gearpool.server.core import Core
from gearpool.server.records import HIGH, NORMAL
from gearpool.server.store import Kept, Store, StoreError
from gearpool.settings import store_problem
from gearpool.testing.servers import job_server
from tests.conformance.wire import T, Wire, eventually
from tests.server.law import check
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
    core = Core(host="h", job_store=after)
    for each in after.load():
        core.ledger.restore(*each)
    check(core.ledger)
    return core, after


def test_background_jobs_come_back_with_everything_they_had_and_foreground_jobs_do_not(path: str) -> None:
    store = Store(path)
    core = Core(host="h", job_store=store)
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
    assert core.ledger.next_due == 4000000000
    client = Talker(core)
    assert client.submit(unique=b"u") == b"H:h:1", "it is joined as before"
    assert client.submit() == b"H:h:6", "no handle is used twice"
    assert worker(core, b"\xff").grab()[1] == b"H:h:3"
    store.close()


@pytest.mark.parametrize("end", [T.WORK_COMPLETE, T.WORK_FAIL, T.WORK_EXCEPTION, "cancel", "cancel running"])
def test_a_job_that_has_ended_does_not_come_back(path: str, end: T | str) -> None:
    store = Store(path)
    core = Core(host="h", job_store=store)
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
    core = Core(host="h", job_store=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    worker(core).grab()
    core, store = again(path, store)
    assert worker(core).grab()[1] == handle
    store.close()


def test_a_foreground_job_joined_in_the_background_is_kept(path: str) -> None:
    store = Store(path)
    core = Core(host="h", job_store=store)
    client = Talker(core)
    handle = client.submit(unique=b"u", data=b"first")
    assert client.submit(unique=b"u", data=b"second", kind=T.SUBMIT_JOB_BG) == handle
    core, store = again(path, store)
    assert worker(core).grab() == (T.JOB_ASSIGN_UNIQ, handle, b"f", b"u", b"first")
    store.close()


def test_a_job_that_came_and_went_between_two_commits_is_never_written(path: str) -> None:
    store = Store(path)
    core = Core(job_store=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"")
    assert not store.waiting
    store.close()


def test_what_cannot_be_written_is_refused_and_not_run(path: str) -> None:
    store = Store(path)
    core = Core(job_store=store)
    client, other = Talker(core), Talker(core)
    handle = client.submit(unique=b"u", kind=T.SUBMIT_JOB_BG)
    store.commit()
    # The replies wait for the commit: they are not heard yet.
    core.receive(client.peer, request(T.SUBMIT_JOB_BG, b"f", b"v", b"") + request(T.ECHO_REQ, b"x"))
    core.receive(other.peer, request(T.SUBMIT_JOB_BG, b"f", b"v", b"") + request(T.SUBMIT_JOB_BG, b"f", b"u", b""))
    core.take_back(store.drop_added())
    check(core.ledger)
    refused = (T.ERROR, b"QUEUE_ERROR", b"The job could not be written to the store")
    assert client.heard() == [refused, (T.ECHO_RES, b"x")]
    assert other.heard() == [refused, (T.JOB_CREATED, handle)]
    runner = worker(core)
    assert runner.grab()[1] == handle
    assert runner.grab() == (T.NO_JOB,)
    store.close()


def test_a_failed_commit_writes_nothing_and_says_so(path: str) -> None:
    store = Store(path)
    core = Core(job_store=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    store._file.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError):
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
            worker = client.register(b"f")
            assert [worker.grab()[1] for _ in range(50)] == handles
            assert worker.grab() == (T.NO_JOB,)
            for handle in handles:
                worker.send_packet(T.WORK_COMPLETE, handle, b"")
            assert worker.sync() == []
    assert kept(path) == []


def test_a_job_for_later_is_still_due_after_a_restart(path: str) -> None:
    with job_server(store=path) as server:
        with Wire(server.port) as client:
            handle = client.ask(T.SUBMIT_JOB_EPOCH, b"f", b"u", b"1000", b"x")[1]
        server.restart()
        with Wire(server.port) as worker:
            worker.register(b"f").send_packet(T.PRE_SLEEP)
            assert worker.receive() == (T.NOOP,)
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
            acknowledged += [client.receive()[1] for _ in range(1000)]
            process.kill()
            # What was still on its way was acknowledged, too.
            try:
                while True:
                    acknowledged.append(client.receive()[1])
            except (EOFError, OSError):
                pass
    on_disk = [each.handle for each in kept(path)]
    assert on_disk[: len(acknowledged)] == acknowledged


def test_the_file_does_not_grow_with_jobs_that_are_done(path: str) -> None:
    with job_server(store=path) as server, Wire(server.port) as client, Wire(server.port) as runner:
        runner.register(b"f")
        for number in range(300):
            handle = client.submit(b"f", b"%d" % number, bytes(20_000), T.SUBMIT_JOB_BG)
            assert runner.grab()[1] == handle
            runner.send_packet(T.WORK_COMPLETE, handle, b"")
        eventually(lambda: runner.status(handle) == (b"0", b"0", b"0", b"0"), "the end")
    assert Path(path).stat().st_size < 2_000_000, "300 jobs of 20 kB passed through"


@pytest.mark.parametrize("path", ["", " ", ":memory:", "/srv/:memory:", ":memory:?cache=shared", "a\0b"])
def test_a_path_that_would_keep_nothing_is_refused(path: str) -> None:
    assert store_problem(path)
    with pytest.raises(ConfigurationError, match="store: "), job_server(store=path):
        pass


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("'text', x'66', x'', 1, NULL, x'', x''", "handle is not a blob but str"),
        ("x'', x'66', x'', 1, NULL, x'', x''", "the handle is b''"),
        ("x'483a683a31', x'', x'', 1, NULL, x'', x''", "the function is b''"),
        ("x'483a683a31', x'660a', x'', 1, NULL, x'', x''", "the function is"),
        ("x'483a683a31', 5, x'', 1, NULL, x'', x''", "function is not a blob but int"),
        ("x'483a683a31', x'66', zeroblob(99), 1, NULL, x'', x''", "the unique id is"),
        ("x'483a683a31', x'66', x'', 7, NULL, x'', x''", "the priority is 7"),
        ("x'483a683a31', x'66', x'', 'high', NULL, x'', x''", "the priority is 'high'"),
        ("x'483a683a31', x'66', x'', 1, 9e999, x'', x''", "the time is inf"),
        ("x'483a683a31', x'66', x'', 1, 'soon', x'', x''", "the time is 'soon'"),
    ],
)
def test_a_row_that_is_no_job_is_named_with_how_to_delete_it(path: str, value: str, told: str) -> None:
    Store(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"INSERT INTO jobs VALUES ({value})")
    database.close()
    with pytest.raises(ConfigurationError, match="row 1 of table jobs is no job") as caught, job_server(store=path):
        pass
    assert told in str(caught.value)
    assert "DELETE FROM jobs WHERE rowid = 1" in str(caught.value)
    with sqlite3.connect(path, timeout=0.0) as database:  # the failed start has released the file
        database.execute("DELETE FROM jobs WHERE rowid = 1")
    database.close()
    assert kept(path) == []


def test_two_rows_that_should_have_been_joined_both_run(path: str) -> None:
    Store(path).close()
    with sqlite3.connect(path) as database:
        for number in (1, 2):
            database.execute("INSERT INTO jobs VALUES (?, x'66', x'75', 1, NULL, x'', x'')", (b"H:h:%d" % number,))
    database.close()
    with job_server(store=path) as server, Wire(server.port) as worker:
        worker.register(b"f")
        for handle in (b"H:h:1", b"H:h:2"):
            assert worker.grab()[1] == handle
            worker.send_packet(T.WORK_COMPLETE, handle, b"")
        assert worker.sync() == []
    assert kept(path) == []


def damage_a_page(path: str) -> None:
    store = Store(path)
    core = Core(host="h", job_store=store)
    for number in range(2000):
        core.ledger.submit(core.ledger.function(b"f"), b"%d" % number, bytes(200), NORMAL, None)
    store.commit()
    store.close()
    content = bytearray(Path(path).read_bytes())
    for page in range(3, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    Path(path).write_bytes(content)


def lose_the_table(path: str) -> None:
    Store(path).close()
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE jobs")
    database.close()


def cut_it_short(path: str) -> None:
    damage_a_page(path)
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])


def make_another_program_s(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE customers (name TEXT)")
    database.close()


@pytest.mark.parametrize("harm", [damage_a_page, lose_the_table, cut_it_short, make_another_program_s])
def test_a_damaged_file_is_reported_in_one_line_with_exit_78(path: str, harm: Callable[[str], None]) -> None:
    harm(path)
    before = Path(path).read_bytes()
    argv = [sys.executable, "-m", "gearpool", "server", "--listen", "127.0.0.1:0", "--store", path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78, done.stderr
    assert "Traceback" not in done.stderr
    assert f"store: {path}: " in done.stderr
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_is_gone_from_under_the_server_refuses_background_jobs(
    path: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with job_server(store=path) as server, Wire(server.port) as client:
        first = client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
        Path(path).rename(path + ".moved")
        if how == "replaced":
            Path(path).write_bytes(b"")
        for _ in range(100):
            assert client.ask(T.SUBMIT_JOB_BG, b"f", b"", b"")[:2] == (T.ERROR, b"QUEUE_ERROR")
        assert client.submit(b"f", b"v"), "foreground jobs are not kept anyway"
        client.register(b"f")
        assert client.grab()[1] == first
    lines = [record.getMessage() for record in caplog.records if "cannot write to" in record.getMessage()]
    assert lines
    assert how in lines[0]
    assert len(lines) < 20, "the log is limited"


@pytest.mark.parametrize("kind", [T.GRAB_JOB, T.GRAB_JOB_UNIQ, T.GRAB_JOB_ALL])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_job_that_was_refused_does_not_run_though_a_worker_grabbed_it_at_once(path: str, kind: T, size: int) -> None:
    store = Store(path)
    core = Core(job_store=store)
    client, runner = Talker(core), worker(core)
    core.receive(client.peer, request(T.SUBMIT_JOB, b"f", b"u", b""))
    core.receive(client.peer, request(T.SUBMIT_REDUCE_JOB_BACKGROUND, b"f", b"v", b"sum", b"", bytes(size)))
    core.receive(runner.peer, request(kind) * 3)
    core.take_back(store.drop_added())
    check(core.ledger)
    assert [reply[0] for reply in client.heard()] == [T.JOB_CREATED, T.ERROR]
    replies = runner.heard()
    assert len(replies) == 3
    assert replies[0][0] in (T.JOB_ASSIGN, T.JOB_ASSIGN_UNIQ)
    assert replies[1:] == [(T.NO_JOB,)] * 2
    assert len(runner.peer.running) == 1
    assert runner.peer.lent == 0
    assert len(core.ledger.jobs) == 1
    store.close()


def test_taking_many_jobs_back_walks_over_the_replies_of_their_worker_once(path: str) -> None:
    walks = []

    class Replies(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            walks.append(len(self))
            return super().__iter__()

        def __contains__(self, _: object) -> bool:
            raise AssertionError("a walk for each job")

    store = Store(path)
    core = Core(job_store=store)
    client, runner = Talker(core), worker(core)
    kept = client.submit(unique=b"kept", kind=T.SUBMIT_JOB_BG)
    store.commit()
    sizes = [10, 100_000, 1, 5000] * 20
    core.receive(client.peer, b"".join(request(T.SUBMIT_JOB_BG, b"f", b"", bytes(size)) for size in sizes))
    core.receive(runner.peer, request(T.ECHO_REQ, b"x") + request(T.GRAB_JOB_UNIQ) * 40 + request(T.GRAB_JOB) * 41)
    while runner.peer.behind:
        core.advance(runner.peer)
    runner.peer.out = Replies(runner.peer.out)
    core.take_back(store.drop_added())
    check(core.ledger)
    assert len(walks) <= 2, "one to find the submissions' replies, one to find the assigned jobs"
    runner.peer.out = list(runner.peer.out)
    replies = runner.heard()
    assert replies[0] == (T.ECHO_RES, b"x")
    assert replies[1][1] == kept
    assert replies[2:] == [(T.NO_JOB,)] * len(sizes)
    assert list(core.ledger.jobs) == [kept]
    store.close()


def test_a_full_disk_refuses_jobs_that_then_do_not_run_and_the_log_stays_short(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with job_server(store=path) as server, Wire(server.port) as client, Wire(server.port) as worker:

        def leave_room_for(pages: int) -> None:
            def limit(each: JobServer) -> None:
                assert each._store is not None
                each._store._file.execute(f"PRAGMA max_page_count = {pages}")

            server.call(limit)

        worker.register(b"f").send_packet(T.PRE_SLEEP)
        client.submit(b"f", b"kept", b"", T.SUBMIT_JOB_BG)
        assert worker.receive() == (T.NOOP,)
        leave_room_for(1)
        for number in range(100):
            # In one write, so that the worker may grab before the reply is sent.
            worker.send_packet(T.GRAB_JOB_UNIQ)
            reply = client.ask(T.SUBMIT_JOB_BG, b"f", b"%d" % number, bytes(20_000))
            assert reply[:2] == (T.ERROR, b"QUEUE_ERROR")
        grabbed = [reply[3] for reply in worker.sync() if reply[0] is T.JOB_ASSIGN_UNIQ]
        assert grabbed == [b"kept"]
        leave_room_for(1_000_000)
        client.submit(b"f", b"again", b"", T.SUBMIT_JOB_BG)
        assert worker.grab()[3] == b"again"
    lines = [record.getMessage() for record in caplog.records if "cannot write to" in record.getMessage()]
    assert lines
    assert "full" in lines[0]
    assert len(lines) < 20


def on_disk_after_kill_9(path: str, tmp_path: Path) -> list[bytes]:
    """The handles that a server would find if the one that is running were killed now."""
    copy = tmp_path / "after-kill-9"
    copy.mkdir()
    for file in Path(path).parent.glob(Path(path).name + "*"):
        shutil.copy(file, copy / file.name)
    try:
        return [each.handle for each in kept(str(copy / Path(path).name))]
    finally:
        shutil.rmtree(copy)


def test_an_end_that_could_not_be_written_runs_again_after_kill_9_and_only_then(path: str, tmp_path: Path) -> None:
    store = Store(path)
    core = Core(job_store=store)
    handle = Talker(core).submit(kind=T.SUBMIT_JOB_BG)
    store.commit()
    runner = worker(core)
    runner.grab()
    runner.say(T.WORK_COMPLETE, handle, b"")
    assert on_disk_after_kill_9(path, tmp_path) == [handle], "the report has not been committed yet"
    store._file.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError):
        store.commit()
    assert on_disk_after_kill_9(path, tmp_path) == [handle]
    store._file.execute("PRAGMA query_only = OFF")
    store.commit()
    assert on_disk_after_kill_9(path, tmp_path) == [], "it is tried again with the next commit"
    store.close()


def test_with_the_clock_set_back_handles_go_on_behind_those_in_the_store_and_repeat_without_one(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_us = [2_000_000_000_000_000]
    monkeypatch.setattr("time.time_ns", lambda: now_us[0] * 1000)
    with job_server(store=path) as server:
        with Wire(server.port) as client:
            first = client.submit(b"f", b"u", b"", T.SUBMIT_JOB_BG)
        now_us[0] -= 3_600_000_000
        server.restart()
        with Wire(server.port) as client:
            later = client.submit(b"f", b"v", b"", T.SUBMIT_JOB_BG)
            assert int(later.rpartition(b":")[2]) == int(first.rpartition(b":")[2]) + 1
            client.register(b"f")
            for _ in range(2):
                client.send_packet(T.WORK_COMPLETE, client.grab()[1], b"")
            client.sync()
        server.restart()
        with Wire(server.port) as client:
            assert client.submit(b"f").endswith(b":%d" % now_us[0]), "the store is empty: only the clock is left"
