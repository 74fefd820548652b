# ruff: noqa: E501 - the messages are exact, however long
"""Broken configuration files and exactly what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gearpool.config import ConfigurationProblems, load

BROKEN: list[tuple[str, str, list[str]]] = [
    ("an empty file", "", ["workers.yaml: the file is empty; it needs at least servers and functions"]),
    ("a comment only", "# nothing\n", ["workers.yaml: the file is empty; it needs at least servers and functions"]),
    (
        "a list at the top",
        "- servers\n",
        [
            "workers.yaml:1:1: expected a mapping with servers, functions, embedded, processes, concurrency, defaults, import_path, drain_timeout, stall_timeout, recycle, log, http, control, worker_id, reconnect, monkey_patch, got a list"
        ],
    ),
    (
        "a tab for indentation",
        "servers: s:1\nfunctions:\n\tf: a.b\n",
        [
            "workers.yaml:3:1: not YAML: found character that cannot start any token (while scanning for the next token); indent with spaces, not tabs"
        ],
    ),
    (
        "an unclosed bracket",
        "servers: [s:1\nfunctions: {}\n",
        ["workers.yaml:2:10: not YAML: did not find expected ',' or ']' (while parsing a flow sequence)"],
    ),
    (
        "no servers",
        "functions: {f: a.b}\n",
        ["workers.yaml:1:1: servers is missing: The job servers to take jobs from, all at the same time."],
    ),
    (
        "no functions",
        "servers: s:1\n",
        ["workers.yaml:1:1: functions is missing: The functions to serve, each with the handler that runs its jobs."],
    ),
    (
        "functions that are none",
        "servers: s:1\nfunctions: {}\n",
        ["workers.yaml:2:12: functions: there are none; nothing would be served"],
    ),
    (
        "an unknown key",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\ncolour: red\n",
        [
            "workers.yaml:4:1: colour: unknown key; known are servers, functions, embedded, processes, concurrency, defaults, import_path, drain_timeout, stall_timeout, recycle, log, http, control, worker_id, reconnect, monkey_patch"
        ],
    ),
    (
        "a misspelt key",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nproceses: 2\n",
        ["workers.yaml:4:1: proceses: unknown key; did you mean processes?"],
    ),
    (
        "a misspelt key of a function",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timout: 30s}\n",
        ["workers.yaml:3:40: functions.f.timout: unknown key; did you mean timeout?"],
    ),
    (
        "a key given twice",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nconcurrency: 1\nconcurrency: 2\n",
        ["workers.yaml:5:1: concurrency: is given twice, first in line 4"],
    ),
    (
        "a function given twice",
        "servers: s:1\nfunctions:\n  f: a.b\n  f: c.d\n",
        ["workers.yaml:4:3: functions.f: is given twice, first in line 3"],
    ),
    (
        "a bare number for a duration",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timeout: 30}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 30'],
    ),
    (
        "a duration of nothing",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timeout: 0s}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 0s'],
    ),
    (
        "a negative duration",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timeout: -5s}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got -5s'],
    ),
    (
        "an unknown unit",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timeout: 30sec}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 30sec'],
    ),
    (
        "minutes and seconds",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, timeout: 1:30}\n",
        ['workers.yaml:3:49: functions.f.timeout: expected a duration such as "30s", got 1:30, which YAML reads as 90'],
    ),
    (
        "a word for a number",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nconcurrency: many\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got many"],
    ),
    (
        "nought for a count",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nconcurrency: 0\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got 0"],
    ),
    (
        "an octal number",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nconcurrency: 010\n",
        ["workers.yaml:4:14: concurrency: expected a whole number from 1 to 1000000, got 010, which YAML reads as 8"],
    ),
    (
        "a number with a point",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nprocesses: 1.5\n",
        ["workers.yaml:4:12: processes: expected a whole number from 1 to 1024 or auto, got 1.5"],
    ),
    (
        "a word that is no number of processes",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nprocesses: all\n",
        ["workers.yaml:4:12: processes: expected a whole number from 1 to 1024 or auto, got all"],
    ),
    (
        "no for false",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, enabled: no}\n",
        ["workers.yaml:3:49: functions.f.enabled: expected true or false, got no, which YAML reads as false"],
    ),
    (
        "a quoted true",
        'servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, enabled: "true"}\n',
        ['workers.yaml:3:49: functions.f.enabled: expected true or false, got "true"'],
    ),
    (
        "a rate without a unit",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, rate: 50}\n",
        ['workers.yaml:3:46: functions.f.rate: expected a rate such as "50/s", got 50'],
    ),
    (
        "a size without a unit",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nrecycle: {memory: 512}\n",
        ['workers.yaml:4:19: recycle.memory: expected a size such as "512MiB", got 512'],
    ),
    (
        "a percentage over the top",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, retry: {jitter: 120%}}\n",
        ['workers.yaml:3:56: functions.f.retry.jitter: expected a percentage such as "20%", got 120%'],
    ),
    (
        "an unknown action",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, on_error: ignore}\n",
        [
            "workers.yaml:3:50: functions.f.on_error: expected abort, skip or retry, or a mapping of exception classes to these, got ignore"
        ],
    ),
    (
        "an unknown action for a class",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, on_error: {ValueError: ignore}}\n",
        ["workers.yaml:3:63: functions.f.on_error.ValueError: expected abort, skip or retry, got ignore"],
    ),
    (
        "a class that is no exception",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, on_error: {print: skip}}\n",
        [
            'workers.yaml:3:51: functions.f.on_error.print: expected an exception class such as "ValueError" or "package.Error"'
        ],
    ),
    (
        "retry for a number",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, retry: 5}\n",
        [
            "workers.yaml:3:47: functions.f.retry: expected a mapping with attempts, delay, backoff, max_delay, jitter, then, max_waiting, got 5"
        ],
    ),
    (
        "a dead letter without a place",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, dead_letter: {}}\n",
        ["workers.yaml:3:53: functions.f.dead_letter: expected exactly one of function and file"],
    ),
    (
        "a dead letter with two",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, dead_letter: {function: g, file: x}}\n",
        ["workers.yaml:3:53: functions.f.dead_letter: expected exactly one of function and file"],
    ),
    (
        "a last resort that is not there",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, retry: {then: dead_letter}}\n",
        ["workers.yaml:3:54: functions.f.retry.then: is dead_letter, but dead_letter does not say where to"],
    ),
    (
        "letters to itself",
        "servers: s:1\nfunctions:\n  f: {handler: gearpool.examples.echo, dead_letter: {function: f}}\n",
        [
            "workers.yaml:3:64: functions.f.dead_letter.function: must not be the function itself: its dead letters would loop"
        ],
    ),
    (
        "a handler that is a number",
        "servers: s:1\nfunctions: {f: 7}\n",
        [
            'workers.yaml:2:16: functions.f: expected a dotted path such as "package.module.function", or a mapping with handler, concurrency, timeout, timeout_grace, on_error, on_timeout, on_drain, retry, dead_letter, breaker, poison, report, payload, rate, weight, enabled, got 7'
        ],
    ),
    (
        "a function without a handler",
        "servers: s:1\nfunctions: {f: {timeout: 1s}}\n",
        [
            "workers.yaml:2:16: functions.f: handler is missing: The Python function to call: `package.module.function`, or `package.module:object.method`."
        ],
    ),
    (
        "a function without anything",
        "servers: s:1\nfunctions:\n  f:\n",
        [
            'workers.yaml:3:5: functions.f: expected a dotted path such as "package.module.function", or a mapping with handler, concurrency, timeout, timeout_grace, on_error, on_timeout, on_drain, retry, dead_letter, breaker, poison, report, payload, rate, weight, enabled, got nothing'
        ],
    ),
    (
        "a function name with a line end",
        'servers: s:1\nfunctions: {"a\\nb": a.b}\n',
        ["workers.yaml:2:13: functions.a\\nb: function name 'a\\nb' has a line end in it"],
    ),
    (
        "a store that would keep nothing",
        'servers: embedded\nembedded: {store: ":memory:"}\nfunctions: {f: a.b}\n',
        [
            "workers.yaml:2:19: embedded.store: :memory: would keep nothing; give the path of a file, or memory to keep jobs in memory only"
        ],
    ),
    (
        "a store without a name",
        'servers: embedded\nembedded: {store: ""}\nfunctions: {f: a.b}\n',
        ['workers.yaml:2:19: embedded.store: expected memory or a path, got ""'],
    ),
    (
        "a function called no",
        "servers: s:1\nfunctions: {no: a.b}\n",
        ['workers.yaml:2:13: functions: the key no is read by YAML as bool; quote it: "no"'],
    ),
    (
        "a server without a host",
        'servers: ":4730"\nfunctions: {f: a.b}\n',
        ["workers.yaml:1:10: servers: ':4730': no host before the port"],
    ),
    (
        "a server with a wrong port",
        "servers: s:70000\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: 's:70000': the port must be between 1 and 65535, got 70000"],
    ),
    (
        "a list of no servers",
        "servers: []\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: expected a job server, or a list of them, got an empty list"],
    ),
    (
        "an unknown scheme",
        "servers: http://s:1\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: 'http://s:1': unknown scheme 'http', expected gear:// or gear+tls://"],
    ),
    (
        "a TLS key without a certificate",
        "servers: {address: s:1, tls: {key: k.pem}}\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:30: servers.tls: a key without a cert"],
    ),
    (
        "a variable that is not set",
        "servers: ${NOBODY}\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: the variable NOBODY is not set; set it, or write ${NOBODY:-default}"],
    ),
    (
        "a variable that is required",
        "servers: ${NOBODY:?say where}\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: the variable NOBODY is not set: say where"],
    ),
    (
        "a variable that is none",
        "servers: ${1X}\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: ${1X} is not a variable; write ${NAME}, ${NAME:-default} or ${NAME:?message}"],
    ),
    (
        "a variable that does not end",
        'servers: "${NOBODY"\nfunctions: {f: a.b}\n',
        ["workers.yaml:1:10: servers: ${ without a closing }"],
    ),
    (
        "a merge key",
        "x: &x {handler: a.b}\nservers: s:1\nfunctions: {f: {<<: *x}}\n",
        [
            "workers.yaml:1:1: x: unknown key; known are servers, functions, embedded, processes, concurrency, defaults, import_path, drain_timeout, stall_timeout, recycle, log, http, control, worker_id, reconnect, monkey_patch",
            "workers.yaml:3:16: functions.f: handler is missing: The Python function to call: `package.module.function`, or `package.module:object.method`.",
            'workers.yaml:3:17: functions.f: merge keys ("<<") are not supported; use defaults',
        ],
    ),
    (
        "a Python object",
        "servers: !!python/object:os.system s\nfunctions: {f: a.b}\n",
        ["workers.yaml:1:10: servers: has the tag tag:yaml.org,2002:python/object:os.system, which means nothing here"],
    ),
    (
        "a log level that is none",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nlog: {level: loud}\n",
        ["workers.yaml:4:14: log.level: expected debug, info, warning or error, got loud"],
    ),
    (
        "recycling without a limit",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nrecycle: {jitter: 5%}\n",
        ["workers.yaml:4:10: recycle: expected at least one of jobs, age and memory"],
    ),
    (
        "a worker_id with a space",
        "servers: s:1\nfunctions:\n  f: gearpool.examples.echo\nworker_id: a b\n",
        ["workers.yaml:4:12: worker_id: worker_id 'a b' has a space in it"],
    ),
    (
        "several at once",
        "servers: s:1\nproceses: 2\nfunctions:\n  f: {handler: a.b, timeout: 30, enabled: no}\n",
        [
            "workers.yaml:2:1: proceses: unknown key; did you mean processes?",
            'workers.yaml:4:30: functions.f.timeout: expected a duration such as "30s", got 30',
            "workers.yaml:4:43: functions.f.enabled: expected true or false, got no, which YAML reads as false",
        ],
    ),
]


@pytest.mark.parametrize(("text", "messages"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_file_is_refused_with_its_place_and_what_is_expected(
    text: str, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("workers.yaml").write_text(text)
    with pytest.raises(ConfigurationProblems) as raised:
        load(["workers.yaml"], None, {})
    assert [str(problem) for problem in raised.value.found] == messages


def test_an_alias_bomb_is_refused_and_does_not_take_long(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for above, name in zip("abcdefgh", "bcdefghi", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{above}'] * 10)}]\n"
    path = tmp_path / "workers.yaml"
    path.write_text(bomb)
    with pytest.raises(ConfigurationProblems, match="aliases unfold to too much"):
        load([path], None, {})
