"""What the server sends, as bytes. Pure.

Only the packets that are sent for every job are built by hand, from headers prepared for every length that occurs; the
others go through `gearpool.protocol.codec.response`. Codes and texts of ERROR are those of gearmand where it has one.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from itertools import islice

from gearpool.protocol.codec import response
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.server.records import BULKY, Job

_pack = struct.Struct(">4sII").pack

_PREPARED = 1024


def heads(kind: PacketType) -> list[bytes]:
    """The headers of packets of this type with bodies of 0 … 1023 bytes, by length."""
    return [_pack(RESPONSE_MAGIC, kind, size) for size in range(_PREPARED)]


NOOP = response(PacketType.NOOP)
NO_JOB = response(PacketType.NO_JOB)
CREATED_HEADS = heads(PacketType.JOB_CREATED)

_ASSIGN_HEADS = heads(PacketType.JOB_ASSIGN)
ASSIGN_UNIQ_HEADS = heads(PacketType.JOB_ASSIGN_UNIQ)


def error(code: bytes, text: bytes) -> bytes:
    """ERROR."""
    return response(PacketType.ERROR, code, text)


JOB_NOT_FOUND = error(b"JOB_NOT_FOUND", b"Job given in work result not found")
INVALID_COMMAND = error(b"INVALID_COMMAND", b"Command not expected")
INVALID_MAGIC = error(b"INVALID_MAGIC", b"Request magic expected")
UNKNOWN_OPTION = error(b"UNKNOWN_OPTION", b"Server does not recognize given option")
UNIQUE_TOO_LARGE = error(b"ARGUMENT_TOO_LARGE", b"Unique value too large")
QUEUE_FULL = error(b"QUEUE_ERROR", b"Job queue is full")
NOT_KEPT = error(b"QUEUE_ERROR", b"The job could not be written to the store")
TOO_MANY_FUNCTIONS = error(b"QUEUE_ERROR", b"Too many functions")
STOPPING = error(b"QUEUE_ERROR", b"The server is stopping")
BAD_EPOCH = error(b"ARGUMENT_TOO_LARGE", b"Epoch is not a number of seconds since 1970")


def assign(job: Job) -> tuple[bytes, ...]:
    """JOB_ASSIGN."""
    body = b"\0".join((job.handle, job.queue.name, b""))
    return _with_data(_ASSIGN_HEADS, PacketType.JOB_ASSIGN, body, job.data)


def assign_uniq(job: Job) -> tuple[bytes, ...]:
    """JOB_ASSIGN_UNIQ."""
    body = b"\0".join((job.handle, job.queue.name, job.unique, job.data))
    size = len(body)
    if size < _PREPARED:
        return (ASSIGN_UNIQ_HEADS[size] + body,)
    if size < BULKY:
        return (_pack(RESPONSE_MAGIC, PacketType.JOB_ASSIGN_UNIQ, size) + body,)
    # The payload itself, not a copy: a worker may grab more than it reads.
    body = b"\0".join((job.handle, job.queue.name, job.unique, b""))
    return _pack(RESPONSE_MAGIC, PacketType.JOB_ASSIGN_UNIQ, size) + body, job.data


def assign_all(job: Job) -> tuple[bytes, ...]:
    """JOB_ASSIGN_ALL, or JOB_ASSIGN_UNIQ where there is no reducer (gearmand)."""
    if not job.reducer:
        return assign_uniq(job)
    body = b"\0".join((job.handle, job.queue.name, job.unique, job.reducer, b""))
    return _with_data((), PacketType.JOB_ASSIGN_ALL, body, job.data)


def withdraw(jobs: Iterable[Job], out: list[bytes]) -> None:
    """In what is still to be sent to their worker, put NO_JOB where these jobs were assigned."""
    pieces: dict[bytes, int] = {}
    for job in jobs:
        for packet in (assign_uniq(job), assign(job), assign_all(job)):
            pieces[packet[0]] = len(packet)
    left: list[bytes] = []
    waiting = iter(out)
    for piece in waiting:
        count = pieces.get(piece)
        if count is None:
            left.append(piece)
        else:
            left.append(NO_JOB)
            deque(islice(waiting, count - 1), 0)
    out[:] = left


def work_complete_head(size: int) -> bytes:
    """The header of a WORK_COMPLETE that is longer than those prepared."""
    return _pack(RESPONSE_MAGIC, PacketType.WORK_COMPLETE, size)


def _with_data(prepared: list[bytes] | tuple[()], kind: PacketType, body: bytes, data: bytes) -> tuple[bytes, ...]:
    size = len(body) + len(data)
    if size < len(prepared):
        return (prepared[size] + body + data,)
    head = _pack(RESPONSE_MAGIC, kind, size)
    if size < BULKY:
        return (head + body + data,)
    return head + body, data
