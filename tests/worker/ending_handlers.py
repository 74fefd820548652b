"""The handlers of `ends`: one for each way in which a handler can end or be ended."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Generator

import gevent

from gearpool import Abort, Job, Retry, Skip
from gearpool.jobs import JobTimeout

PATIENCE_S = 20.0
"""How long to wait for what must happen, in seconds."""

KEPT: list[BaseException] = []
SHARED = ValueError("one exception for all")


class Witness:
    """Lives as long as the handler's frame."""


witnesses: list[weakref.ref[Witness]] = []
payloads: list[bytes] = []


def attend(argument: bytes) -> Witness:
    """A witness for a local variable of the handler."""
    witness = Witness()
    witnesses.append(weakref.ref(witness))
    if not any(argument is each for each in payloads):
        payloads.append(argument)
    return witness


def complete(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    return arg * 2


def wait_and_complete(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    gevent.sleep(0.001)
    return arg * 2


def fail(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    raise ValueError("no")


def wait_and_fail(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    gevent.sleep(0.001)
    raise ValueError("no")


def fail_with_a_cause(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    try:
        raise ValueError("first")
    except ValueError as error:
        raise LookupError("then") from error


def fail_and_keep_the_error(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    try:
        raise ValueError("kept")
    except ValueError as error:
        KEPT.append(error)
        raise


def wait_fail_and_keep_the_error(arg: bytes, job: Job) -> bytes:
    gevent.sleep(0.001)
    return fail_and_keep_the_error(arg, job)


def raise_a_shared_error(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    raise SHARED


def skip(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    raise Skip("skipped")


def abort(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    raise Abort("aborted")


def retry_once(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    if job.attempt == 1:
        raise Retry(0.001)
    return b"done"


def compute(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    while True:
        pass


def wait_and_compute(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    gevent.sleep(0.001)
    while True:
        pass


def wait(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    gevent.sleep(PATIENCE_S)
    return b""


def compute_on(arg: bytes, job: Job) -> bytes:
    """Ignores its JobTimeout; it is killed at the end of the grace period."""
    _witness = attend(arg)
    try:
        while True:
            pass
    except JobTimeout:
        while True:
            pass


def compute_and_keep_the_error(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    try:
        while True:
            pass
    except JobTimeout as error:
        KEPT.append(error)
        raise


def wait_on(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    try:
        gevent.sleep(PATIENCE_S)
    except JobTimeout:
        gevent.sleep(PATIENCE_S)
    return b""


def swallow(arg: bytes, job: Job) -> bytes:
    """Ignores even GreenletExit, and ends by itself after its job was reported."""
    _witness = attend(arg)
    for _ in range(2):
        with contextlib.suppress(BaseException):
            gevent.sleep(PATIENCE_S)
    gevent.sleep(0.1)
    return b""


def stream(arg: bytes, job: Job) -> Generator[bytes, None, bytes]:
    _witness = attend(arg)
    yield b"part"
    return b"end"


def stream_and_fail(arg: bytes, job: Job) -> Generator[bytes, None, bytes]:
    _witness = attend(arg)
    yield b"part"
    raise ValueError("no")


def stream_and_compute(arg: bytes, job: Job) -> Generator[bytes, None, bytes]:
    _witness = attend(arg)
    yield b"part"
    while True:
        pass


def stream_and_wait(arg: bytes, job: Job) -> Generator[bytes, None, bytes]:
    _witness = attend(arg)
    yield b"part"
    gevent.sleep(PATIENCE_S)
    return b""


def retry_later(arg: bytes, job: Job) -> bytes:
    _witness = attend(arg)
    raise Retry(3600.0)
