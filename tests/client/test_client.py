"""The whole client against both servers, from the caller's side."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gearpool import JobException, JobFailed, JobTimedOut
from gearpool.client import Client, Data, JobStatus, Progress, Warned
from gearpool.errors import ConnectionLost, GearpoolError, InvalidArgument, NoServersAvailable
from tests.client.conftest import Server, Workers
from tests.client.workers import Assigned, ExplodeError, FailError
from tests.processes import free_port, wait_for


def reverse(job: Assigned) -> bytes:
    return job.data[::-1]


def echo(job: Assigned) -> bytes:
    return job.data


def fail(job: Assigned) -> bytes:
    raise FailError


class Gate:
    """A handler that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.running = threading.Event()
        self.go = threading.Event()

    def __call__(self, job: Assigned) -> bytes:
        self.running.set()
        assert self.go.wait(30)
        return job.data


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_a_job_comes_back_with_its_result(client: Client, work: Workers) -> None:
    work(reverse=reverse)
    assert client.submit_job("reverse", "hello") == b"olleh"
    assert client.submit_job(b"reverse", b"\0\xff") == b"\xff\0"
    assert client.submit_job("reverse") == b""


@pytest.mark.parametrize("size", [0, 1, 65480, 65510, 65520, 65535, 65536, 65537, 65552, 16 * 1024 * 1024])
def test_payloads_of_all_sizes_come_back_unharmed(client: Client, work: Workers, size: int) -> None:
    work(echo=echo)
    data = random.Random(size).randbytes(size)
    assert client.submit_job("echo", data) == data


def test_ten_thousand_random_payloads_come_back_equal(client: Client, work: Workers) -> None:
    work(echo=echo)
    rng = random.Random(4730)
    # Short ones, and now and then one around the size of what is read at once.
    payloads = [rng.randbytes(rng.randrange(64) if number % 50 else rng.randrange(140_000)) for number in range(10_000)]
    assert list(client.map("echo", payloads)) == payloads


def test_a_function_name_that_is_no_text_works(client: Client, work: Workers) -> None:
    worker = work()
    worker._functions[b"\xff\xfe"] = reverse
    worker._sock.sendall(b"\0REQ\0\0\0\x01\0\0\0\x02\xff\xfe" + b"\0REQ\0\0\0\x27\0\0\0\0")
    assert client.submit_job(b"\xff\xfe", b"abc") == b"cba"
    assert "\udcff\udcfe" in [row.function for row in client.admin.status()[client._dispatch.names[0]]]


def test_a_failed_job_raises_and_can_be_tried_again(client: Client, work: Workers) -> None:
    runs = []

    def second_time(job: Assigned) -> bytes:
        runs.append(job.data)
        if len(runs) == 1:
            raise FailError
        return b"ok"

    work(shaky=second_time)
    with pytest.raises(JobFailed) as failure:
        client.submit_job("shaky", "x")
    assert failure.value.function == "shaky"
    assert failure.value.handle
    assert failure.value.retry() == b"ok"
    assert runs == [b"x", b"x"]


def test_a_failed_job_can_be_settled_with_a_value(client: Client, work: Workers) -> None:
    work(fail=fail)
    with pytest.raises(JobFailed) as failure:
        client.submit_job("fail", "x")
    assert failure.value.accept(b"default") == b"default"


def test_an_exception_comes_with_its_payload(client: Client, work: Workers) -> None:
    def explode(job: Assigned) -> bytes:
        raise ExplodeError(b"why\0\xff")

    work(explode=explode)
    with pytest.raises(JobException) as raised:
        client.submit_job("explode", "x")
    assert raised.value.payload == b"why\0\xff"


def test_without_the_exceptions_option_an_exception_is_a_failure(server: Server, work: Workers) -> None:
    def explode(job: Assigned) -> bytes:
        raise ExplodeError(b"why")

    work(explode=explode)
    with Client(server.address, exceptions=False) as client, pytest.raises(JobFailed):
        client.submit_job("explode", "x")


def test_events_of_a_running_job_come_in_order(client: Client, work: Workers) -> None:
    def stream(job: Assigned) -> bytes:
        job.part(b"a")
        job.status(1, 2)
        job.warn(b"careful")
        job.part(b"b")
        job.status(2, 2)
        return b"end"

    work(stream=stream)
    future = client.submit("stream", "x")
    assert list(future.events()) == [Data(b"a"), Progress(1, 2), Warned(b"careful"), Data(b"b"), Progress(2, 2)]
    assert future.result() == b"end"
    seen: list[object] = []
    assert client.submit_job("stream", "x", on_event=seen.append) == b"end"
    assert len(seen) == 5


def test_of_unread_statuses_only_the_last_is_kept(client: Client, work: Workers) -> None:
    def count(job: Assigned) -> bytes:
        for number in range(100):
            job.status(number, 100)
        return b""

    work(count=count)
    future = client.submit("count")
    future.result()
    assert list(future.events()) == [Progress(99, 100)]


