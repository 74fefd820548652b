"""Two servers: shares, fail-over, return, and nothing lost in silence."""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from gearpool.client import Client
from gearpool.client.routing import rank
from gearpool.errors import ConnectionLost, GearpoolError, NoServersAvailable, TimedOut
from tests.client.workers import Assigned, ThreadWorker
from tests.processes import Gearmand, free_port, running_gearmand, wait_for


@pytest.fixture
def two() -> Iterator[tuple[Gearmand, Gearmand]]:
    with running_gearmand() as one, running_gearmand() as other:
        yield one, other


def totals(client: Client) -> dict[str, int]:
    return {name: sum(row.total for row in rows) for name, rows in client.admin.status().items()}


def test_jobs_are_spread_by_unique_id_and_without_one(two: tuple[Gearmand, Gearmand]) -> None:
    with Client([server.address for server in two]) as client:
        for number in range(100):
            client.submit_background_job("f", "x", unique=f"u{number}")
        assert min(totals(client).values()) >= 25
        for _ in range(100):
            client.submit("g", "x")
        assert min(totals(client).values()) >= 50


def test_two_clients_send_one_unique_id_to_one_server(two: tuple[Gearmand, Gearmand]) -> None:
    addresses = [server.address for server in two]
    with Client(addresses) as client, Client(addresses[::-1]) as other:
        for number in range(20):
            one = client.submit_background_job("f", "x", unique=f"u{number}")
            assert str(other.submit_background_job("f", "y", unique=f"u{number}")) == str(one)


def test_the_server_that_made_a_handle_is_asked_about_it(two: tuple[Gearmand, Gearmand]) -> None:
    with Client([server.address for server in two]) as client:
        jobs = [client.submit_background_job("f", "x", unique=f"u{number}") for number in range(40)]
        assert len({job.server for job in jobs}) == 2
        for job in jobs:
            assert client.get_job_status(job).server == job.server
            assert client.get_job_status(str(job)).is_known
            assert client.get_job_status(unique=job.unique).server == job.server


def test_a_server_that_is_down_is_passed_over_and_named_when_all_are(two: tuple[Gearmand, Gearmand]) -> None:
    one, other = two
    with Client([one.address, other.address]) as client:
        one.kill()
        for number in range(20):
            assert client.submit_background_job("f", "x", unique=f"u{number}").server == other.address
        other.kill()
        wait_for(lambda: client._dispatch.pool.current(other.address) is None, "the client to notice")
        with pytest.raises(NoServersAvailable) as raised:
            client.submit_background_job("f", "x")
        assert set(raised.value.reasons) == {one.address, other.address}


def test_a_server_that_returns_is_found_in_the_background(two: tuple[Gearmand, Gearmand]) -> None:
    one, other = two
    with Client([one.address, other.address]) as client:
        one.kill()
        for number in range(40):  # some of them belong to the first server
            client.submit_background_job("f", "x", unique=f"u{number}")
        one.start()
        wait_for(lambda: client._dispatch.pool.current(one.address) is not None, "the return of the first server")
        servers = {client.submit_background_job("f", "x", unique=f"v{number}").server for number in range(40)}
        assert servers == {one.address, other.address}


def test_a_status_cannot_be_denied_while_a_server_is_down(two: tuple[Gearmand, Gearmand]) -> None:
    with Client([two[0].address, f"127.0.0.1:{free_port()}"]) as client, pytest.raises(NoServersAvailable):
        client.get_job_status("H:nobody:1")


def test_killing_one_of_two_servers_during_ten_thousand_submissions_loses_nothing_in_silence(
    two: tuple[Gearmand, Gearmand],
) -> None:
    one, other = two
    runs: Counter[bytes] = Counter()
    on_survivor: Counter[bytes] = Counter()
    killing = threading.Event()

    def note(job: Assigned) -> bytes:
        runs[job.data] += 1
        if runs.total() == 3000:
            killing.set()
        return job.data

    def note_on_survivor(job: Assigned) -> bytes:
        on_survivor[job.data] += 1
        return note(job)

    workers = [
        ThreadWorker(one.address, {"note": note}),
        ThreadWorker(other.address, {"note": note_on_survivor}),
    ]

    def kill() -> None:
        assert killing.wait(60)
        one.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    items = [str(number) for number in range(10_000)]
    with Client([one.address, other.address]) as client:
        results = list(
            client.map(
                "note",
                items,
                window=200,
                unique=lambda item: f"u{item!s}",
                retry=5,
                timeout=60,
                return_exceptions=True,
            )
        )
    killer.join(60)
    for worker in workers:
        worker.stop()
    assert len(results) == len(items)
    for item, result in zip(items, results, strict=True):
        assert result == item.encode() or isinstance(result, GearpoolError)
    # All were given five tries and one server lives: each has come to its end there.
    assert [result for result in results if isinstance(result, GearpoolError)] == []
    assert max(on_survivor.values()) == 1
    assert max(runs.values()) <= 2


def test_without_retry_each_ends_as_a_result_or_a_typed_error(two: tuple[Gearmand, Gearmand]) -> None:
    one, other = two
    workers = [ThreadWorker(server.address, {"echo": lambda job: job.data}) for server in two]
    count = 0

    def items() -> Iterator[str]:
        nonlocal count
        for number in range(10_000):
            if number == 4000:
                one.kill()
            count += 1
            yield str(number)

    with Client([one.address, other.address]) as client:
        results = list(client.map("echo", items(), window=500, timeout=60, return_exceptions=True))
    for worker in workers:
        worker.stop()
    errors = [result for result in results if isinstance(result, GearpoolError)]
    assert len(results) == count == 10_000
    assert all(isinstance(error, ConnectionLost) for error in errors)
    assert all(result == str(number).encode() for number, result in enumerate(results) if isinstance(result, bytes))


def test_a_server_that_hangs_does_not_hide_what_another_knows() -> None:
    with running_gearmand() as hung, running_gearmand() as knowing:
        with Client(knowing.address) as client:
            client.submit_background_job("later", "x", unique="mine")
        with Client([hung.address, knowing.address]) as client:
            client.echo(server=hung.address)
            hung.signal(signal.SIGSTOP)
            try:
                assert client.get_job_status(unique="mine", timeout=4.0).server == knowing.address
                with pytest.raises((TimedOut, NoServersAvailable)):  # it may be the one that knows
                    client.get_job_status(unique="nobody's", timeout=1.0)
            finally:
                hung.signal(signal.SIGCONT)


def test_a_server_that_hangs_leaves_a_job_time_for_the_next() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, running_gearmand() as running:
        hung = f"127.0.0.1:{listener.getsockname()[1]}"  # connects, and never answers
        uniques = (f"u{number}" for number in range(1000))
        unique = next(each for each in uniques if rank([hung, running.address], b"f", each.encode())[0] == hung)
        with Client([hung, running.address], request_timeout=60.0, connect_timeout=60.0) as client:
            assert client.submit_background_job("f", "x", unique=unique, timeout=6.0).server == running.address
