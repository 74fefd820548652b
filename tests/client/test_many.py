"""Many submissions: nothing that was submitted is lost sight of, and nothing is overlooked."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from gearpool import InvalidArgument, JobFailed, JobHandle, ServerError, UsageError
from gearpool.client import Client
from gearpool.errors import GearpoolError
from gearpool.testing import job_server
from tests.client.conftest import Server, Workers
from tests.client.test_client import echo, fail
from tests.processes import free_port, wait_for


def queued(client: Client) -> int:
    (rows,) = client.admin.status().values()
    return sum(row.total for row in rows)


def bad_at(place: int, total: int) -> Iterator[Any]:
    for number in range(total):
        yield object() if number == place else str(number)


def broken_at(place: int) -> Iterator[str]:
    yield from (str(number) for number in range(place))
    raise ValueError("the application's own")


def test_a_bad_item_comes_after_the_handles_of_all_before_it(client: Client) -> None:
    handles: list[JobHandle] = []
    jobs = client.submit_background_jobs("later", bad_at(900, 2000))
    with pytest.raises(InvalidArgument, match=r"^item 900: the payload must be") as raised:
        handles.extend(jobs)
    assert raised.value.index == 900
    assert len({handle.handle for handle in handles}) == 900
    assert queued(client) == 900
    assert list(jobs) == []


def test_an_error_of_the_items_comes_after_the_handles_of_all_before_it(client: Client) -> None:
    handles: list[JobHandle] = []
    with pytest.raises(ValueError, match="own") as raised:
        handles.extend(client.submit_background_jobs("later", broken_at(900)))
    assert raised.value.__notes__ == ["at item 900 of the items to be submitted"]
    assert len(handles) == queued(client) == 900


def test_a_map_gives_the_results_before_a_bad_item(client: Client, work: Workers) -> None:
    work(echo=echo)
    for items, error in ((bad_at(300, 900), InvalidArgument), (broken_at(300), ValueError)):
        read: list[bytes] = []
        with pytest.raises(error):
            read.extend(client.map("echo", items))
        assert read == [str(number).encode() for number in range(300)]


def test_a_map_that_returns_exceptions_goes_on_after_a_bad_item(client: Client, work: Workers) -> None:
    work(echo=echo)
    results = list(client.map("echo", bad_at(1, 4), return_exceptions=True))
    assert results[0] == b"0"
    assert isinstance(results[1], InvalidArgument)
    assert results[1].index == 1
    assert results[2:] == [b"2", b"3"]


def test_the_index_of_a_job_that_failed_is_told(client: Client, work: Workers) -> None:
    work(fail=fail)
    with pytest.raises(JobFailed) as raised:
        list(client.map("fail", ["a"]))
    assert raised.value.index == 0


def test_after_a_refused_job_the_handles_behind_it_are_still_had(client: Client, server: Server) -> None:
    client.submit_background_job("later", "first")
    client.admin.maxqueue("later", 3)
    jobs = client.submit_background_jobs("later", [str(number) for number in range(5)])
    outcomes: list[object] = []
    while True:
        try:
            outcomes.append(next(jobs))
        except ServerError as error:
            outcomes.append(error.index)
        except StopIteration:
            break
    assert [type(each) for each in outcomes] == [JobHandle, JobHandle, int, int, int]
    assert outcomes[2:] == [2, 3, 4]


def test_a_window_of_items_is_submitted_when_the_call_is_made(client: Client, work: Workers) -> None:
    client.submit_background_jobs("later", ["a", "b"])
    wait_for(lambda: queued(client) == 2, "both jobs")
    done: list[object] = []
    work(echo=echo)
    client.submit_many("echo", ["a", "b"], on_done=done.append)
    wait_for(lambda: len(done) == 2, "both results")


@pytest.mark.parametrize("call", [Client.submit_background_jobs, Client.submit_many, Client.map])
def test_more_than_a_window_that_is_never_iterated_over_is_a_warning(client: Client, call: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(client, "later", [str(number) for number in range(11)], window=10)
        gc.collect()
    (told,) = caught
    assert told.category is RuntimeWarning
    assert "never iterated over: of its items only the first 10 were submitted" in str(told.message)


def test_one_who_stops_to_iterate_is_not_warned(client: Client) -> None:
    jobs = client.submit_background_jobs("later", [str(number) for number in range(1000)], window=10)
    assert next(jobs).handle
    del jobs
    gc.collect()


@pytest.mark.parametrize("call", [Client.submit_background_jobs, Client.submit_many, Client.map])
@pytest.mark.parametrize("items", ["abc", b"abc"])
def test_one_payload_is_not_taken_for_many(client: Client, call: Any, items: Any) -> None:
    with pytest.raises(InvalidArgument, match="several payloads"):
        call(client, "later", items)


def test_a_mistake_in_the_options_is_told_by_the_call(client: Client) -> None:
    bad: Any = "5"
    for call in (
        lambda: client.map("f", ["x"], timeout=bad),
        lambda: client.map("f", ["x"], window=bad),
        lambda: client.submit_many("f", ["x"], retry=bad, unique=str),
        lambda: client.submit_many("f", ["x"], payload=bad),
        lambda: client.map("", ["x"]),
    ):
        with pytest.raises(InvalidArgument):
            call()


def test_gather_says_how_it_is_called(client: Client) -> None:
    futures: Any = [client.submit("nobody", "x")]
    with pytest.raises(InvalidArgument, match=r"gather\(\*futures\)"):
        client.gather(futures)


def test_what_no_server_takes_is_yielded_with_its_error() -> None:
    with Client(f"127.0.0.1:{free_port()}") as client:
        errors = list(client.map("f", ["a", "b"], return_exceptions=True))
        assert [isinstance(error, GearpoolError) for error in errors] == [True, True]


def test_ten_thousand_items_with_a_small_window_arrive_in_order(work: Workers, client: Client) -> None:
    work(echo=echo)
    items = [str(number).encode() for number in range(10_000)]
    assert list(client.map("echo", items, window=37)) == items


def test_a_closed_client_is_told_by_every_call() -> None:
    with job_server() as server:
        client = Client(server.address)
        client.close()
        for call in (
            lambda: client.submit("f"),
            lambda: client.submit_job("f"),
            lambda: client.submit_background_job("f"),
            lambda: client.submit_background_jobs("f", ["x"]),
            lambda: client.submit_many("f", ["x"]),
            lambda: client.map("f", ["x"]),
            client.echo,
            lambda: client.get_job_status("H:1"),
        ):
            with pytest.raises(UsageError, match="the client is closed"):
                call()
        assert repr(client) == f"<Client {server.address} closed>"


def test_an_item_that_cannot_be_sent_is_not_submitted_as_another(client: Client, server: Server) -> None:
    items: Any = ["a", object(), "c"]
    list(client.map("nobody", items, return_exceptions=True, timeout=0.5))
    assert client.admin.status()[server.address][0].total == 2
