"""Every key of the configuration file: its kind, its default, its meaning. Floor 3; pure.

Law: this table is the only source: the validator, `gearpool schema` and the reference in ``config/README.md`` are made
from it. Where a key's value goes is said in `assembling`.
"""

from __future__ import annotations

from typing import Any

from gearpool.config.kinds import (
    DURATION,
    DURATION_OR_ZERO,
    HANDLE_PREFIX,
    LISTEN,
    NAME_PATTERN,
    PATH,
    PERCENT,
    RATE,
    SIZE,
    STORE,
    WORD_PATTERN,
    Choice,
    Count,
    Flag,
    Kind,
    Number,
    Schema,
    Text,
)
from gearpool.config.sections import Either, Functions, Key, OneOrMore, OnError, Section, Servers
from gearpool.errors import InvalidArgument
from gearpool.protocol.names import client_id, function_name
from gearpool.settings import MAX_AT_ONCE

HANDLER = Text('a dotted path such as "package.module.function"')


def _identity(text: str) -> None:
    try:
        client_id(text)
    except InvalidArgument as error:
        raise InvalidArgument(str(error).replace("client id", "worker_id")) from None


def _one_letter_box(given: dict[str, Any]) -> str | None:
    return None if len(given) == 1 else "expected exactly one of function and file"


def _some_limit(given: dict[str, Any]) -> str | None:
    return None if set(given) & {"jobs", "age", "memory"} else "expected at least one of jobs, age and memory"


RETRY = Section(
    "retry",
    {
        "attempts": Key(Count(), "How often a job is run at most, the first run included.", "5"),
        "delay": Key(DURATION_OR_ZERO, "How long it waits before its second run.", "1s"),
        "backoff": Key(Number(1), "By what each further delay is multiplied.", "2"),
        "max_delay": Key(DURATION, "No delay is longer.", "60s"),
        "jitter": Key(PERCENT, "By how much a delay varies at random, either way.", "20%"),
        "then": Key(Choice("abort", "skip", "dead_letter"), "What the last failure means.", "abort"),
        "max_waiting": Key(Count(0), "How many jobs may wait without a slot; more keep theirs.", "1000"),
    },
)

DEAD_LETTER = Section(
    "dead_letter",
    {
        "function": Key(
            Text("a function name", function_name, NAME_PATTERN), "Submit the payload as a background job to it."
        ),
        "file": Key(PATH, "Append a JSON line; relative to this file. See gearpool dead."),
    },
    _one_letter_box,
    {"minProperties": 1, "maxProperties": 1},
)

BREAKER = Section(
    "breaker",
    {
        "failures": Key(Count(), "So many failures in a row", "10"),
        "within": Key(DURATION, "within this time", "1m"),
        "pause": Key(DURATION, "stop the grabbing for so long; then one job decides.", "30s"),
    },
)

POISON = Section(
    "poison", {"kills": Key(Count(), "A job blamed for this many deaths of its process is not run again.", "3")}
)

_OPTIONS: dict[str, Key] = {
    "concurrency": Key(Count(1, MAX_AT_ONCE), "Jobs of this function at once in one process.", "the process's"),
    "timeout": Key(DURATION, "JobTimeout is raised in the handler, even in one that never yields.", "none"),
    "timeout_grace": Key(DURATION_OR_ZERO, "How long it then has to end before it is killed.", "5s"),
    "on_error": Key(OnError(), "What an exception means; the nearest class wins.", "abort"),
    "on_timeout": Key(Choice("abort", "skip", "retry"), "What being over the limit means.", "abort"),
    "on_drain": Key(
        Choice("requeue", "fail"), "What becomes of a job that outlives the drain: the server has it back, or it fails.",
        "requeue",
    ),
    "retry": Key(RETRY, "How a job is run again."),
    "dead_letter": Key(DEAD_LETTER, "Where given-up jobs go.", "none"),
    "breaker": Key(BREAKER, "Stop grabbing after failures in a row, so that other hosts get the jobs.", "none"),
    "poison": Key(POISON, "When a job that kills its process is given up."),
    "report": Key(Choice("fail", "exception"), "How a failed job is reported: WORK_FAIL, or its reason.", "fail"),
    "payload": Key(Choice("bytes", "text", "json"), "How argument and result are decoded and encoded.", "bytes"),
    "rate": Key(RATE, "Jobs started at most, in one process.", "none"),
    "weight": Key(Number(0, above=True), "Share of free slots when functions compete.", "1"),
    "enabled": Key(Flag(), "false: not registered.", "true"),
}  # fmt: skip

_OF_THE_FILE = dict.fromkeys(
    ("processes", "import_path", "drain_timeout", "stall_timeout", "recycle", "log", "worker_id", "monkey_patch"),
    "the top of the file",
)
DEFAULTS = Section("defaults", _OPTIONS, elsewhere={**_OF_THE_FILE, "handler": "a function"})
FUNCTION = Section(
    "function",
    {"handler": Key(HANDLER, "package.module.function, or package.module:object.method.", required=True), **_OPTIONS},
    elsewhere=_OF_THE_FILE,
)
FUNCTION_OR_HANDLER = Either(HANDLER, FUNCTION)

