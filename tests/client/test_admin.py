"""The text protocol's commands against both servers."""

from __future__ import annotations

import pytest

from gearpool.client import Client
from gearpool.errors import ConnectFailed, GearpoolError, InvalidArgument, NoServersAvailable, ServerError
from tests.client.conftest import Server, Workers
from tests.processes import free_port


def test_status_and_priorities_count_what_waits(client: Client, server: Server, work: Workers) -> None:
    work(other=lambda job: b"")
    for priority in ("high", "low", "low"):
        client.submit_background_job("later", priority, priority=priority)
    rows = {row.function: row for row in client.admin.status()[server.address]}
    assert (rows["later"].total, rows["later"].running, rows["later"].workers) == (3, 0, 0)
    assert rows["other"].workers == 1
    (row,) = [row for row in client.admin.priority_status()[server.address] if row.function == "later"]
    assert (row.high, row.normal, row.low) == (1, 0, 2)


def test_workers_are_listed_with_their_functions(client: Client, server: Server, work: Workers) -> None:
    work(one=lambda job: b"", two=lambda job: b"")
    assert {"one", "two"} in [set(row.functions) for row in client.admin.workers()[server.address]]


def test_jobs_and_unique_ids_are_listed(client: Client, server: Server) -> None:
    job = client.submit_background_job("later", "x", unique="mine")
    assert [row.handle for row in client.admin.jobs()[server.address]] == [job.handle]
    assert client.admin.unique_jobs()[server.address] == ["mine"]


def test_cancel_takes_a_waiting_job_away(client: Client) -> None:
    job = client.submit_background_job("later", "x")
    assert client.admin.cancel(job) is True
    assert client.admin.cancel(job.handle) in (True, False)  # gearmand still lists a cancelled job until it is grabbed
    assert client.admin.cancel("H:nobody:999") is False


def test_a_full_queue_refuses_and_a_lifted_limit_does_not(client: Client) -> None:
    client.submit_background_job("later", "1")
    client.admin.maxqueue("later", 1)
    with pytest.raises(ServerError) as refused:
        client.submit_background_job("later", "2")
    assert refused.value.code == "QUEUE_ERROR"
    client.admin.maxqueue("later", None)
    client.submit_background_job("later", "2")
    client.admin.maxqueue("later", (1, 2, 3))
    with pytest.raises(ServerError):
        client.submit_background_job("later", "3")


def test_functions_are_created_and_dropped_but_not_with_jobs(client: Client, server: Server) -> None:
    client.admin.create("fresh")
    assert "fresh" in [row.function for row in client.admin.status()[server.address]]
    client.admin.drop("fresh")
    assert "fresh" not in [row.function for row in client.admin.status()[server.address]]
    client.submit_background_job("busy", "x")
    with pytest.raises(GearpoolError, match="busy has 1 job"):
        client.admin.drop("busy")
    assert "busy" in [row.function for row in client.admin.status()[server.address]]


def test_a_server_tells_its_version_pid_and_log_level(client: Client, server: Server) -> None:
    assert any(letter.isdigit() for letter in client.admin.version()[server.address])
    assert client.admin.getpid()[server.address] > 0
    assert client.admin.verbose()[server.address]


def test_a_server_that_is_down_is_named_and_does_not_hide_the_others(server: Server) -> None:
    dead = f"127.0.0.1:{free_port()}"
    with Client([dead, server.address]) as client:
        replies = client.admin.version()
        assert list(replies) == [server.address]
        assert isinstance(replies.failures[dead], ConnectFailed)
        with pytest.raises(NoServersAvailable):
            client.admin.version(dead)
        with pytest.raises(InvalidArgument):
            client.admin.cancel("H:bare:1")


@pytest.mark.parametrize("limits", [-1, (1, 2, -3), 2**31])
def test_queue_limits_are_checked(client: Client, limits: int | tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgument):
        client.admin.maxqueue("f", limits)
