"""Every key of the configuration file: its kind, its default, its meaning. Floor 3; pure.

This table is the only source: the validator, `gearpool schema` and the reference in ``config/README.md`` are made from it.
`assembling` turns the values into settings.
"""

from __future__ import annotations

from typing import Any

from gearpool.config.kinds import (
    DURATION,
    DURATION_OR_ZERO,
    HANDLE_PREFIX,
    HTTP_LISTEN,
    LISTEN,
    NAME_PATTERN,
    PATH,
    PERCENT,
    RATE,
    SIZE,
    STORE,
    TOKEN,
    WORD_PATTERN,
    Choice,
    Count,
    Flag,
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


def _one_destination(given: dict[str, Any]) -> str | None:
    return None if len(given) == 1 else "expected exactly one of function and file"


def _some_limit(given: dict[str, Any]) -> str | None:
    return None if set(given) & {"jobs", "age", "memory"} else "expected at least one of jobs, age and memory"


# A row of these tables is a line, however long: they are read as tables.
# fmt: off
RETRY = Section(
    "retry",
    {
        "attempts": Key(Count(), "A job runs at most this many times, the first run included.", "5"),
        "delay": Key(DURATION_OR_ZERO, "How long a job waits before its second run.", "1s"),
        "backoff": Key(Number(1), "Each further delay is the one before, multiplied by this.", "2"),
        "max_delay": Key(DURATION, "Upper limit of any delay between two runs.", "60s"),
        "jitter": Key(PERCENT, "Each delay is changed at random by up to this share, so that jobs do not retry together.", "20%"),
        "then": Key(Choice("abort", "skip", "dead_letter"), "What happens when the last run has failed: the job fails, succeeds with an empty result, or goes to `dead_letter`.", "abort"),
        "max_waiting": Key(Count(0), "Up to this many jobs of the function wait for their next run without a slot. Any further job keeps its slot while it waits, so a function whose every job fails stops taking jobs.", "1000"),
    },
)

DEAD_LETTER = Section(
    "dead_letter",
    {
        "function": Key(Text("a function name", function_name, NAME_PATTERN), "Submit the payload of a given-up job as a background job of this function, on the same server."),
        "file": Key(PATH, "Append a given-up job to this file, as a line of JSON that `gearpool dead` reads. A relative path starts at the folder of the configuration file."),
    },
    _one_destination,
    {"minProperties": 1, "maxProperties": 1},
)

BREAKER = Section(
    "breaker",
    {
        "failures": Key(Count(), "The breaker opens after this many consecutive failures.", "10"),
        "within": Key(DURATION, "The consecutive failures count only if they happen within this time.", "1m"),
        "pause": Key(DURATION, "An open breaker takes no jobs for this long; then one probe job decides whether it closes.", "30s"),
    },
)

POISON = Section(
    "poison",
    {
        "kills": Key(Count(), "A job that was blamed for this many deaths of its process is failed, or dead-lettered, instead of run again.", "3")
    },
)

_OPTIONS: dict[str, Key] = {
    "concurrency": Key(Count(1, MAX_AT_ONCE), "Up to this many jobs of the function run at once in one process.", "the process's"),
    "timeout": Key(DURATION, "JobTimeout is raised in a handler that has run for this long, even if it never yields. Without a timeout a handler that hangs keeps its slot for ever.", "none"),
    "timeout_grace": Key(DURATION_OR_ZERO, "After JobTimeout a handler has this long to clean up; then it is killed and its job is reported without it.", "5s"),
    "on_error": Key(OnError(), "What happens when the handler raises: one action, or one for each exception class, of which the most specific wins.", "abort"),
    "on_timeout": Key(Choice("abort", "skip", "retry"), "What happens when the handler exceeds its `timeout`.", "abort"),
    "on_drain": Key(Choice("requeue", "fail"), "What happens to a job that still runs when `drain_timeout` has passed: the server hands it out again, or it fails.", "requeue"),
    "retry": Key(RETRY, "When and how often a job runs again after the action `retry`."),
    "dead_letter": Key(DEAD_LETTER, "Where a job is kept when it is given up: a function or a file.", "none"),
    "breaker": Key(BREAKER, "Stop taking jobs of the function after consecutive failures; they wait on the server, where other hosts can take them.", "none"),
    "poison": Key(POISON, "When a job that keeps killing its process is given up."),
    "report": Key(Choice("fail", "exception"), "How a failed job is reported to its client: `fail` as WORK_FAIL, `exception` as WORK_EXCEPTION with the reason.", "fail"),
    "payload": Key(Choice("bytes", "text", "json"), "How the payload is decoded for the handler and its result is encoded.", "bytes"),
    "rate": Key(RATE, "Upper limit of the jobs of the function that one process starts, such as `50/s`. Use it to protect a service of limited capacity.", "none"),
    "weight": Key(Number(0, above=True), "When functions compete for free slots, each gets a share in proportion to its weight.", "1"),
    "enabled": Key(Flag(), "`false` leaves the function in the file but does not serve it.", "true"),
}

_OF_THE_FILE = dict.fromkeys(
    ("processes", "import_path", "drain_timeout", "stall_timeout", "recycle", "log", "worker_id", "monkey_patch"),
    "the top of the file",
)
DEFAULTS = Section("defaults", _OPTIONS, elsewhere={**_OF_THE_FILE, "handler": "a function"})
FUNCTION = Section(
    "function",
    {
        "handler": Key(HANDLER, "The Python function to call: `package.module.function`, or `package.module:object.method`.", required=True),
        **_OPTIONS,
    },
    elsewhere=_OF_THE_FILE,
)
FUNCTION_OR_HANDLER = Either(HANDLER, FUNCTION)

EMBEDDED = Section(
    "embedded",
    {
        "listen": Key(LISTEN, "The address on which the embedded job server listens.", "127.0.0.1:4730"),
        "store": Key(STORE, "Where background jobs are kept: `memory`, or the path of an SQLite file in which they survive a restart.", "memory"),
        "exceptions": Key(Flag(), "Send WORK_EXCEPTION also to clients that did not ask for it.", "false"),
        "job_retries": Key(Count(0), "A job whose worker disappears is handed out at most this many times, then it fails; `0` for no limit.", "0"),
        "worker_wakeup": Key(Count(0), "How many sleeping workers are woken for a new job; `0` for all.", "0"),
        "job_handle_prefix": Key(HANDLE_PREFIX, "Job handles begin with this, followed by a colon and a number.", "H:HOSTNAME"),
    },
)
RECYCLE = Section(
    "recycle",
    {
        "jobs": Key(Count(1, 10**12), "A worker process is replaced after this many jobs.", "never"),
        "age": Key(DURATION, "A worker process is replaced at this age.", "never"),
        "memory": Key(SIZE, "A worker process is replaced when it uses this much memory. Set it well above what a fresh process uses.", "never"),
        "jitter": Key(PERCENT, "Each process lowers its limits at random by up to this share, so that not all are replaced at once.", "10%"),
    },
    _some_limit,
    {"anyOf": [{"required": [name]} for name in ("jobs", "age", "memory")]},
)
LOG = Section(
    "log",
    {
        "level": Key(Choice("debug", "info", "warning", "error"), "Messages of this level and above are logged.", "info"),
        "format": Key(Choice("auto", "text", "json", "logfmt"), "`text` is for people, `json` and `logfmt` write one line per event; `auto` is `text` on a terminal and `json` otherwise.", "auto"),
        "jobs": Key(Flag(), "Log each job that completes, not only those that fail.", "false"),
    },
)
HTTP = Section(
    "http",
    {
        "listen": Key(HTTP_LISTEN, "The address on which HTTP is served, or `unix:PATH` for a socket in the file system.", "127.0.0.1:8730"),
        "token": Key(TOKEN, "A client that sends this token may pause, resize, kill and so on. Without a token nothing can be changed over HTTP.", "none", secret=True),
        "read_token": Key(TOKEN, "Reading needs this token, or `token`; only the health checks do not. Without it anyone who can connect may read.", "none", secret=True),
    },
)
CONTROL = Section(
    "control",
    {
        "socket": Key(PATH, "The path of the socket through which commands such as `gearpool status` reach the daemon.", "in the runtime directory"),
        "group": Key(Text("the name of a group"), "Members of this group may use the socket, too; its mode is then 0660.", "none: mode 0600"),
    },
)
RECONNECT = Section(
    "reconnect",
    {
        "delay": Key(DURATION, "Upper limit of the first delay before a lost server is tried again; each delay is chosen at random below its limit.", "500ms"),
        "max_delay": Key(DURATION, "Upper limit of any delay before a lost server is tried again.", "30s"),
    },
)

ROOT = Section(
    "root",
    {
        "servers": Key(Servers(), "The job servers to take jobs from, all at the same time.", required=True),
        "functions": Key(Functions(FUNCTION_OR_HANDLER), "The functions to serve, each with the handler that runs its jobs.", required=True),
        "embedded": Key(EMBEDDED, "Settings of the embedded job server, which is started when `embedded` is among `servers`."),
        "processes": Key(Count(1, 1024, {"auto": 0}), "The number of worker processes; `auto` starts one per CPU, within the CPU quota of a container.", "1"),
        "concurrency": Key(Count(1, MAX_AT_ONCE), "Up to this many jobs run at once in one process, over all functions.", "100"),
        "defaults": Key(DEFAULTS, "Settings for all functions: any key of a function except `handler`. A function's own settings win."),
        "import_path": Key(OneOrMore(PATH, "a folder"), "Folders that come first on `sys.path` when handlers are imported. Relative paths start at the folder of the configuration file.", "[.]"),
        "drain_timeout": Key(DURATION_OR_ZERO, "How long running jobs may continue when the daemon stops or a process is replaced.", "30s"),
        "stall_timeout": Key(DURATION, "A worker process whose event loop has been blocked for this long is killed and replaced; its jobs are handed out again.", "30s"),
        "recycle": Key(RECYCLE, "When a worker process is replaced by a fresh one, which is ready before the old one drains.", "never"),
        "log": Key(LOG, "What is logged, and in which format."),
        "http": Key(HTTP, "Serve a dashboard, health checks, metrics and an API over HTTP.", "none"),
        "control": Key(CONTROL, "The socket for commands such as `gearpool status`."),
        "worker_id": Key(Text("a client id", _identity, WORD_PATTERN), "The client id that `gearadmin --workers` shows for each connection.", "HOST-PID-FUNCTION"),
        "reconnect": Key(RECONNECT, "How soon a lost job server is tried again; its name is looked up again each time."),
        "monkey_patch": Key(Flag(), "Patch the standard library, so that sockets, sleeps and locks yield to other jobs while they wait.", "true"),
    },
    elsewhere={"handler": "a function"} | dict.fromkeys(_OPTIONS, "a function, or to defaults for all"),
)

# fmt: on

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
