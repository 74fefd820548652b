"""`gearpool check`: handlers that take it down or hold it up, and each of its warnings."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Done, environment, gearpool
from tests.processes import OwnServer, free_port

Check = Callable[..., Done]

FILE = "servers: s:1\nfunctions:\n  f: {handler: shop.f, timeout: 20s}\n"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs it on workers.yaml, offline, with this source of the handlers."""
    monkeypatch.chdir(tmp_path)

    def run(
        source: str, *options: str, config: str = FILE, code: int = 0, offline: bool = True, **variables: str
    ) -> Done:
        Path("shop.py").write_text(f"{source}\ndef f(arg): return arg\n")
        Path("workers.yaml").write_text(config)
        words = ["--offline"] * offline
        return gearpool("check", "-c", "workers.yaml", *words, *options, code=code, env=variables)

    return run


def warnings(done: Done) -> list[str]:
    return [line.removeprefix("warning: ") for line in done.err.splitlines() if line.startswith("warning: ")]


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("import os\nos._exit(3)", "loading shop.f ended the process with exit code 3"),
        ("import os\nos._exit(0)", "loading shop.f ended the process with exit code 0"),
        (
            "import ctypes\nctypes.string_at(0)",
            "loading shop.f killed the process: Segmentation fault (SIGSEGV)",
        ),
        ("import os\nos.abort()", "loading shop.f killed the process: Aborted (SIGABRT)"),
        ("import sys\nsys.exit(4)", "importing shop failed: SystemExit: 4"),
        ("raise KeyboardInterrupt", "loading shop.f ended the process with exit code 130"),
        ("import time\ntime.sleep(600)", "loading shop.f did not end within 1 s (--import-timeout)"),
        ("while True: pass", "loading shop.f did not end within 1 s (--import-timeout)"),
    ],
    ids=["_exit 3", "_exit 0", "a segfault", "abort", "sys.exit", "KeyboardInterrupt", "a sleep", "a loop"],
)
def test_a_module_that_does_not_come_back_from_its_import_is_named(check: Check, source: str, end: str) -> None:
    done = check(source, "--import-timeout", "1s" if "1 s" in end else "60s", code=78)
    assert done.err.splitlines()[0] == f"workers.yaml:3:16: functions.f.handler: {end}"
    assert done.err.splitlines()[-1] == "1 problem, 0 warnings"
    assert "Traceback" not in done.err


def test_the_other_problems_are_told_although_an_import_ended_the_process(check: Check) -> None:
    done = check(
        "import os\nos._exit(3)", "--json", code=78, config="servers: s:1\nproceses: 2\nfunctions: {f: shop.f}\n"
    )
    assert [(row["line"], row["message"]) for row in json.loads(done.out)["problems"]] == [
        (2, "unknown key; did you mean processes?"),
        (3, "loading shop.f ended the process with exit code 3"),
    ]