def test_events_arrive_while_the_job_runs(client: Client, work: Workers, gate: Gate) -> None:
    def stream(job: Assigned) -> bytes:
        job.part(b"first")
        return gate(job)

    work(stream=stream)
    events = client.submit("stream", "x").events()
    assert next(events) == Data(b"first")
    gate.go.set()
    assert list(events) == []


@pytest.mark.parametrize("background", [False, True])
def test_high_runs_before_normal_before_low(client: Client, work: Workers, gate: Gate, background: bool) -> None:
    order: list[bytes] = []

    def note(job: Assigned) -> bytes:
        order.append(job.data)
        return b"" if job.data != b"first" else gate(job)

    work(note=note)
    client.submit("note", "first")
    assert gate.running.wait(10)
    futures = []
    for priority in ("low", "normal", "high"):
        if background:
            client.submit_background_job("note", priority, priority=priority)
        else:
            futures.append(client.submit("note", priority, priority=priority))
    client.echo()  # all are submitted now
    gate.go.set()
    wait_for(lambda: len(order) == 4, "four jobs")
    assert order == [b"first", b"high", b"normal", b"low"]
    client.gather(*futures)


def test_the_status_of_a_job_from_waiting_to_unknown(client: Client, work: Workers, gate: Gate) -> None:
    def slow(job: Assigned) -> bytes:
        job.status(3, 10)
        return gate(job)

    job = client.submit_background_job("slow", "x", unique="mine")
    assert client.get_job_status(job) == JobStatus(job.handle, True, False, None, server=job.server)
    work(slow=slow)
    assert gate.running.wait(10)
    wait_for(lambda: client.get_job_status(job).progress, "the worker's status to reach the server")
    for status in (
        client.get_job_status(job),
        client.get_job_status(str(job)),
        client.get_job_status(job.handle),
        client.get_job_status(unique="mine"),
    ):
        assert (status.is_known, status.is_running, status.progress) == (True, True, 0.3)
    gate.go.set()
    wait_for(lambda: not client.get_job_status(job).is_known, "the end of the job")
    assert client.get_job_status(job).is_running is False
    assert client.get_job_status(unique="mine").is_known is False


def test_jobs_of_one_unique_id_run_once_and_answer_all(client: Client, server: Server, work: Workers) -> None:
    gate = Gate()
    first = client.submit("once", "one", unique="same")
    second = client.submit("once", "two", unique="same")
    with Client(server.address) as other:
        third = other.submit("once", "three", unique="same")
        assert first.job().handle == second.job().handle == third.job().handle
        worker = work(once=gate)
        gate.go.set()
        assert [future.result() for future in (first, second, third)] == [b"one"] * 3
    assert len(worker.jobs) == 1


def test_coalesced_jobs_of_one_connection_get_each_event_once(client: Client, work: Workers) -> None:
    def stream(job: Assigned) -> bytes:
        job.part(b"a")
        job.part(b"b")
        return b"end"

    futures = [client.submit("stream", "x", unique="same") for _ in range(3)]
    assert len({future.job().handle for future in futures}) == 1
    work(stream=stream)
    for future in futures:
        assert future.result() == b"end"
        assert list(future.events()) == [Data(b"a"), Data(b"b")]


def test_a_background_job_without_unique_id_gets_a_fresh_one(client: Client) -> None:
    uniques = {client.submit_background_job("later", "same").unique for _ in range(50)}
    assert len(uniques) == 50
    assert all(1 <= len(unique) <= 63 for unique in uniques)


def test_a_job_for_later_waits_for_its_time(client: Client, work: Workers) -> None:
    ran = threading.Event()

    def note(job: Assigned) -> bytes:
        ran.set()
        return b""

    job = client.submit_background_job("later", "x", delay=3600)
    soon = client.submit_background_job("soon", "x", at=time.time() - 1)
    work(later=note)
    assert client.get_job_status(job).is_known
    assert not ran.is_set()
    work(soon=note)
    assert ran.wait(10)
    wait_for(lambda: not client.get_job_status(soon).is_known, "the end of the job that was due")


def test_a_reducer_reaches_the_worker(client: Client, work: Workers) -> None:
    worker = work(part=echo)
    assert client.submit_job("part", b"d\0ata", reducer="total") == b"d\0ata"
    assert worker.jobs[0].reducer == b"total"


def test_echo_comes_back(client: Client) -> None:
    assert client.echo(b"any\0bytes") == b"any\0bytes"


def test_map_keeps_the_order_and_the_window(client: Client, work: Workers) -> None:
    taken = 0

    def items() -> Iterator[str]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield str(number)

    work(echo=echo)
    results = client.map("echo", items(), window=10)
    for number, result in enumerate(results):
        assert result == str(number).encode()
        assert taken <= number + 11


