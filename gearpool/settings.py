"""Settings as plain frozen values in base units, already validated. Floor 1; pure.

The configuration file (`gearpool.config`) is turned into these, the supervisor passes them to its children as JSON, and
the `Worker` library builds them from keyword arguments. Durations are float seconds, sizes bytes, rates jobs a second.
The defaults here are the defaults of the product: the configuration model takes them from here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

ErrorAction = Literal["skip", "abort", "retry"]
LastAction = Literal["abort", "skip", "dead_letter"]
DrainAction = Literal["requeue", "fail"]
PayloadKind = Literal["bytes", "text", "json"]
Report = Literal["fail", "exception"]

MAX_AT_ONCE = 1_000_000
"""The highest concurrency that is accepted anywhere."""
DEFAULT_PORT = 4730
DEFAULT_LISTEN = "127.0.0.1:4730"
BACKLOG = 1024
"""Connections that the kernel keeps waiting for the embedded server to accept them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS settings of a server: paths of PEM files; ``server_name`` overrides what the certificate must name."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One job server. ``tls`` None means plain TCP."""

    host: str
    port: int = DEFAULT_PORT
    tls: TlsSettings | None = None

    def __str__(self) -> str:
        """``host:port``, the name of the server in logs, metrics and handles."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """``attempts`` counts every run; ``jitter`` is a share from 0 to 1; ``then`` is what the last failure means."""

    attempts: int = 5
    delay_s: float = 1.0
    backoff: float = 2.0
    max_delay_s: float = 60.0
    jitter: float = 0.2
    then: LastAction = "abort"
    max_waiting: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSettings:
    """Where given-up jobs are kept: a function of the same server, or a JSON-lines file. Exactly one is set."""

    function: str | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonSettings:
    """After how many deaths of a process with this job on the CPU the job is not run again."""

    kills: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSettings:
    """After ``failures`` in a row within ``within_s`` no jobs are taken for ``pause_s``; then one probe job decides."""

    failures: int = 10
    within_s: float = 60.0
    pause_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSettings:
    """One function. ``on_error`` maps exception names (dotted, builtins bare) to actions and always has ``default``."""

    name: str
    handler: str
    concurrency: int | None = None
    timeout_s: float | None = None
    timeout_grace_s: float = 5.0
    on_error: dict[str, ErrorAction] = field(default_factory=lambda: {"default": "abort"})
    on_timeout: ErrorAction = "abort"
    on_drain: DrainAction = "requeue"
    retry: RetrySettings = RetrySettings()
    dead_letter: DeadLetterSettings | None = None
    breaker: BreakerSettings | None = None
    poison: PoisonSettings = PoisonSettings()
    report: Report = "fail"
    payload: PayloadKind = "bytes"
    rate_per_s: float | None = None
    weight: float = 1.0
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectSettings:
    """Delays between attempts have full jitter; their cap doubles from ``delay_s`` to ``max_delay_s``."""

    delay_s: float = 0.5
    max_delay_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleSettings:
    """When a worker process is replaced; None: never for that reason. ``jitter`` is a share from 0 to 1."""

    jobs: int | None = None
    age_s: float | None = None
    memory_bytes: int | None = None
    jitter: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``auto`` is text on a terminal and json elsewhere; ``jobs`` logs each job at info."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "text", "json", "logfmt"] = "auto"
    jobs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """The embedded job server: where it listens, and ``memory`` or the path of its SQLite file. The rest is gearmand's.

    ``job_retries`` 0: for ever; ``worker_wakeup`` 0: all sleeping workers; ``job_handle_prefix`` None: ``H:HOST``.
    """

    listen: str = DEFAULT_LISTEN
    store: str = "memory"
    exceptions: bool = False
    job_retries: int = 0
    worker_wakeup: int = 0
    job_handle_prefix: str | None = None


def handle_prefix_problem(prefix: str) -> str:
    """Why this cannot be a handle prefix; empty if it can."""
    if not prefix or len(prefix.encode()) > 40:
        return f"a prefix of handles has 1 to 40 bytes, got {len(prefix.encode())}"
    if not prefix.isascii() or not prefix.isprintable() or " " in prefix:
        return f"a prefix of handles is ASCII without spaces, got {prefix!r}"
    return ""


def store_problem(path: str) -> str:
    """Why this cannot be the file of the embedded server's store; empty if it can.

    SQLite takes some paths to mean a database that keeps nothing.
    """
    if not path.strip():
        return "the path is empty; give the path of a file, or memory"
    if path.startswith(":memory:") or path.rpartition("/")[2] == ":memory:":
        return f"{path} would keep nothing; give the path of a file, or memory to keep jobs in memory only"
    if "\0" in path:
        return "the path has a NUL in it"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Health checks, metrics and dashboard over HTTP; ``listen`` is an address, or ``unix:PATH``.

    ``token`` is needed to change anything, None: nothing can be changed. ``read_token`` is needed to read, None: nobody is
    asked.
    """

    listen: str = "127.0.0.1:8730"
    token: str | None = None
    read_token: str | None = None


def token_problem(token: str) -> str:
    """Why this cannot be a token, which is sent in a header of HTTP; empty if it can."""
    if not token.isascii() or not token.isprintable() or " " in token:
        return "a token is printable ASCII without spaces"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """The control socket; None: one in the runtime directory, named after the configuration file.

    ``group``: whose members may use it beside the daemon's user, by name or number; None: no group.
    """

    socket: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One configuration, as the supervisor and its children see it.

    ``servers`` includes the embedded server's own address when ``embedded`` is not None. ``path`` is the file it came
    from (absolute), ``base`` the folder that relative paths in it start from.
    """

    servers: tuple[ServerSettings, ...]
    functions: tuple[FunctionSettings, ...]
    path: str = ""
    base: str = "."
    embedded: EmbeddedSettings | None = None
    processes: int = 1
    concurrency: int = 100
    import_path: tuple[str, ...] = (".",)
    drain_timeout_s: float = 30.0
    stall_timeout_s: float = 30.0
    recycle: RecycleSettings | None = None
    log: LogSettings = LogSettings()
    http: HttpSettings | None = None
    control: ControlSettings = ControlSettings()
    worker_id: str | None = None
    reconnect: ReconnectSettings = ReconnectSettings()
    monkey_patch: bool = True


_T = TypeVar("_T")


def to_json(value: Any) -> Any:
    """A settings object as what ``json.dumps`` takes."""
    return dataclasses.asdict(value)


def from_json(cls: type[_T], value: Any) -> _T:
    """The inverse of `to_json`. It trusts its input: that came from `to_json` on our own side of a pipe."""
    return typing.cast("_T", _build(cls, value))


def _build(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint)
        return hint(**{name: _build(hints[name], item) for name, item in value.items()})
    origin = typing.get_origin(hint)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_build(item, each) for each in value)
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            if dataclasses.is_dataclass(option):
                return _build(option, value)
    if origin is dict:
        return dict(value)
    return value
