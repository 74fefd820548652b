"""The messages between the supervisor and its children: one record per message. Floor 1; pure.

On the wire a message is one JSON object a line: ``{"do": NAME, …}`` to a child, ``{"event": NAME, …}`` from it. Names and
fields are kept from release to release, since a running supervisor starts children of a package that was upgraded meanwhile:
unknown fields are ignored, fields that are missing have their defaults, and unknown messages are an error of their own.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, dataclass_transform

from gearpool.errors import ProtocolError
from gearpool.metrics import WorkerSnapshot
from gearpool.settings import Settings, from_json, to_json
from gearpool.status import FailureGroup, StallGroup


class MessageError(ProtocolError):
    """A line is no message, or one that this side does not know."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Message:
    """A message; ``key`` is its direction, ``name`` its kind. Each subclass is a frozen dataclass."""

    key: ClassVar[str]
    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __init_subclass__(cls, name: str = "") -> None:
        cls.name = name
        dataclass(frozen=True)(cls)


class Command(Message):
    """From the supervisor to a child."""

    key = "do"


class Event(Message):
    """From a child to the supervisor."""

    key = "event"


# To a child.


class Start(Command, name="start"):
    """The first message: what to serve, and for a worker what is known of jobs that ran when a process died."""

    settings: Settings
    poison: list[list[Any]] = field(default_factory=list)
    at_once: int | None = None
    server_pids: dict[str, str] = field(default_factory=dict)


class Quiet(Command, name="quiet"):
    """Take no more jobs."""


class Pause(Command, name="pause"):
    """Take no more jobs of one function."""

    function: str


class Resume(Command, name="resume"):
    """Take jobs of one function again, or without one all jobs after `Quiet`."""

    function: str | None = None


class Drain(Command, name="drain"):
    """Finish the running jobs within this many seconds and exit."""

    seconds: float = 0.0


class StopNow(Command, name="hasten"):
    """End the drain now: cut off the jobs that still run."""


class Apply(Command, name="apply"):
    """Use these settings, which differ only in what can change while jobs run."""

    settings: Settings


class SetLogLevel(Command, name="log-level"):
    """Log this level and above."""

    level: str


class SetNotes(Command, name="poison"):
    """What is known now of some jobs that ran when a process died: see `supervisor.blame.Entry`."""

    entries: list[list[Any]]
    at_once: int | None


class Query(Command):
    """A command that is answered by a `Reply` with the same ``id``."""

    id: int


class ListJobs(Query, name="jobs"):
    """The jobs in progress."""


class ListStacks(Query, name="stacks"):
    """The stacks of the jobs in progress."""


class KillJob(Query, name="kill"):
    """End one job; the answer is whether it is here."""

    handle: str


class Publish(Command, name="publish"):
    """What the web child shows, once a second: `status.DaemonStatus`, and `status.FailuresAnswer` if that has changed."""

    status: dict[str, Any]
    failures: dict[str, Any] | None = None


class Answer(Command, name="answer"):
    """The answer to a `Request` with the same ``id``, as on the control socket."""

    id: int
    answer: dict[str, Any]


# From a child.


class Ready(Event, name="ready"):
    """The child serves; the embedded job server adds its address."""

    listen: str | None = None


class Failed(Event, name="failed"):
    """The child cannot start; it exits."""

    problems: list[str] = field(default_factory=list)


class WorkerStatus(Event, name="status"):
    """The worker's counters and state, at most once a second, if they have changed."""

    snapshot: WorkerSnapshot


class Failures(Event, name="failures"):
    """Failures and stalls since the last such event, by group; ``left_out`` counts the groups that were too many."""

    failures: list[FailureGroup] = field(default_factory=list)
    stalls: list[StallGroup] = field(default_factory=list)
    left_out: list[int] = field(default_factory=lambda: [0, 0])


class Draining(Event, name="draining"):
    """Jobs that are still waited for."""

    left: int
    waiting_for: list[str]


class Drained(Event, name="drained"):
    """The drain has ended; ``clean`` if no job was cut off."""

    clean: bool = True


class ReplaceMe(Event, name="recycle"):
    """The worker cannot serve well any more."""

    reason: str = "asked"
    detail: str = ""


class Reply(Event, name="reply"):
    """The answer to a `Query`: a result, or an error."""

    id: int
    result: Any = None
    error: str | None = None


class Reported(Event, name="reported"):
    """Results were reported of jobs of which something was known: function, server and identity of each."""

    jobs: list[list[str]]


class ServerLost(Event, name="server_lost"):
    """The connections to a server were lost: it may have restarted."""

    server: str


class ServerPid(Event, name="server_pid"):
    """A server has reported its process id."""

    server: str
    pid: str


class JobServerStatus(Event, name="status"):
    """The queues of the embedded job server, at most once a second, if they have changed."""

    queues: dict[str, Any] = field(default_factory=dict)
    connections: int = 0


class Request(Event, name="request"):
    """A request of the web child, as an operator would send it to the control socket; it is answered by an `Answer`."""

    id: int
    request: dict[str, Any]


_M = TypeVar("_M", bound=Message)


def _by_name(*kinds: type[_M]) -> dict[str, type[_M]]:
    return {kind.name: kind for kind in kinds}


COMMANDS: dict[str, type[Command]] = _by_name(
    Start, Quiet, Pause, Resume, Drain, StopNow, Apply, SetLogLevel, SetNotes, ListJobs, ListStacks, KillJob,
    Publish, Answer,
)  # fmt: skip
WEB_EVENTS: dict[str, type[Event]] = _by_name(Ready, Failed, Request)
WORKER_EVENTS: dict[str, type[Event]] = _by_name(
    Ready, Failed, WorkerStatus, Failures, Draining, Drained, ReplaceMe, Reply, Reported, ServerLost, ServerPid,
)  # fmt: skip
JOB_SERVER_EVENTS: dict[str, type[Event]] = _by_name(Ready, Failed, JobServerStatus)


def as_dict(message: Message) -> dict[str, Any]:
    """The JSON object of ``message``."""
    found: dict[str, Any] = {message.key: message.name}
    if isinstance(message, WorkerStatus):
        return found | message.snapshot
    for each in dataclasses.fields(message):
        value = getattr(message, each.name)
        if value is not None or each.default is not None:
            found[each.name] = to_json(value) if dataclasses.is_dataclass(value) else value
    return found


def from_dict(kinds: Mapping[str, type[_M]], value: Mapping[str, Any]) -> _M:
    """The message of a JSON object.

    Raises:
        MessageError: it is none of ``kinds``, lacks a field, or a field is malformed.
    """
    name = value.get("do", value.get("event"))
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise MessageError(f"unknown message {name!r}")
    if kind is WorkerStatus:
        return kind(snapshot={key: each for key, each in value.items() if key != kind.key})  # type: ignore[call-arg]
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type] # a class is hashable
    try:
        return kind(**{key: from_json(hints[key], each) for key, each in value.items() if key in hints})
    except Exception as error:  # whatever is wrong with a field: the channel and its other messages must survive it
        raise MessageError(f"message {name!r}: {type(error).__name__}: {error}") from error


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    found = typing.get_type_hints(kind)
    return {each.name: found[each.name] for each in dataclasses.fields(kind)}
