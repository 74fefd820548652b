from __future__ import annotations

import os
from pathlib import Path

import pytest

from gearpool.config import ConfigurationProblems, Overrides, load
from gearpool.settings import (
    BreakerSettings,
    DeadLetterSettings,
    EmbeddedSettings,
    HttpSettings,
    LogSettings,
    RecycleSettings,
    RetrySettings,
    ServerSettings,
    Settings,
    TlsSettings,
)  # fmt: skip

PLAIN = "servers: s:1\nfunctions:\n  f: a.b\n"


def loaded(folder: Path, text: str, overrides: Overrides | None = None, **environment: str) -> Settings:
    path = folder / "workers.yaml"
    path.write_text(text)
    return load([path], overrides, environment).settings


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    settings = loaded(tmp_path, PLAIN)
    assert settings.servers == (ServerSettings(host="s", port=1),)
    assert settings.functions[0].handler == "a.b"
    assert (settings.processes, settings.concurrency, settings.drain_timeout_s) == (1, 100, 30.0)
    assert settings.base == str(tmp_path)
    assert settings.path == str(tmp_path / "workers.yaml")


def test_values_become_seconds_bytes_and_rates(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "servers: [s:1, 't:2']\nprocesses: 3\nstall_timeout: 2m\nrecycle: {memory: 1.5MiB, age: 1d, jitter: 0%}\n"
        "log: {level: debug, jobs: true}\nfunctions:\n  f: {handler: a.b, timeout: 500ms, rate: 600/m, weight: 2.5,\n"
        "    retry: {delay: 0s, jitter: 5%}, breaker: {within: 1h}, on_error: {ValueError: skip}}\n",
    )
    function = settings.functions[0]
    assert settings.stall_timeout_s == 120.0
    assert settings.recycle == RecycleSettings(memory_bytes=1572864, age_s=86400.0, jitter=0.0)
    assert settings.log == LogSettings(level="debug", jobs=True)
    assert (function.timeout_s, function.rate_per_s, function.weight) == (0.5, 10.0, 2.5)
    assert function.retry == RetrySettings(delay_s=0.0, jitter=0.05)
    assert function.breaker == BreakerSettings(within_s=3600.0)
    assert function.on_error == {"default": "abort", "ValueError": "skip"}


def test_defaults_lie_under_every_function_and_retry_key_by_key(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "servers: s:1\ndefaults: {timeout: 5s, retry: {attempts: 9, delay: 3s}, dead_letter: {file: d}}\nfunctions:\n"
        "  f: a.b\n  g: {handler: c.d, timeout: 1s, retry: {attempts: 2}, dead_letter: {function: x}}\n",
    )
    f, g = settings.functions
    assert (f.timeout_s, f.retry, f.dead_letter) == (
        5.0, RetrySettings(attempts=9, delay_s=3.0), DeadLetterSettings(file="d"),
    )  # fmt: skip
    assert (g.timeout_s, g.retry, g.dead_letter) == (
        1.0, RetrySettings(attempts=2, delay_s=3.0), DeadLetterSettings(function="x"),
    )  # fmt: skip


def test_embedded_stands_for_its_own_address(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, "servers: [embedded, s:1]\nembedded: {listen: '127.0.0.1:9', store: jobs.db}\nfunctions: {f: a.b}\n"
    )
    assert [str(server) for server in settings.servers] == ["127.0.0.1:9", "s:1"]
    assert settings.embedded == EmbeddedSettings(listen="127.0.0.1:9", store=str(tmp_path / "jobs.db"))


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "servers: {address: s:1, tls: {ca: ca.pem, cert: /abs/c.pem}}\ncontrol: {socket: x.sock}\nfunctions: {f: a.b}\n",
    )
    assert settings.servers[0].tls == TlsSettings(ca=str(tmp_path / "ca.pem"), cert="/abs/c.pem")
    assert settings.control.socket == str(tmp_path / "x.sock")


def test_variables_are_replaced_as_if_they_had_been_written(tmp_path: Path) -> None:
    text = "servers: ${HOST}:${PORT:-4730}\nconcurrency: ${MANY}\nworker_id: a$${b}\nfunctions: {f: a.b}\n"
    settings = loaded(tmp_path, text, HOST="h", MANY="7")
    assert (str(settings.servers[0]), settings.concurrency, settings.worker_id) == ("h:4730", 7, "a${b}")


def test_the_command_line_beats_the_environment_beats_the_file(tmp_path: Path) -> None:
    def servers(overrides: Overrides | None = None, **environment: str) -> list[str]:
        return [str(server) for server in loaded(tmp_path, PLAIN, overrides, **environment).servers]

    assert servers() == ["s:1"]
    assert servers(GEARMAN_SERVERS="m:2") == ["m:2"]
    assert servers(GEARMAN_SERVERS="m:2", GEARPOOL_SERVERS="p:3,q:4") == ["p:3", "q:4"]
    assert servers(Overrides(servers="c:5"), GEARPOOL_SERVERS="p:3") == ["c:5"]
    settings = loaded(tmp_path, PLAIN, Overrides(processes="2", concurrency="9", log_level="error"))
    assert (settings.processes, settings.concurrency, settings.log.level) == (2, 9, "error")


