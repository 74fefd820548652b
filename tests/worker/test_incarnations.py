from __future__ import annotations

import pytest

from gearpool.protocol.admin import Command
from gearpool.worker.pool import Pool
from tests.conformance.wire import ask_text
from tests.processes import Gearmand, wait_for
from tests.worker.serving import function, serving


def pid_of(server: str) -> str:
    return ask_text(int(server.rpartition(":")[2]), Command.GETPID).decode().strip()


def know(pool: Pool, server: str, pid: str | None, learned: list[tuple[str, str]]) -> list[bytes]:
    """Know something of two jobs and the server's process id, connect, and say what is still known then."""
    pool.suspects.take_down([["work", server, "hH:vm:1", 1, 0], ["work", server, "uone", 1, 0]], None)
    pool.incarnations.on_learned = lambda name, pid: learned.append((name, pid))
    pool.incarnations.pids = {} if pid is None else {server: pid}
    pool.incarnations.connected(server)
    return list(pool.functions["work"].notes_of(server))


def test_a_server_with_another_process_id_gives_its_handles_anew(server: str) -> None:
    learned: list[tuple[str, str]] = []
    with serving([function("work", lambda arg: arg)], server) as pool:
        assert pool.call(lambda pool: know(pool, server, "OK 1", learned)) == [b"uone"]
    assert learned == [(server, pid_of(server))]


@pytest.mark.parametrize("known", [True, False])
def test_a_server_that_is_the_same_or_was_never_known_is_taken_for_the_same(server: str, known: bool) -> None:
    learned: list[tuple[str, str]] = []
    pid = pid_of(server)
    with serving([function("work", lambda arg: arg)], server) as pool:
        notes = pool.call(lambda pool: know(pool, server, pid if known else None, learned))
        assert notes == [b"hH:vm:1", b"uone"]
    assert learned == ([] if known else [(server, pid)])


def test_where_no_handle_is_known_nobody_waits_for_the_answer(server: str) -> None:
    learned: list[tuple[str, str]] = []
    with serving([function("work", lambda arg: arg)], server) as pool:

        def connect(pool: Pool) -> bool:
            pool.incarnations.on_learned = lambda name, pid: learned.append((name, pid))
            pool.incarnations.connected(server)
            return not learned

        assert pool.call(connect)
        wait_for(lambda: learned == [(server, pid_of(server))], "the answer")


def test_a_server_that_does_not_answer_is_taken_for_the_same(gearmand: Gearmand) -> None:
    learned: list[tuple[str, str]] = []
    with serving([function("work", lambda arg: arg)], gearmand.address) as pool:
        gearmand.kill()
        wait_for(lambda: not any(pool.call(lambda pool: [lane.connected for lane in pool.lanes])), "the loss")
        assert pool.call(lambda pool: know(pool, gearmand.address, "OK 1", learned)) == [b"hH:vm:1", b"uone"]
    assert learned == []


def test_without_a_supervisor_nobody_is_asked(server: str) -> None:
    with serving([function("work", lambda arg: arg)], server) as pool:
        pool.call(lambda pool: pool.incarnations.connected(server))
        assert pool.call(lambda pool: pool.incarnations.pids) == {}
