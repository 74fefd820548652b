"""Jobs that ran when a process died: when they are run, refused and cleared."""

from __future__ import annotations

import threading
from typing import Any

import gevent
import pytest

from gearpool import Client, Job, JobFailed
from gearpool.testing.servers import job_server
from gearpool.worker.pool import WorkerPool
from tests.processes import wait_for
from tests.worker.serving import function, serving


def set_notes(pool: WorkerPool, name: str, server: str, *identities: str, kills: int = 0, suspected: int = 0) -> None:
    entries: list[list[Any]] = [[name, server, identity, kills, suspected] for identity in identities]
    pool.suspects.set_notes(entries, pool.suspects.at_once)


def test_no_more_suspects_of_several_deaths_run_at_once_than_the_supervisor_allows(server: str, client: Client) -> None:
    running: list[str] = []
    concurrent: list[int] = []
    release = threading.Event()

    def work(arg: bytes, job: Job) -> bytes:
        running.append(job.unique)
        concurrent.append(sum(unique.startswith("suspect") for unique in running))
        while not release.is_set():
            gevent.sleep(0.005)
        running.remove(job.unique)
        return arg

    with serving([function("work", work)], server) as pool:
        uniques = [f"suspect{number}" for number in range(6)]

        def note(pool: WorkerPool) -> None:
            pool.suspects.at_once = 2
            set_notes(pool, "work", server, *(f"u{unique}" for unique in uniques), suspected=2)
            set_notes(pool, "work", server, "uonce", suspected=1)

        pool.call(note)
        futures = [client.submit("work", b"x", unique=unique) for unique in [*uniques, "once", "innocent"]]
        wait_for(lambda: len(running) == 4, "two suspects and the two other jobs")
        assert {"once", "innocent"} < set(running)
        release.set()
        assert [future.result(20) for future in futures] == [b"x"] * 8
    assert max(concurrent) == 2


def test_waiting_suspects_run_when_the_limit_is_lifted(server: str, client: Client) -> None:
    ran: list[bytes] = []
    release = threading.Event()

    def work(arg: bytes) -> bytes:
        ran.append(arg)
        while not release.is_set():
            gevent.sleep(0.005)
        return arg

    with serving([function("work", work)], server) as pool:
        pool.call(lambda pool: pool.suspects.set_notes([["work", server, f"u{n}", 0, 2] for n in range(3)], 1))
        futures = [client.submit("work", b"%d" % n, unique=str(n)) for n in range(3)]
        wait_for(lambda: len(ran) == 1, "the first")
        pool.call(lambda pool: pool.suspects.set_notes([], None))
        wait_for(lambda: len(ran) == 3, "all of them")
        release.set()
        for future in futures:
            future.result(20)


@pytest.mark.parametrize("end", ["lost", "drained"])
def test_waiting_suspects_release_their_slots_when_their_connection_is_lost(end: str) -> None:
    ran: list[bytes] = []
    release = threading.Event()

    def work(arg: bytes) -> bytes:
        ran.append(arg)
        while not release.is_set():
            gevent.sleep(0.005)
        return arg

    with job_server() as server, serving([function("work", work)], server.address) as pool:
        uniques = [str(number) for number in range(4)]
        pool.call(lambda pool: pool.suspects.set_notes([["work", server.address, f"u{n}", 0, 2] for n in uniques], 1))
        with Client(server.address) as client:
            for unique in uniques:
                client.submit_background_job("work", unique, unique=unique)
        wait_for(lambda: pool.call(lambda pool: pool.admission.used) == 4, "all jobs to be received")
        if end == "lost":
            ended: list[int] = []
            pool.call(lambda pool: setattr(pool.admission, "on_job_ended", ended.append))
            pool.call(lambda pool: next(iter(pool.sessions)).close("lost"))
            assert sum(ended) == 3
            assert pool.call(lambda pool: pool.admission.used) == 1, "only the running job has a slot"
            release.set()
        else:
            pool.call(lambda pool: pool.lanes[0].drain())
            release_later = threading.Timer(0.2, release.set)
            release_later.start()
            assert pool.stop()
            release_later.join()
            assert ran == [b"0"], "no other job is started during a drain"


@pytest.mark.parametrize("outcome", ["complete", "failed", "poisoned"])
def test_any_kind_of_report_removes_the_note_and_notifies_the_supervisor(
    server: str, client: Client, outcome: str
) -> None:
    reported: list[object] = []

    def work(arg: bytes) -> bytes:
        if outcome == "failed":
            raise ValueError("no")
        return arg

    with serving([function("work", work)], server) as pool:
        pool.call(lambda pool: setattr(pool.suspects, "on_reported", reported.append))
        pool.call(lambda pool: set_notes(pool, "work", server, "uone", "utwo", kills=3 if outcome == "poisoned" else 2))
        future = client.submit("work", b"x", unique="one")
        if outcome == "complete":
            assert future.result(20) == b"x"
        else:
            with pytest.raises(JobFailed):
                future.result(20)
        assert reported == [("work", server, b"uone")]
        assert list(pool.call(lambda pool: pool.functions["work"].notes_of(server))) == [b"utwo"]
        assert pool.outcomes("work") == {outcome: 1}


def test_a_note_applies_only_to_the_server_of_its_job() -> None:
    with job_server() as first, job_server() as second:
        with serving([function("work", lambda arg: arg)], first.address, second.address) as pool:
            pool.call(lambda pool: set_notes(pool, "work", first.address, "usame", kills=3))
            with Client(second.address) as client:
                assert client.submit_job("work", b"x", unique="same", timeout=20) == b"x"
            with Client(first.address) as client, pytest.raises(JobFailed):
                client.submit_job("work", b"x", unique="same", timeout=20)


def test_when_a_server_is_lost_notes_by_handle_are_dropped_and_those_by_unique_id_kept() -> None:
    lost: list[str] = []
    with job_server() as server:
        with serving([function("work", lambda arg: arg)], server.address) as pool:

            def lose(pool: WorkerPool) -> list[bytes]:
                pool.suspects.on_server_lost = lost.append
                set_notes(pool, "work", server.address, "hH:vm:1", "uone", kills=1)
                assert pool.suspects.knows_handles(server.address)
                pool.suspects.server_lost(server.address)
                assert not pool.suspects.knows_handles(server.address)
                return list(pool.functions["work"].notes_of(server.address))

            assert pool.call(lose) == [b"uone"]
    assert lost[0] == server.address


def test_zeros_from_the_supervisor_remove_the_note() -> None:
    with job_server() as server, serving([function("work", lambda arg: arg)], server.address) as pool:
        pool.call(lambda pool: set_notes(pool, "work", server.address, "uone", kills=1))
        pool.call(lambda pool: set_notes(pool, "work", server.address, "uone", "unever"))
        pool.call(lambda pool: set_notes(pool, "unserved", server.address, "uone", kills=1))
        assert pool.call(lambda pool: pool.functions["work"].notes_of(server.address)) == {}