def test_an_override_that_is_wrong_is_named_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblems) as raised:
        loaded(tmp_path, PLAIN, Overrides(concurrency="many"), GEARPOOL_SERVERS="a b")
    assert [str(problem) for problem in raised.value.found] == [
        "--concurrency: concurrency: expected a whole number from 1 to 1000000, got many",
        "GEARPOOL_SERVERS: servers[0]: 'a b': 'a b' is not a host name",
    ]


def test_servers_may_come_from_the_environment_alone(tmp_path: Path) -> None:
    assert str(loaded(tmp_path, "functions: {f: a.b}\n", GEARMAN_SERVERS="m").servers[0]) == "m:4730"


def test_files_and_folders_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.yaml").write_text(PLAIN)
    Path("conf.d").mkdir()
    Path("conf.d/20.yaml").write_text("functions: {h: e.f}\nconcurrency: 5\n")
    Path("conf.d/10.yml").write_text("functions: {g: c.d}\n")
    Path("conf.d/notes.txt").write_text("not ours")
    settings = load(["base.yaml", "conf.d"], None, {}).settings
    assert [function.name for function in settings.functions] == ["f", "g", "h"]
    assert settings.concurrency == 5
    Path("conf.d/30.yaml").write_text("functions: {f: x.y}\nservers: t:2\n")
    with pytest.raises(ConfigurationProblems) as raised:
        load(["base.yaml", "conf.d"], None, {})
    assert [str(problem) for problem in raised.value.found] == [
        "conf.d/30.yaml:1:13: functions.f: is given twice, first in base.yaml:3:3",
        "conf.d/30.yaml:2:1: servers: is given twice, first in base.yaml:1:1",
    ]


def test_a_folders_hidden_files_are_no_parts_of_it_and_links_to_nowhere_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("conf.d/old.yaml").mkdir(parents=True)
    Path("conf.d/a.yaml").write_text("servers: s:1\nfunctions: {f: a.b}\n")
    Path("conf.d/.a.yaml").write_text("functions: {secret: a.b}\n")
    assert [function.name for function in load(["conf.d"], None, {}).settings.functions] == ["f"]
    Path("conf.d/b.yaml").symlink_to("gone.yaml")
    Path("conf.d/c.yaml").symlink_to("c.yaml")
    os.mkfifo("conf.d/d.yaml")
    with pytest.raises(ConfigurationProblems) as raised:
        load(["conf.d"], None, {})
    assert [str(problem) for problem in raised.value.found] == [
        "conf.d/b.yaml: no such file",
        "conf.d/c.yaml: cannot be read: Too many levels of symbolic links",
        "conf.d/d.yaml: is a pipe, which can be read only once; name a file",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "workers.yaml: no such file"),
        (lambda path: path.mkdir(), "workers.yaml: the folder has no *.yaml file"),
        (lambda path: path.write_bytes(b"servers: \xff\n"), "workers.yaml:1:10: is not UTF-8: byte 0xff"),
        (lambda path: path.write_bytes(b"servers: a\x00b\n"), "workers.yaml:1:11: has a control character '\\x00'"),
        (
            lambda path: path.write_bytes(b"#" * (5 << 20)),
            "workers.yaml: is larger than 4 MiB, which no configuration is",
        ),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    make: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("workers.yaml"))  # type: ignore[operator]
    with pytest.raises(ConfigurationProblems) as raised:
        load(["workers.yaml"], None, {})
    assert str(raised.value.found[0]) == message


def test_what_will_bite_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "servers: s:1\nembedded: {store: memory}\nconcurrency: 5\ndrain_timeout: 10s\nfunctions:\n  f: a.b\n"
        "  g: {handler: c.d, concurrency: 9, timeout: 20s}\nhttp: {listen: '[::]:80', token: a}\n"
    )
    assert [(warning.place.line, warning.path) for warning in load([path], None, {}).warnings] == [
        (2, "embedded"), (6, "functions.f"), (7, "functions.g"), (7, "functions.g.concurrency"),
        (8, "http.listen"),
    ]  # fmt: skip


@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost:80", "'[::1]:80'", "unix:web.sock"])
def test_http_that_only_this_machine_reaches_needs_no_read_token(tmp_path: Path, listen: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(f"servers: s:1\nfunctions: {{f: {{handler: a.b, timeout: 1s}}}}\nhttp: {{listen: {listen}}}\n")
    assert load([path], None, {}).warnings == []


def test_the_path_of_http_starts_at_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("servers: s:1\nfunctions: {f: a.b}\nhttp: {listen: 'unix:web.sock', token: a, read_token: b}\n")
    expected = HttpSettings(listen=f"unix:{tmp_path}/web.sock", token="a", read_token="b")
    assert load([path], None, {}).settings.http == expected