EMBEDDED = Section(
    "embedded",
    {
        "listen": Key(LISTEN, "Where our own job server listens.", "127.0.0.1:4730"),
        "store": Key(STORE, "memory, or the path of a SQLite file that keeps background jobs.", "memory"),
        "exceptions": Key(Flag(), "Send WORK_EXCEPTION to clients that did not ask for it, too.", "false"),
        "job_retries": Key(Count(0), "How often a job is run at most when its workers vanish; 0: for ever.", "0"),
        "worker_wakeup": Key(Count(0), "How many sleeping workers are woken for a job; 0: all.", "0"),
        "job_handle_prefix": Key(HANDLE_PREFIX, "Handles are this, a colon and a number.", "H:HOSTNAME"),
    },
)
RECYCLE = Section(
    "recycle",
    {
        "jobs": Key(Count(1, 10**12), "Replace a process after so many jobs,", "never"),
        "age": Key(DURATION, "at this age,", "never"),
        "memory": Key(SIZE, "or with so much memory.", "never"),
        "jitter": Key(PERCENT, "By how much these vary, so that not all go at once.", "10%"),
    },
    _some_limit,
    {"anyOf": [{"required": [name]} for name in ("jobs", "age", "memory")]},
)
LOG = Section(
    "log",
    {
        "level": Key(Choice("debug", "info", "warning", "error"), "What is logged at least.", "info"),
        "format": Key(
            Choice("auto", "text", "json", "logfmt"), "auto: text on a terminal, json otherwise.", "auto"
        ),
        "jobs": Key(Flag(), "Log each job.", "false"),
    },
)  # fmt: skip
HTTP = Section(
    "http",
    {
        "listen": Key(LISTEN, "Where health, metrics and dashboard will be served.", "127.0.0.1:8730"),
        "token": Key(Text("a token"), "What operators must show to change anything.", "none", secret=True),
    },
)
CONTROL = Section(
    "control",
    {
        "socket": Key(PATH, "Where commands reach the daemon.", "in the runtime directory"),
        "group": Key(
            Text("the name of a group"), "Members of this group may use the socket (mode 0660), too.", "none: mode 0600"
        ),
    },
)
RECONNECT = Section(
    "reconnect",
    {
        "delay": Key(DURATION, "The first delay at most.", "500ms"),
        "max_delay": Key(DURATION, "Any delay at most.", "30s"),
    },
)

ROOT = Section(
    "root",
    {
        "servers": Key(Servers(), "The job servers; all are served at once.", required=True),
        "functions": Key(Functions(FUNCTION_OR_HANDLER), "What is served, by whom.", required=True),
        "embedded": Key(EMBEDDED, "Our own job server, when embedded is among the servers."),
        "processes": Key(
            Count(1, 1024, {"auto": 0}), "Worker processes; auto: one a CPU, in a container as many as its quota.", "1"
        ),
        "concurrency": Key(Count(1, MAX_AT_ONCE), "Jobs at once in one process, over all functions.", "100"),
        "defaults": Key(DEFAULTS, "Any key of a function but handler, for all functions."),
        "import_path": Key(OneOrMore(PATH, "a folder"), "Put first on sys.path; relative to this file.", "[.]"),
        "drain_timeout": Key(DURATION_OR_ZERO, "How long running jobs have when the daemon stops.", "30s"),
        "stall_timeout": Key(DURATION, "When a process stuck in C is killed and replaced.", "30s"),
        "recycle": Key(RECYCLE, "When a process is replaced, the new one ready first.", "never"),
        "log": Key(LOG, "What is logged, and how."),
        "http": Key(HTTP, "Health, metrics and dashboard: checked, but not served by this version.", "none"),
        "control": Key(CONTROL, "The operator's socket."),
        "worker_id": Key(
            Text("a client id", _identity, WORD_PATTERN), "What gearadmin --workers shows.", "HOST-PID-FUNCTION"
        ),
        "reconnect": Key(RECONNECT, "Full jitter; names are resolved afresh each time."),
        "monkey_patch": Key(Flag(), "Make the standard library wait in greenlets.", "true"),
    },
    elsewhere={"handler": "a function"} | dict.fromkeys(_OPTIONS, "a function, or to defaults for all"),
)

SECTIONS: tuple[Section, ...] = (
    ROOT, FUNCTION, RETRY, DEAD_LETTER, BREAKER, POISON, EMBEDDED, RECYCLE, LOG, HTTP, CONTROL, RECONNECT,
)  # fmt: skip
"""In the order of the reference."""


def json_schema(*, part: bool = False) -> Schema:
    """The whole file as JSON Schema (draft 2020-12), or one of several files, in which nothing is required."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "part of a gearpool configuration" if part else "gearpool configuration",
        **ROOT.schema(),
    }
    if part:
        del schema["required"]
    return schema


__all__ = ["ROOT", "SECTIONS", "Kind", "json_schema"]
