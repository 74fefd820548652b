from __future__ import annotations

import threading
from typing import Any

import pytest

from gearpool import Client, Job, JobFailed
from gearpool.testing.servers import job_server
from gearpool.worker.pool import Pool
from tests.processes import wait_for
from tests.worker.serving import function, serving


def told(pool: Pool, name: str, server: str, *identities: str, kills: int = 0, suspected: int = 0) -> None:
    entries: list[list[Any]] = [[name, server, identity, kills, suspected] for identity in identities]
    pool.suspects.take_down(entries, pool.suspects.at_once)


def test_of_those_suspected_of_several_deaths_no_more_run_at_once_than_the_supervisor_says(
    server: str, client: Client
) -> None:
    running: list[str] = []
    most: list[int] = []
    enough = threading.Event()

    def work(arg: bytes, job: Job) -> bytes:
        import gevent

        running.append(job.unique)
        most.append(sum(unique.startswith("suspect") for unique in running))
        while not enough.is_set():
            gevent.sleep(0.005)
        running.remove(job.unique)
        return arg

    with serving([function("work", work)], server) as pool:
        uniques = [f"suspect{number}" for number in range(6)]

        def tell(pool: Pool) -> None:
            pool.suspects.at_once = 2
            told(pool, "work", server, *(f"u{unique}" for unique in uniques), suspected=2)
            told(pool, "work", server, "uonce", suspected=1)

        pool.call(tell)
        futures = [client.submit("work", b"x", unique=unique) for unique in [*uniques, "once", "innocent"]]
        wait_for(lambda: len(running) == 4, "two suspects, and the others beside them")
        assert {"once", "innocent"} < set(running)
        enough.set()
        assert [future.result(20) for future in futures] == [b"x"] * 8
    assert max(most) == 2


def test_suspects_wait_no_longer_when_the_limit_is_lifted(server: str, client: Client) -> None:
    ran: list[bytes] = []
    held = threading.Event()

    def work(arg: bytes) -> bytes:
        import gevent

        ran.append(arg)
        while not held.is_set():
            gevent.sleep(0.005)
        return arg

    with serving([function("work", work)], server) as pool:
        pool.call(lambda pool: pool.suspects.take_down([["work", server, f"u{n}", 0, 2] for n in range(3)], 1))
        futures = [client.submit("work", b"%d" % n, unique=str(n)) for n in range(3)]
        wait_for(lambda: len(ran) == 1, "the first")
        pool.call(lambda pool: pool.suspects.take_down([], None))
        wait_for(lambda: len(ran) == 3, "all of them")
        held.set()
        for future in futures:
            future.result(20)


@pytest.mark.parametrize("end", ["lost", "drained"])
def test_those_that_wait_to_be_run_apart_give_back_their_slots_with_their_connection(end: str) -> None:
    ran: list[bytes] = []
    enough = threading.Event()

    def work(arg: bytes) -> bytes:
        import gevent

        ran.append(arg)
        while not enough.is_set():
            gevent.sleep(0.005)
        return arg

    with job_server() as server, serving([function("work", work)], server.address) as pool:
        uniques = [str(number) for number in range(4)]
        pool.call(lambda pool: pool.suspects.take_down([["work", server.address, f"u{n}", 0, 2] for n in uniques], 1))
        with Client(server.address) as client:
            for unique in uniques:
                client.submit_background_job("work", unique, unique=unique)
        wait_for(lambda: pool.call(lambda pool: pool.slots.used) == 4, "all to have come")
        if end == "lost":
            settled: list[int] = []
            pool.call(lambda pool: setattr(pool, "on_settled", settled.append))
            pool.call(lambda pool: next(iter(pool.sessions)).close("lost"))
            assert sum(settled) == 3
            assert pool.call(lambda pool: pool.slots.used) == 1, "only the one that runs has a slot"
            enough.set()
        else:
            pool.call(lambda pool: pool.lanes[0].retire())
            enough_later = threading.Timer(0.2, enough.set)
            enough_later.start()
            assert pool.stop()
            enough_later.join()
            assert ran == [b"0"], "none is begun while the process goes away"


@pytest.mark.parametrize("outcome", ["complete", "failed", "poisoned"])
def test_a_report_of_whatever_kind_clears_the_job_and_is_told(server: str, client: Client, outcome: str) -> None:
    reported: list[object] = []

    def work(arg: bytes) -> bytes:
        if outcome == "failed":
            raise ValueError("no")
        return arg

    with serving([function("work", work)], server) as pool:
        pool.call(lambda pool: setattr(pool.suspects, "on_reported", reported.append))
        pool.call(lambda pool: told(pool, "work", server, "uone", "utwo", kills=3 if outcome == "poisoned" else 2))
        future = client.submit("work", b"x", unique="one")
        if outcome == "complete":
            assert future.result(20) == b"x"
        else:
            with pytest.raises(JobFailed):
                future.result(20)
        assert reported == [("work", server, b"uone")]
        assert list(pool.call(lambda pool: pool.functions["work"].notes_of(server))) == [b"utwo"]
        assert pool.outcomes("work") == {outcome: 1}


def test_what_is_known_of_a_job_of_one_server_says_nothing_of_its_namesake_on_another() -> None:
    with job_server() as first, job_server() as second:
        with serving([function("work", lambda arg: arg)], first.address, second.address) as pool:
            pool.call(lambda pool: told(pool, "work", first.address, "usame", kills=3))
            with Client(second.address) as client:
                assert client.submit_job("work", b"x", unique="same", timeout=20) == b"x"
            with Client(first.address) as client, pytest.raises(JobFailed):
                client.submit_job("work", b"x", unique="same", timeout=20)


def test_a_server_that_is_lost_may_give_its_handles_to_others_and_uniques_stay_what_they_are() -> None:
    lost: list[str] = []
    with job_server() as server:
        with serving([function("work", lambda arg: arg)], server.address) as pool:

            def lose(pool: Pool) -> list[bytes]:
                pool.suspects.on_server_lost = lost.append
                told(pool, "work", server.address, "hH:vm:1", "uone", kills=1)
                assert pool.suspects.knows_handles(server.address)
                pool.suspects.server_lost(server.address)
                assert not pool.suspects.knows_handles(server.address)
                return list(pool.functions["work"].notes_of(server.address))

            assert pool.call(lose) == [b"uone"]
    assert lost[0] == server.address


def test_the_supervisor_s_zeros_clear_a_job_here_too() -> None:
    with job_server() as server, serving([function("work", lambda arg: arg)], server.address) as pool:
        pool.call(lambda pool: told(pool, "work", server.address, "uone", kills=1))
        pool.call(lambda pool: told(pool, "work", server.address, "uone", "unever"))
        pool.call(lambda pool: told(pool, "nobody's", server.address, "uone", kills=1))
        assert pool.call(lambda pool: pool.functions["work"].notes_of(server.address)) == {}