def test_the_daemon_names_the_handler_that_ended_its_checker_and_leaves_with_78(check: Check, tmp_path: Path) -> None:
    check("import os\nos._exit(3)", code=78)
    done = subprocess.run(
        [sys.executable, "-m", "gearpool", "-c", "workers.yaml"],
        cwd=tmp_path, env=environment(RUNTIME_DIRECTORY=str(tmp_path)), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "workers.yaml:3:16: functions.f.handler: loading shop.f ended the process" in done.stderr


def test_each_import_has_the_whole_time(check: Check, tmp_path: Path) -> None:
    functions = "".join(f"  f{number}: {{handler: slow{number}.f, timeout: 1s}}\n" for number in range(4))
    for number in range(4):
        (tmp_path / f"slow{number}.py").write_text("import time\ntime.sleep(0.6)\ndef f(arg): return arg\n")
    done = check("", "--import-timeout", "2s", config=f"servers: s:1\nfunctions:\n{functions}")
    assert done.err == "fine, 0 warnings\n"


def test_a_module_that_leaves_a_child_with_the_output_does_not_spoil_the_answer(check: Check) -> None:
    done = check(
        "import os, signal, time\nif os.fork() == 0:\n    signal.alarm(20)\n    time.sleep(600)",
        "--import-timeout",
        "2s",
    )
    assert done.err == "fine, 0 warnings\n"


def test_a_function_without_a_timeout(check: Check) -> None:
    done = check("", config="servers: s:1\nfunctions: {f: shop.f}\n")
    assert warnings(done) == [
        "workers.yaml:2:13: functions.f: has no timeout: a handler that hangs keeps its slot for ever"
    ]


def test_a_function_that_is_longer_than_the_drain_or_wider_than_the_process(check: Check) -> None:
    config = "servers: s:1\nconcurrency: 5\nfunctions:\n  f: {handler: shop.f, timeout: 1m, concurrency: 9}\n"
    assert warnings(check("", config=config)) == [
        "workers.yaml:4:3: functions.f: may run 60 s, longer than drain_timeout (30 s): a restart interrupts such jobs",
        "workers.yaml:4:50: functions.f.concurrency: is 9, but the process's concurrency of 5 comes first",
    ]


def limited(descriptors: int, config: str, folder: Path) -> str:
    (folder / "workers.yaml").write_text(config)
    command = f'ulimit -n {descriptors}; exec "$0" -m gearpool check -c workers.yaml --offline'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_more_jobs_and_connections_than_file_descriptors(tmp_path: Path) -> None:
    config = (
        "servers: [s:1, t:1]\nconcurrency: {}\ndefaults: {{timeout: 9s}}\n"
        "functions: {{f: operator.neg, g: operator.neg, h: {{handler: operator.neg, enabled: false}}}}\n"
    )
    assert limited(128, config.format(100), tmp_path) == (
        "warning: workers.yaml: 4 connections to servers and 100 jobs at once may need more than the 128 file descriptors "
        "allowed here; raise LimitNOFILE (ulimit -n)\nfine, 1 warning\n"
    )
    assert limited(128, config.format(60), tmp_path) == "fine, 0 warnings\n"


@pytest.mark.parametrize(
    ("driver", "source", "instead"),
    [
        ("psycopg2", "import psycopg2", "call psycogreen.gevent.patch_psycopg(), or use psycopg 3 or pg8000"),
        ("MySQLdb", "import MySQLdb", "use PyMySQL"),
        ("zmq", "import zmq", "use zmq.green"),
        ("grpc", "import grpc", "call grpc.experimental.gevent.init_gevent()"),
        ("pycurl", "def later(): pass\nimport pycurl", "use geventhttpclient or requests"),
    ],
)
def test_a_driver_that_gevent_cannot_patch(
    check: Check, tmp_path: Path, driver: str, source: str, instead: str
) -> None:
    (tmp_path / f"{driver}.py").write_text("")
    assert warnings(check(source)) == [
        f"workers.yaml: a handler uses {driver}, which gevent cannot make wait in greenlets: {instead}"
    ]


def test_a_driver_that_was_made_to_wait_in_greenlets_is_fine(check: Check, tmp_path: Path) -> None:
    (tmp_path / "zmq").mkdir()
    (tmp_path / "zmq" / "__init__.py").write_text("")
    (tmp_path / "zmq" / "green.py").write_text("")
    (tmp_path / "psycopg2").mkdir()
    (tmp_path / "psycopg2" / "__init__.py").write_text("")
    (tmp_path / "psycopg2" / "extensions.py").write_text("def get_wait_callback(): return print\n")
    assert warnings(check("import zmq.green, psycopg2.extensions")) == []


SITE = """
from socket import socket as Socket
from time import sleep
import ssl, time, threading

class Connection(Socket):
    pass
"""


def test_a_module_that_was_imported_before_the_patching_and_kept_what_waits(check: Check, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import tracer\n")
    (site / "tracer.py").write_text(SITE)
    paths = f"{environment()['PYTHONPATH']}:{site}"
    told = warnings(check("", PYTHONPATH=paths))
    assert told[0] == (
        "workers.yaml: tracer was imported before the patching, by sitecustomize or a .pth file, and keeps socket.socket, "
        "time.sleep, socket.socket (in its class Connection) unpatched, which does not know greenlets: what waits there "
        "blocks every job; import it in the handlers' modules"
    )
    unpatched = check("", PYTHONPATH=paths, config=f"monkey_patch: false\n{FILE}")
    assert warnings(unpatched) == []


def test_a_module_that_was_there_before_but_reaches_the_library_by_its_name_is_fine(
    check: Check, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import tracer\n")
    (site / "tracer.py").write_text("import socket, threading, time\nclass Reader(threading.Thread): pass\n")
    assert warnings(check("", PYTHONPATH=f"{environment()['PYTHONPATH']}:{site}")) == []


def test_gevents_own_warning_of_a_late_patching_is_reported_in_one_line(check: Check, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import tracer\n")
    (site / "tracer.py").write_text("import ssl\nclass Context(ssl.SSLContext): pass\n")
    told = warnings(check("", PYTHONPATH=f"{environment()['PYTHONPATH']}:{site}"))
    assert any(line.startswith("workers.yaml: gevent: Monkey-patching ssl after ssl has already been") for line in told)


@pytest.mark.parametrize(("given", "warned"), [("45s", 0), ("33s", 0), ("32s", 1), ("30s", 1), ("1m", 0)])
def test_a_platform_that_kills_before_the_drain_is_over(check: Check, given: str, warned: int) -> None:
    told = warnings(check("", "--stop-timeout", given))
    assert len(told) == warned
    if warned:
        assert told == [
            (
                f"workers.yaml: gearpool (--stop-timeout) is killed {given[:-1]} s after it was asked to stop, but may "
                "need drain_timeout (30 s) and 3 s more: jobs that could have finished are cut off"
            )
        ]


def test_the_platforms_time_may_stand_in_the_environment(check: Check) -> None:
    assert len(warnings(check("", GEARPOOL_STOP_TIMEOUT="10s"))) == 1
    wrong = check("", GEARPOOL_STOP_TIMEOUT="10", code=64).err
    assert "GEARPOOL_STOP_TIMEOUT: expected a duration such as \"30s\", got '10'" in wrong


def test_the_platforms_time_may_stand_in_its_own_file(check: Check, tmp_path: Path) -> None:
    (tmp_path / "gearpool.service").write_text("[Service]\nExecStart=/usr/bin/gearpool\nTimeoutStopSec=20\n")
    (tmp_path / "pod.yaml").write_text("kind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: gearpool}]}\n")
    told = warnings(check("", "--platform", "gearpool.service", "--platform", "pod.yaml"))
    assert [line.partition(" after ")[0] for line in told] == [
        "workers.yaml: gearpool.service (gearpool.service) is killed 20 s",
        "workers.yaml: Pod/p (pod.yaml) is killed 30 s",
    ]


class Versions(socketserver.StreamRequestHandler):
    """Answers `version`."""

    def handle(self) -> None:
        while self.rfile.readline():
            self.wfile.write(self.server.answer)  # type: ignore[attr-defined]


@pytest.fixture
def server() -> Iterator[Callable[[bytes], str]]:
    """Starts a server that answers so; its address."""
    started: list[Any] = []

    def start(answer: bytes) -> str:
        one = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Versions)
        one.daemon_threads = True
        one.answer = answer  # type: ignore[attr-defined]
        threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(one)
        return f"127.0.0.1:{one.server_address[1]}"

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize(
    ("version", "hazards"),
    [
        (
            "1.1.20",
            ["CAN_DO_TIMEOUT can crash it", "EPOCH jobs start late", "starves the others", "more than 63 bytes"],
        ),
        ("2.0.0", ["loses waiting jobs", "more than 63 bytes"]),
        ("0.33", ["never tried", "more than 63 bytes"]),
        ("2.0.1", []),
        ("gearpool-9.9", []),
    ],
)
def test_the_known_hazards_of_a_servers_version(
    check: Check, server: Callable[[bytes], str], version: str, hazards: list[str]
) -> None:
    address = server(f"OK {version}\n".encode())
    done = check("", config=FILE.replace("s:1", address), offline=False)
    told = warnings(done)
    assert len(told) == len(hazards)
    for line, hazard in zip(told, hazards, strict=True):
        assert line.startswith(f"workers.yaml: {address} runs gearmand {version}: ")
        assert hazard in line
    assert f"{address}: {version}" in done.err.splitlines()


@pytest.fixture
def own() -> Iterator[str]:
    """The address of gearpool's own server."""
    server = OwnServer()
    yield server.address
    server.stop()


def test_our_own_server_has_no_known_hazards(own: str, check: Check) -> None:
    assert warnings(check("", config=FILE.replace("s:1", own), offline=False)) == []


def test_servers_that_do_not_answer_are_each_named(check: Check, server: Callable[[bytes], str]) -> None:
    fine, strange, gone = server(b"OK 2.0.1\n"), server(b"HTTP/1.1 400 Bad Request\r\n"), f"127.0.0.1:{free_port()}"
    done = check("", config=FILE.replace("s:1", f"['{fine}', '{strange}', '{gone}']"), offline=False)
    assert {line.split(": ", 2)[1] for line in warnings(done)} == {
        f"{strange} cannot be reached now", f"{gone} cannot be reached now",
    }  # fmt: skip


def test_offline_asks_nobody(check: Check) -> None:
    assert check("", config=FILE.replace("s:1", f"127.0.0.1:{free_port()}")).err == "fine, 0 warnings\n"


@pytest.mark.parametrize("form", [(), ("--json",), ("--format", "github"), ("--show",), ("--show", "--json")])
@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("http: {token: '${TOKEN}'}", 0),
        ("http: {token: '${TOKEN}'}\nproceses: 2", 78),
        ("http: {token: 4815162342, listen: x}", 78),
        ("http: {token: [hunter2]}", 78),
        ("http: {token: {hunter2: hunter2}}", 78),
    ],
)
def test_a_secret_is_in_no_output(check: Check, form: tuple[str, ...], config: str, code: int) -> None:
    done = check("", *form, config=f"{FILE}{config}\n", code=code, TOKEN="hunter2")
    for secret in ("hunter2", "4815162342"):
        assert secret not in done.text + done.err


def test_show_names_the_origin_of_every_value_over_several_files(check: Check, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.yaml").write_text("functions:\n  g: {handler: shop.f, rate: 5/s}\n")
    (tmp_path / "conf.d" / "20.yaml").write_text("drain_timeout: 50s\ndefaults: {payload: text}\n")
    done = check(
        "", "-c", "conf.d", "--show", "--processes", "2", "--log-level", "debug", GEARMAN_SERVERS="m:1", PAYLOAD="x"
    )
    lines = [line.strip() for line in done.text.splitlines()]
    for line in (
        "servers:  # GEARMAN_SERVERS",
        '- "m:1"',
        "handler: shop.f  # workers.yaml:3:16",
        "timeout: 20s  # workers.yaml:3:33",
        "handler: shop.f  # conf.d/10.yaml:2:16",
        "rate: 5/s  # conf.d/10.yaml:2:30",
        "payload: text  # conf.d/20.yaml:2:21",
        "drain_timeout: 50s  # conf.d/20.yaml:1:16",
        "processes: 2  # --processes",
        'level: "debug"  # --log-level',
        "# concurrency: 100  (default)",
    ):
        assert line in lines


def test_three_hundred_functions_are_no_matter(check: Check) -> None:
    functions = "".join(
        f"  f{number}: {{handler: shop.f, timeout: 5s, retry: {{attempts: 3}}}}\n" for number in range(300)
    )
    done = check("", "--show", config=f"servers: s:1\nfunctions:\n{functions}")
    assert done.err == "fine, 0 warnings\n"
    assert done.text.count("handler: shop.f") == 300


@pytest.mark.parametrize("embedded", ["", "embedded: {store: memory}\n"])
def test_jobs_that_wait_in_memory_only(check: Check, embedded: str) -> None:
    done = check("", config=FILE.replace("s:1", "embedded") + embedded)
    assert any("waiting background jobs are lost when gearpool stops" in line for line in warnings(done))


def test_jobs_that_wait_in_a_file(check: Check) -> None:
    assert warnings(check("", config=FILE.replace("s:1", "embedded") + "embedded: {store: jobs.sqlite}\n")) == []
