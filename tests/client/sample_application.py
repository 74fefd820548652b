"""An application written against the public names only: `mypy --strict` must accept it as users would write it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import gearpool
from gearpool import Client, JobException, JobFailed, JobStatus, JobTimedOut, NoServersAvailable
from gearpool.client import Data, JobFuture, JobHandle, Progress, Warned


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