def test_map_raises_where_a_job_failed_or_yields_the_error(client: Client, work: Workers) -> None:
    def odd(job: Assigned) -> bytes:
        if int(job.data) % 2:
            raise FailError
        return job.data

    work(odd=odd)
    results = client.map("odd", ["0", "1", "2"])
    assert next(results) == b"0"
    with pytest.raises(JobFailed):
        next(results)
    with_errors = list(client.map("odd", ["0", "1", "2"], return_exceptions=True))
    assert [isinstance(each, JobFailed) for each in with_errors] == [False, True, False]


def test_gather_gives_results_in_order(client: Client, work: Workers) -> None:
    work(echo=echo, fail=fail)
    futures = [client.submit("echo", str(number)) for number in range(20)]
    assert client.gather(*futures) == [str(number).encode() for number in range(20)]
    mixed = [client.submit("echo", "x"), client.submit("fail", "y")]
    with pytest.raises(JobFailed):
        client.gather(*mixed)
    assert isinstance(client.gather(*mixed, return_exceptions=True)[1], JobFailed)


def test_many_background_jobs_are_handed_over_pipelined(client: Client) -> None:
    handles = list(client.submit_background_jobs("later", (str(number) for number in range(2500)), window=100))
    assert len({handle.handle for handle in handles}) == 2500
    ((row,),) = client.admin.status().values()
    assert row.total == 2500


def test_a_job_nobody_runs_times_out_and_says_its_handle(client: Client) -> None:
    with pytest.raises(JobTimedOut) as raised:
        client.submit_job("nobody", "x", timeout=2.0)  # time enough for the acknowledgement on a busy machine
    assert raised.value.handle
    future = client.submit("nobody", "x")
    future.job()
    for call in (lambda: future.result(0.01), lambda: list(future.events(0.01))):
        with pytest.raises(JobTimedOut):
            call()
    with pytest.raises(JobTimedOut):
        client.gather(future, future, timeout=0.05)


def test_a_result_that_comes_after_a_time_out_can_still_be_had(client: Client, work: Workers, gate: Gate) -> None:
    work(slow=gate)
    future = client.submit("slow", "x")
    assert gate.running.wait(10)
    with pytest.raises(JobTimedOut):
        future.result(0.01)
    gate.go.set()
    assert future.result() == b"x"


def test_closing_the_client_wakes_those_who_wait(server: Server) -> None:
    client = Client(server.address)
    future = client.submit("nobody", "x")
    future.job()
    outcome: list[GearpoolError | None] = []
    waiter = threading.Thread(target=lambda: outcome.append(future.exception()))
    waiter.start()
    client.close()
    waiter.join(10)
    assert isinstance(outcome[0], ConnectionLost)
    with pytest.raises(GearpoolError):
        client.submit("nobody", "x")
    client.close()


def test_callbacks_are_called_once_whenever_they_are_added(client: Client, work: Workers) -> None:
    work(echo=echo)
    called: list[object] = []
    future = client.submit("echo", "x")
    future.add_done_callback(called.append)
    future.result()
    wait_for(lambda: called == [future], "the callback")
    future.add_done_callback(called.append)
    assert called == [future, future]


def test_threads_share_a_client(client: Client, work: Workers) -> None:
    work(echo=echo)
    work(echo=echo)
    wrong: list[object] = []

    def use(name: int) -> None:
        for number in range(100):
            data = f"{name}-{number}".encode()
            if client.submit_job("echo", data) != data:
                wrong.append(data)

    threads = [threading.Thread(target=use, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.submit("f", unique="x" * 64),
        lambda client: client.submit("f", unique="-"),
        lambda client: client.submit("f", retry=1),
        lambda client: client.get_job_status(),
        lambda client: client.get_job_status("1.2.3.4:1/H:x:1"),
        lambda client: client.get_job_status("x" * 64),
        lambda client: list(client.map("f", ["x"], window=0)),
        lambda client: client.echo(server="1.2.3.4:1"),
    ],
)
def test_wrong_arguments_are_refused(client: Client, call: Callable[[Client], object]) -> None:
    with pytest.raises(InvalidArgument):
        call(client)


def test_map_yields_an_error_for_each_item_that_cannot_be_sent() -> None:
    with Client(f"127.0.0.1:{free_port()}") as client:
        results = list(client.map("f", ["a", "b", "c"], return_exceptions=True))
        assert [type(result) for result in results] == [NoServersAvailable] * 3
        with pytest.raises(NoServersAvailable):
            list(client.map("f", ["a"]))
        with pytest.raises(NoServersAvailable):
            list(client.submit_background_jobs("f", ["a"]))


def test_a_background_future_has_no_result(client: Client) -> None:
    (future,) = client.submit_many("later", ["x"], background=True)
    assert future.job().handle
    with pytest.raises(InvalidArgument):
        future.result()


def test_a_job_that_was_cancelled_does_not_keep_its_client_waiting(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gearpool.client.submission.CHECK_S", 0.2)
    future = client.submit("nobody", "x")
    assert client.admin.cancel(future.job())
    with pytest.raises((ConnectionLost, JobFailed)):
        future.result(30)
