# ruff: noqa: E501 - the messages are exact, however long
"""Values that a key does not take, and exactly what is said of them; whole files are in `test_messages`, what YAML makes of a text in
`test_yaml_messages`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gearpool.config import ConfigurationProblems, load

FILE = "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\n"
"""A good file, to which a wrong line is added."""
FUNCTION = "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, "
"""The beginning of a good function, to which a wrong key is added."""

LONG = "x" * 256

BROKEN: list[tuple[str, str, list[str]]] = [
    (
        "a misspelt word",
        FUNCTION + "on_timeout: retrie, report: Exception, payload: jason}\n",
        [
            "workers.yaml:3:52: functions.f.on_timeout: expected abort, skip or retry, got retrie; did you mean retry?",
            "workers.yaml:3:68: functions.f.report: expected fail or exception, got Exception; did you mean exception?",
            "workers.yaml:3:88: functions.f.payload: expected bytes, text or json, got jason; did you mean json?",
        ],
    ),
    (
        "off for false",
        FILE + "monkey_patch: off\n",
        ["workers.yaml:4:15: monkey_patch: expected true or false, got off, which YAML reads as false"],
    ),
    (
        "yes for true",
        FILE + "log: {jobs: yes}\n",
        ["workers.yaml:4:13: log.jobs: expected true or false, got yes, which YAML reads as true"],
    ),
    (
        "a level for the log section",
        FILE + "log: debug\n",
        ["workers.yaml:4:6: log: expected a mapping with level, format, jobs, got debug"],
    ),
    (
        "an unknown log format",
        FILE + "log: {format: yaml}\n",
        ["workers.yaml:4:15: log.format: expected auto, text, json or logfmt, got yaml"],
    ),
    (
        "two units in one duration",
        FILE + "drain_timeout: 1m30s\n",
        ['workers.yaml:4:16: drain_timeout: expected a duration such as "30s", got 1m30s'],
    ),
    (
        "no time for a stall",
        FILE + "stall_timeout: 0s\n",
        ['workers.yaml:4:16: stall_timeout: expected a duration such as "30s", got 0s'],
    ),
    (
        "nothing for a duration",
        FILE + "drain_timeout: ~\n",
        ['workers.yaml:4:16: drain_timeout: expected a duration such as "30s", got nothing'],
    ),
    (
        "underscores in a number",
        FILE + "concurrency: 1_000\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got 1_000"],
    ),
    (
        "a hexadecimal number",
        FILE + "concurrency: 0x10\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got 0x10, which YAML reads as 16"],
    ),
    (
        "a quoted number",
        FILE + "concurrency: '5'\n",
        ['workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got "5"'],
    ),
    (
        "more jobs than can be meant",
        FILE + "concurrency: 2000000\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got 2000000"],
    ),
    (
        "a negative count",
        FILE + "concurrency: -1\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got -1"],
    ),
    (
        "no process at all",
        FILE + "processes: 0\n",
        ["workers.yaml:4:12: processes: expected a whole number from 1 to 1024 or auto, got 0"],
    ),
    (
        "a count in exponential notation",
        FILE + "processes: 1e3\n",
        ["workers.yaml:4:12: processes: expected a whole number from 1 to 1024 or auto, got 1e3"],
    ),
    (
        "no weight",
        FUNCTION + "weight: 0}\n",
        ["workers.yaml:3:48: functions.f.weight: expected a number above 0, got 0"],
    ),
    (
        "an infinite weight",
        FUNCTION + "weight: .inf}\n",
        ["workers.yaml:3:48: functions.f.weight: expected a number above 0, got .inf"],
    ),
    (
        "a word for a weight",
        FUNCTION + "weight: heavy}\n",
        ["workers.yaml:3:48: functions.f.weight: expected a number above 0, got heavy"],
    ),
    (
        "a rate by the day",
        FUNCTION + "rate: 50/d}\n",
        ['workers.yaml:3:46: functions.f.rate: expected a rate such as "50/s", got 50/d'],
    ),
    (
        "a rate of nothing",
        FUNCTION + "rate: 0/s}\n",
        ['workers.yaml:3:46: functions.f.rate: expected a rate such as "50/s", got 0/s'],
    ),
    (
        "an unknown payload",
        FUNCTION + "payload: xml}\n",
        ["workers.yaml:3:49: functions.f.payload: expected bytes, text or json, got xml"],
    ),
    (
        "an unknown report",
        FUNCTION + "report: both}\n",
        ["workers.yaml:3:48: functions.f.report: expected fail or exception, got both"],
    ),
    (
        "an unknown action for a timeout",
        FUNCTION + "on_timeout: ignore}\n",
        ["workers.yaml:3:52: functions.f.on_timeout: expected abort, skip or retry, got ignore"],
    ),
    (
        "an unknown action for a drain",
        FUNCTION + "on_drain: abort}\n",
        ["workers.yaml:3:50: functions.f.on_drain: expected requeue or fail, got abort"],
    ),
    (
        "a number for poison",
        FUNCTION + "poison: 3}\n",
        ["workers.yaml:3:48: functions.f.poison: expected a mapping with kills, got 3"],
    ),
    (
        "no kills for poison",
        FUNCTION + "poison: {kills: 0}}\n",
        ["workers.yaml:3:56: functions.f.poison.kills: expected a whole number from 1 to 1000000, got 0"],
    ),
    (
        "no failures for a breaker",
        FUNCTION + "breaker: {failures: 0}}\n",
        ["workers.yaml:3:60: functions.f.breaker.failures: expected a whole number from 1 to 1000000, got 0"],
    ),
    (
        "a key of another program in a breaker",
        FUNCTION + "breaker: {window: 1m}}\n",
        ["workers.yaml:3:50: functions.f.breaker.window: unknown key; known are failures, within, pause"],
    ),
    (
        "a misspelt key of retry",
        FUNCTION + "retry: {atempts: 3}}\n",
        ["workers.yaml:3:48: functions.f.retry.atempts: unknown key; did you mean attempts?"],
    ),
    (
        "a backoff that shrinks",
        FUNCTION + "retry: {backoff: 0.5}}\n",
        ["workers.yaml:3:57: functions.f.retry.backoff: expected a number of at least 1, got 0.5"],
    ),
    (
        "a last resort that is none",
        FUNCTION + "retry: {then: retry}}\n",
        ["workers.yaml:3:54: functions.f.retry.then: expected abort, skip or dead_letter, got retry"],
    ),
    (
        "a fraction for a percentage",
        FUNCTION + "retry: {jitter: 0.2}}\n",
        ['workers.yaml:3:56: functions.f.retry.jitter: expected a percentage such as "20%", got 0.2'],
    ),
    (
        "a class without an action",
        FUNCTION + "on_error: {ValueError}}\n",
        ["workers.yaml:3:61: functions.f.on_error.ValueError: expected abort, skip or retry, got nothing"],
    ),
    (
        "no classes at all",
        FUNCTION + "on_error: {}}\n",
        [
            "workers.yaml:3:50: functions.f.on_error: expected abort, skip or retry, or a mapping of exception classes to these, got an empty mapping"
        ],
    ),
    (
        "yes for an action",
        FUNCTION + "on_error: yes}\n",
        [
            "workers.yaml:3:50: functions.f.on_error: expected abort, skip or retry, or a mapping of exception classes to these, got yes, which YAML reads as true"
        ],
    ),
    (
        "a date for a duration",
        FUNCTION + "timeout: 2023-01-01}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 2023-01-01'],
    ),
    (
        "an empty duration",
        FUNCTION + "timeout: ''}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got ""'],
    ),
    (
        "a space before the unit",
        FUNCTION + "timeout: 30 s}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 30 s'],
    ),
    (
        "a decimal size",
        FILE + "recycle: {memory: 512MB}\n",
        ['workers.yaml:4:19: recycle.memory: expected a size such as "512MiB", got 512MB'],
    ),
    (
        "an age without a unit",
        FILE + "recycle: {age: 24}\n",
        ['workers.yaml:4:16: recycle.age: expected a duration such as "30s", got 24'],
    ),
    (
        "milliseconds without a unit",
        FILE + "reconnect: {delay: 500}\n",
        ['workers.yaml:4:20: reconnect.delay: expected a duration such as "30s", got 500'],
    ),
    (
        "a number for a store",
        FILE + "embedded: {store: 5}\n",
        ['workers.yaml:4:19: embedded.store: expected memory or a path, got 5; quote it: "5"'],
    ),
    (
        "an address with a word for a port",
        FILE + "embedded: {listen: nowhere:x}\n",
        ["workers.yaml:4:20: embedded.listen: 'nowhere:x': the port must be a number, got 'x'"],
    ),
    (
        "no import path",
        FILE + "import_path: []\n",
        ["workers.yaml:4:14: import_path: expected a folder, or a list of them, got an empty list"],
    ),
    (
        "a number for a folder",
        FILE + "import_path: [5]\n",
        ['workers.yaml:4:15: import_path[0]: expected a path, got 5; quote it: "5"'],
    ),
    (
        "a port for the http section",
        FILE + "http: 8730\n",
        ["workers.yaml:4:7: http: expected a mapping with listen, token, read_token, got 8730"],
    ),
    (
        "a secret that is no text",
        FILE + "http: {token: 4711}\n",
        [
            "workers.yaml:4:15: http.token: expected a token of printable ASCII characters without spaces, in quotes if YAML reads it as something else; what was found is a secret"
        ],
    ),
    (
        "tokens that no header can hold",
        FILE + 'http: {token: "", read_token: "a\\nb"}\n',
        [
            "workers.yaml:4:15: http.token: expected a token of printable ASCII characters without spaces, in quotes if YAML reads it as something else; what was found is a secret",
            "workers.yaml:4:31: http.read_token: expected a token of printable ASCII characters without spaces, in quotes if YAML reads it as something else; what was found is a secret",
        ],
    ),
    (
        "a token with a space",
        FILE + "http: {token: a b}\n",
        [
            "workers.yaml:4:15: http.token: expected a token of printable ASCII characters without spaces, in quotes if YAML reads it as something else; what was found is a secret"
        ],
    ),
    (
        "an address of http with a scheme",
        FILE + "http: {listen: 'http://localhost:80'}\n",
        [
            "workers.yaml:4:16: http.listen: 'http://localhost:80': an address to listen on has no scheme, write host:port"
        ],
    ),
    (
        "a unix socket without a path",
        FILE + "http: {listen: 'unix:'}\n",
        ["workers.yaml:4:16: http.listen: 'unix:': expected the path of a socket after unix:"],
    ),
    (
        "an unknown key of http",
        FILE + "http: {port: 1}\n",
        ["workers.yaml:4:8: http.port: unknown key; known are listen, token, read_token"],
    ),
    (
        "a path for the control section",
        FILE + "control: x.sock\n",
        ["workers.yaml:4:10: control: expected a mapping with socket, group, got x.sock"],
    ),
    (
        "a handler among the defaults",
        FILE + "defaults: {handler: a.b}\n",
        ["workers.yaml:4:12: defaults.handler: unknown key; it belongs to a function"],
    ),
    (
        "a duration for the defaults",
        FILE + "defaults: 30s\n",
        [
            "workers.yaml:4:11: defaults: expected a mapping with concurrency, timeout, timeout_grace, on_error, on_timeout, on_drain, retry, dead_letter, breaker, poison, report, payload, rate, weight, enabled, got 30s"
        ],
    ),
    (
        "a number for a worker_id",
        FILE + "worker_id: 12\n",
        ['workers.yaml:4:12: worker_id: expected a client id, got 12; quote it: "12"'],
    ),
    (
        "a number among the servers",
        "servers: [s:1, 5]\nfunctions: {f: a.b}\n",
        [
            'workers.yaml:1:16: servers[1]: expected a server such as "127.0.0.1:4730", or a mapping with address, tls, got 5'
        ],
    ),
    (
        "a misspelt key of a server",
        "servers: {adress: s:1}\nfunctions: {f: a.b}\n",
        [
            "workers.yaml:1:10: servers: address is missing: host:port",
            "workers.yaml:1:11: servers.adress: unknown key; did you mean address?",
        ],
    ),
    (
        "true for TLS",
        "servers: {address: s:1, tls: true}\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:30: servers.tls: expected a mapping with ca, cert, key, server_name, got true"],
    ),
    (
        "a list of functions",
        "servers: s:1\nfunctions: [a.b]\n",
        ["workers.yaml:2:12: functions: expected a mapping of function names to handlers, got a list"],
    ),
    (
        "a text for functions",
        "servers: s:1\nfunctions: a.b\n",
        ["workers.yaml:2:12: functions: expected a mapping of function names to handlers, got a.b"],
    ),
    (
        "a list for a key",
        "servers: s:1\nfunctions: {? [a] : b}\n",
        ["workers.yaml:2:15: functions: a key must be a plain word"],
    ),
    (
        "a function without a name",
        "servers: s:1\nfunctions: {'': a.b}\n",
        ["workers.yaml:2:13: functions.: function name must not be empty"],
    ),
    ("servers given twice", FILE + "servers: t:1\n", ["workers.yaml:4:1: servers: is given twice, first in line 1"]),
    (
        "an address that is no IPv6 address",
        "servers: '2001:db8::zz'\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: '2001:db8::zz': too many colons; an IPv6 address is written [address]:port"],
    ),
    (
        "several servers in one text",
        "servers: s:1, t:2\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: expected one server; write several as a list: [s:1, t:2]"],
    ),
    (
        "a function name that is too long",
        f"servers: s:1\nfunctions: {{{LONG}: a.b}}\n",
        [f"workers.yaml:2:13: functions.{LONG}: function name has 256 bytes, at most 255 are possible: b'{LONG[:80]}'"],
    ),
    (
        "a duration of millions of years",
        FUNCTION + "timeout: 99999999999999s}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 99999999999999s'],
    ),
    (
        "a list for a number",
        FILE + "concurrency: [5]\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got a list"],
    ),
]


@pytest.mark.parametrize(("text", "messages"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_value_that_is_not_taken_is_named_with_its_place_and_what_is_expected(
    text: str, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("workers.yaml").write_text(text)
    with pytest.raises(ConfigurationProblems) as raised:
        load(["workers.yaml"], None, {})
    assert [str(problem) for problem in raised.value.found] == messages
