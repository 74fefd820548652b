"""How a restart of a job server is detected."""

from __future__ import annotations

import pytest

from gearpool.protocol.admin import Command
from gearpool.worker.pool import WorkerPool
from tests.conformance.wire import ask_text
from tests.processes import Gearmand, wait_for
from tests.worker.serving import function, serving


def pid_of(server: str) -> str:
    return ask_text(int(server.rpartition(":")[2]), Command.GETPID).decode().strip()


def connect_with_notes(pool: WorkerPool, server: str, pid: str | None, learned: list[tuple[str, str]]) -> list[bytes]:
    """Set two notes and the known process id, connect, and return the notes that are left."""
    pool.suspects.set_notes([["work", server, "hH:vm:1", 1, 0], ["work", server, "uone", 1, 0]], None)
    pool.incarnations.on_learned = lambda name, pid: learned.append((name, pid))
    pool.incarnations.pids = {} if pid is None else {server: pid}
    pool.incarnations.connected(server)
    return list(pool.functions["work"].notes_of(server))


def test_notes_by_handle_are_dropped_if_the_server_has_another_process_id(server: str) -> None:
    learned: list[tuple[str, str]] = []
    with serving([function("work", lambda arg: arg)], server) as pool:
        assert pool.call(lambda pool: connect_with_notes(pool, server, "OK 1", learned)) == [b"uone"]
    assert learned == [(server, pid_of(server))]


@pytest.mark.parametrize("known", [True, False])
def test_notes_are_kept_if_the_process_id_is_the_same_or_was_unknown(server: str, known: bool) -> None:
    learned: list[tuple[str, str]] = []
    pid = pid_of(server)
    with serving([function("work", lambda arg: arg)], server) as pool:
        notes = pool.call(lambda pool: connect_with_notes(pool, server, pid if known else None, learned))
        assert notes == [b"hH:vm:1", b"uone"]
    assert learned == ([] if known else [(server, pid)])


def test_without_notes_by_handle_the_answer_is_not_waited_for(server: str) -> None:
    learned: list[tuple[str, str]] = []
    with serving([function("work", lambda arg: arg)], server) as pool:

        def connect(pool: WorkerPool) -> bool:
            pool.incarnations.on_learned = lambda name, pid: learned.append((name, pid))
            pool.incarnations.connected(server)
            return not learned

        assert pool.call(connect)
        wait_for(lambda: learned == [(server, pid_of(server))], "the answer")


def test_notes_are_kept_if_the_server_does_not_answer(gearmand: Gearmand) -> None:
    learned: list[tuple[str, str]] = []
    with serving([function("work", lambda arg: arg)], gearmand.address) as pool:
        gearmand.kill()
        wait_for(lambda: not any(pool.call(lambda pool: [lane.connected for lane in pool.lanes])), "the loss")
        assert pool.call(lambda pool: connect_with_notes(pool, gearmand.address, "OK 1", learned)) == [
            b"hH:vm:1",
            b"uone",
        ]
    assert learned == []


def test_without_a_supervisor_no_server_is_asked(server: str) -> None:
    with serving([function("work", lambda arg: arg)], server) as pool:
        pool.call(lambda pool: pool.incarnations.connected(server))
        assert pool.call(lambda pool: pool.incarnations.pids) == {}
