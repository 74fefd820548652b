r"""The packet types of Gearman's binary protocol, as one table. Floor 0; pure.

Source: the file PROTOCOL in gearmand's sources (names, numbers and arguments are exactly its own); where the server
differs from it, gearmand 1.1.20's ``libgearman-1.0/protocol.h`` and ``libgearman/command.cc`` decide.

A packet on the wire is a 12 byte header (magic ``\0REQ`` or ``\0RES``, type, size of the rest; both integers big
endian, 32 bits) followed by NUL-separated arguments. Only the last argument may contain NULs.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

REQUEST_MAGIC = b"\0REQ"
RESPONSE_MAGIC = b"\0RES"
HEADER_SIZE = 12


class PacketType(enum.IntEnum):
    """All 42 types; the member names are those of PROTOCOL."""

    CAN_DO = 1
    CANT_DO = 2
    RESET_ABILITIES = 3
    PRE_SLEEP = 4
    UNUSED = 5
    NOOP = 6
    SUBMIT_JOB = 7
    JOB_CREATED = 8
    GRAB_JOB = 9
    NO_JOB = 10
    JOB_ASSIGN = 11
    WORK_STATUS = 12
    WORK_COMPLETE = 13
    WORK_FAIL = 14
    GET_STATUS = 15
    ECHO_REQ = 16
    ECHO_RES = 17
    SUBMIT_JOB_BG = 18
    ERROR = 19
    STATUS_RES = 20
    SUBMIT_JOB_HIGH = 21
    SET_CLIENT_ID = 22
    CAN_DO_TIMEOUT = 23
    ALL_YOURS = 24
    WORK_EXCEPTION = 25
    OPTION_REQ = 26
    OPTION_RES = 27
    WORK_DATA = 28
    WORK_WARNING = 29
    GRAB_JOB_UNIQ = 30
    JOB_ASSIGN_UNIQ = 31
    SUBMIT_JOB_HIGH_BG = 32
    SUBMIT_JOB_LOW = 33
    SUBMIT_JOB_LOW_BG = 34
    SUBMIT_JOB_SCHED = 35
    SUBMIT_JOB_EPOCH = 36
    SUBMIT_REDUCE_JOB = 37
    SUBMIT_REDUCE_JOB_BACKGROUND = 38
    GRAB_JOB_ALL = 39
    JOB_ASSIGN_ALL = 40
    GET_STATUS_UNIQUE = 41
    STATUS_RES_UNIQUE = 42


class Spec(NamedTuple):
    """One row of the table.

    Attributes:
        kind: the packet type.
        arguments: the names of its arguments, in the order of the wire; ``()`` for none.
        request: which side sends it as a request: ``"C"`` client, ``"W"`` worker, ``"CW"`` either, ``""`` neither.
        response: to whom the server sends it, likewise.
    """

    kind: PacketType
    arguments: tuple[str, ...]
    request: str
    response: str


_T = PacketType
_SUBMIT = ("function", "unique", "data")
_SCHED = ("function", "unique", "minute", "hour", "day_of_month", "month", "day_of_week", "data")
_REDUCE = ("function", "unique", "reducer", "aggregate", "data")

TABLE: tuple[Spec, ...] = (
    Spec(_T.CAN_DO, ("function",), "W", ""),
    Spec(_T.CANT_DO, ("function",), "W", ""),
    Spec(_T.RESET_ABILITIES, (), "W", ""),
    Spec(_T.PRE_SLEEP, (), "W", ""),
    Spec(_T.UNUSED, (), "", ""),
    Spec(_T.NOOP, (), "", "W"),
    Spec(_T.SUBMIT_JOB, _SUBMIT, "C", ""),
    Spec(_T.JOB_CREATED, ("handle",), "", "C"),
    Spec(_T.GRAB_JOB, (), "W", ""),
    Spec(_T.NO_JOB, (), "", "W"),
    Spec(_T.JOB_ASSIGN, ("handle", "function", "data"), "", "W"),
    Spec(_T.WORK_STATUS, ("handle", "numerator", "denominator"), "W", "C"),
    Spec(_T.WORK_COMPLETE, ("handle", "data"), "W", "C"),
    Spec(_T.WORK_FAIL, ("handle",), "W", "C"),
    Spec(_T.GET_STATUS, ("handle",), "C", ""),
    Spec(_T.ECHO_REQ, ("data",), "CW", ""),
    Spec(_T.ECHO_RES, ("data",), "", "CW"),
    Spec(_T.SUBMIT_JOB_BG, _SUBMIT, "C", ""),
    Spec(_T.ERROR, ("code", "text"), "", "CW"),
    Spec(_T.STATUS_RES, ("handle", "known", "running", "numerator", "denominator"), "", "C"),
    Spec(_T.SUBMIT_JOB_HIGH, _SUBMIT, "C", ""),
    Spec(_T.SET_CLIENT_ID, ("id",), "W", ""),
    Spec(_T.CAN_DO_TIMEOUT, ("function", "timeout"), "W", ""),
    Spec(_T.ALL_YOURS, (), "W", ""),
    Spec(_T.WORK_EXCEPTION, ("handle", "data"), "W", "C"),
    Spec(_T.OPTION_REQ, ("option",), "CW", ""),
    Spec(_T.OPTION_RES, ("option",), "", "CW"),
    Spec(_T.WORK_DATA, ("handle", "data"), "W", "C"),
    Spec(_T.WORK_WARNING, ("handle", "data"), "W", "C"),
    Spec(_T.GRAB_JOB_UNIQ, (), "W", ""),
    Spec(_T.JOB_ASSIGN_UNIQ, ("handle", "function", "unique", "data"), "", "W"),
    Spec(_T.SUBMIT_JOB_HIGH_BG, _SUBMIT, "C", ""),
    Spec(_T.SUBMIT_JOB_LOW, _SUBMIT, "C", ""),
    Spec(_T.SUBMIT_JOB_LOW_BG, _SUBMIT, "C", ""),
    Spec(_T.SUBMIT_JOB_SCHED, _SCHED, "C", ""),
    Spec(_T.SUBMIT_JOB_EPOCH, ("function", "unique", "epoch", "data"), "C", ""),
    Spec(_T.SUBMIT_REDUCE_JOB, _REDUCE, "C", ""),
    Spec(_T.SUBMIT_REDUCE_JOB_BACKGROUND, _REDUCE, "C", ""),
    Spec(_T.GRAB_JOB_ALL, (), "W", ""),
    Spec(_T.JOB_ASSIGN_ALL, ("handle", "function", "unique", "reducer", "data"), "", "W"),
    Spec(_T.GET_STATUS_UNIQUE, ("unique",), "C", ""),
    Spec(_T.STATUS_RES_UNIQUE, ("unique", "known", "running", "numerator", "denominator", "clients"), "", "C"),
)

SPECS: dict[PacketType, Spec] = {spec.kind: spec for spec in TABLE}
