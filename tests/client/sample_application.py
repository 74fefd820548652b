"""An application written against the public names only: `mypy --strict` must accept it as users would write it.

A submitter, a worker with its handlers, an asyncio submitter, and the tests of all three.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

import gearpool
from gearpool import (
    Abort,
    AsyncClient,
    Client,
    Job,
    JobException,
    JobFailed,
    JobStatus,
    JobTimedOut,
    JobTimeout,
    NoServersAvailable,
    Retry,
    Skip,
    Worker,
)
from gearpool.client import Data, JobFuture, JobHandle, Progress, Warned
from gearpool.settings import RetrySettings
from gearpool.testing import JobResult, ThreadedJobServer, ThreadedWorker, job_server, run_job, working


def thumbnails(client: Client, pictures: Iterator[bytes]) -> int:
    size = 0
    for picture in client.map("thumbnail", pictures, window=50):
        size += len(picture)
    return size


def careful(client: Client, data: str) -> bytes:
    try:
        return client.submit_job("reverse", data, timeout=10)
    except JobException as error:
        print(error.payload.decode())
        return error.accept(b"")
    except JobFailed as error:
        return error.retry(timeout=10)
    except JobTimedOut as error:
        print(error.handle)
        raise


def follow(future: JobFuture) -> bytes:
    for event in future.events():
        match event:
            case Data(data):
                sys.stdout.buffer.write(data)
            case Warned(text):
                sys.stderr.buffer.write(text)
            case Progress(numerator, denominator):
                print(f"{numerator}/{denominator}")
    return future.result()


def main(servers: list[str]) -> tuple[bytes, JobStatus]:
    with gearpool.Client(servers) as client:
        job: JobHandle = client.submit_background_job("sleep", "1", priority="high")
        status = client.get_job_status(job)
        first, second = client.submit("reverse", "a"), client.submit("reverse", b"b", unique="b", retry=1)
        results: list[bytes] = client.gather(first, second)
        mixed = client.gather(first, second, return_exceptions=True)
        assert all(isinstance(result, bytes) for result in mixed)
        for server, rows in client.admin.status().items():
            print(server, [row.function for row in rows])
        return b"".join(results), status


def reachable(servers: str) -> bool:
    try:
        with Client(servers) as client:
            return client.echo(b"x") == b"x"
    except NoServersAvailable as error:
        print(error.reasons)
        return False


def reverse(arg: bytes) -> bytes:
    return arg[::-1]


def patient(arg: str, job: Job) -> str | None:
    if job.attempt < 3:
        raise Retry(delay=0.1)
    if not arg:
        raise Skip
    try:
        job.progress(1, 2)
        job.log.info("half of it")
    except JobTimeout:
        job.warning(f"{job.function} {job.handle} ran out of time")
        raise
    return f"{arg} on {job.server}, {job.remaining()} s left"


def stream(arg: bytes, job: Job) -> Generator[bytes, None, bytes]:
    if not arg:
        raise Abort("nothing to do")
    yield from (arg[number : number + 1] for number in range(len(arg)))
    return b""


def serve(servers: list[str], jobs: int) -> int:
    with Worker(servers, concurrency=10) as worker:
        worker.add_ability("reverse", reverse, timeout=30)
        worker.add_ability(
            "patient",
            patient,
            payload="text",
            on_error={ConnectionError: "retry", "default": "abort"},
            retry=RetrySettings(attempts=4, delay_s=0.01, then="skip"),
            report="exception",
        )
        worker.add_ability("stream", stream)
        done = sum(worker.work(timeout=10) for _ in range(jobs))
        worker.remove_ability("stream")
        return done


async def submit_async(servers: list[str], texts: list[str]) -> list[bytes]:
    results: list[bytes] = []
    async with AsyncClient(servers) as client:
        job = await client.submit("reverse", "first")
        results.append(await job)
        results += [await client.submit_job("reverse", text) for text in texts]
        handle: JobHandle = await client.submit_background_job("reverse", "x")
        status: JobStatus = await client.get_job_status(handle)
        assert status.server in servers
    return results


def check_handlers() -> JobResult:
    done = run_job(patient, "x", payload="text", timeout=5, retry=RetrySettings(attempts=5))
    assert done.attempts == 3
    assert done.delays == [0.1, 0.1]
    return done


def check_with_a_server() -> list[bytes]:
    with job_server() as server, working(server, reverse=reverse) as worker, Client(server.address) as client:
        return check_faults(server, worker, client)


def check_faults(server: ThreadedJobServer, worker: ThreadedWorker, client: Client) -> list[bytes]:
    worker.add("stream", stream, timeout=5)
    server.faults.lose_next("WORK_COMPLETE")
    server.faults.clear()
    future = client.submit("stream", "ab")
    parts = [event.data for event in future.events() if isinstance(event, Data)]
    return [*parts, client.submit_job("reverse", "ab")]
