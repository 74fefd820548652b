"""`gearpool queues`, `job`, `admin` and `bench` against both servers."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool import exit_codes
from gearpool.client import Client
from gearpool.protocol import admin
from gearpool.testing.servers import job_server
from tests.cli.commands import environment, gearpool
from tests.cli.terminals import COLOUR, at_terminal
from tests.client.workers import ThreadWorker
from tests.conformance.wire import T, Wire
from tests.processes import free_port, running_gearmand, unmeasured


@pytest.fixture(params=["embedded", "gearmand"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with a worker of ``echo`` and three jobs that wait for ``later``."""
    with job_server() if request.param == "embedded" else running_gearmand() as server:
        worker = ThreadWorker(server.address, {"echo": lambda job: job.data})
        with Client(server.address) as client:
            for number in range(3):
                client.submit_background_job("later", "x", unique=f"u{number}", priority="low" if number else "high")
        yield server.address
        worker.stop()


def test_queues_lists_what_waits(address: str) -> None:
    lines = gearpool("queues", "-s", address).text.splitlines()
    assert lines[0].split() == ["FUNCTION", "QUEUED", "RUNNING", "WORKERS"]
    assert ["later", "3", "0", "0"] in [line.split() for line in lines]
    assert ["echo", "0", "0", "1"] in [line.split() for line in lines]
    assert len(gearpool("queues", "-s", address, "later").text.splitlines()) == 2


def test_queues_by_priority_and_server_in_json(address: str) -> None:
    looked = json.loads(gearpool("queues", "-s", address, "--priorities", "--each", "--json", "later").text)
    assert looked == {
        "functions": [{"function": "later", "high": 1, "normal": 0, "low": 2, "workers": 0, "server": address}],
        "failures": {},
    }


def test_queues_are_summed_over_servers_and_one_that_is_down_is_named(address: str) -> None:
    with running_gearmand() as other:
        with Client(other.address) as client:
            client.submit_background_job("later", "x")
        dead = f"127.0.0.1:{free_port()}"
        done = gearpool("queues", "-s", f"{address},{other.address},{dead}", "--json", "later")
        looked = json.loads(done.text)
        assert looked["functions"] == [{"function": "later", "queued": 4, "running": 0, "workers": 0}]
        assert list(looked["failures"]) == [dead]
        assert dead in done.err


@pytest.fixture
def odd_names() -> Iterator[str]:
    """A gearmand with a function and a client id that have line ends and escape sequences in them, and ``echo``."""
    with running_gearmand() as server, Wire(server.port) as wire:
        worker = ThreadWorker(server.address, {"echo": lambda job: job.data})
        wire.send_packet(T.SET_CLIENT_ID, b"web1\n")
        wire.register(b"re\nsize", b"\x1b[2Jclear")
        wire.sync()
        yield server.address
        worker.stop()


def test_names_with_line_ends_and_escapes_are_shown_escaped_and_hide_no_other(odd_names: str) -> None:
    for words in (
        ["queues"],
        ["queues", "--each"],
        ["queues", "--priorities"],
        ["admin", "status"],
        ["admin", "workers"],
    ):
        done = gearpool(*words, "-s", odd_names)
        assert r"re\nsize" in done.text, words
        assert r"\x1b[2Jclear" in done.text, words
        assert "\x1b" not in done.text, words
        assert any("echo" in line.split() for line in done.text.splitlines()), words
    looked = json.loads(gearpool("queues", "-s", odd_names, "--json").text)
    assert "re\nsize" in [row["function"] for row in looked["functions"]]
    (row,) = [line for line in gearpool("admin", "workers", "-s", odd_names).text.splitlines() if "web1" in line]
    assert r"web1\n" in row
    assert r"re\nsize" in row


def test_a_unique_id_with_a_dot_on_a_line_ends_no_list_early() -> None:
    with running_gearmand() as server:
        with Client(server.address) as client, Wire(server.port) as wire:
            client.submit_background_job("later", "x", unique="first")
            for unique in (b"a\n.\nb", b"last"):
                wire.submit(b"later", unique, b"x", T.SUBMIT_JOB_BG)
        found = [
            line.split()[1] for line in gearpool("admin", "unique-jobs", "-s", server.address).text.splitlines()[1:]
        ]
        assert {"first", "a", ".", "b", "last"} == set(found)


@contextlib.contextmanager
def saying(*parts: bytes, endless: bytes = b"") -> Iterator[str]:
    """The address of a server that answers anything with this, and then for ever with that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer = listener.accept()[0]
                    with contextlib.suppress(OSError), peer:
                        peer.recv(4096)
                        for part in parts:
                            peer.sendall(part)
                        while endless:
                            peer.sendall(endless)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("endless", [b"x" * 65536, b"f\t1\t0\t0\n" * 6000], ids=["no line", "no end"])
@pytest.mark.parametrize("words", [["status"], ["version"], ["unique-jobs"]])
def test_an_endless_reply_is_reported_with_its_server_and_takes_no_memory(
    words: list[str], endless: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "MAX_REPLY", 1 << 20)
    if words == ["version"] and endless.endswith(b"\n"):
        return  # the first line is the reply
    with saying(endless=endless) as address:
        done = gearpool("admin", *words, "-s", address, code=1)
    assert f"gearpool: {address}: the reply to " in done.err
    assert "has no end within" in done.err


def test_lines_that_are_not_rows_are_reported_with_their_server() -> None:
    with saying(b"echo\t3\t1\t2\n\x1b[2Jodd\t1\n.\n") as address:
        done = gearpool("queues", "-s", address)
        assert "echo" in done.text
        assert done.err == f"gearpool: {address} sent a line that is no row: '\\x1b[2Jodd\\t1'\n"
        assert gearpool("admin", "status", "-s", address).err == done.err


def test_what_a_server_refuses_with_drives_no_terminal() -> None:
    with saying(b"ERR \x1b[2J\x9bforged\r\n") as address:
        done = gearpool("admin", "status", "-s", address, code=1)
        assert "\x1b" not in done.err
        assert r"\x1b[2J" in done.err


def test_check_shows_a_version_that_drives_no_terminal(tmp_path: Path) -> None:
    with saying(b"OK 9.9\x1b[2J\n") as address:
        (tmp_path / "workers.yaml").write_text(f"servers: {address}\nfunctions: {{echo: gearpool.examples.echo}}\n")
        done = gearpool("check", "-c", str(tmp_path / "workers.yaml"))
    assert rf"{address}: 9.9\x1b[2J" in done.err
    assert "\x1b" not in done.err


def test_queues_exits_with_69_when_no_server_answers() -> None:
    gearpool("queues", "-s", f"127.0.0.1:{free_port()}", code=69)


def test_queues_watch_looks_again_and_again(address: str) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "gearpool", "queues", "-s", address, "--watch", "50ms", "--json"],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert watching.stdout is not None
    looks = [json.loads(watching.stdout.readline()) for _ in range(3)]
    watching.terminate()
    watching.wait(10)
    watching.stdout.close()
    assert all(look["functions"] for look in looks)


def test_queues_watch_fills_a_terminal_and_gives_it_back_at_ctrl_c(address: str) -> None:
    with at_terminal("queues", "-s", address, "--watch", "100ms", NO_COLOR="1") as terminal:
        terminal.read(until=b"later")
        with Client(address) as client:
            client.submit_background_job("seen-later-on", "x")
        terminal.read(until=b"seen-later-on", times=2)
        assert b"\x1b[?1049h" in terminal.seen  # the other screen
        terminal.type(b"\x03")
        assert terminal.wait() == exit_codes.INTERRUPTED
        assert terminal.seen.rindex(b"\x1b[?1049l") > terminal.seen.rindex(b"\x1b[?1049h")
        assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l")  # the cursor
        assert terminal.restored
        assert b"Traceback" not in terminal.seen
        assert not COLOUR.search(terminal.seen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_queues_watch_gives_the_terminal_back_when_it_is_ended(address: str, number: signal.Signals) -> None:
    with at_terminal("queues", "-s", address, "--watch", "100ms") as terminal:
        terminal.read(until=b"FUNCTION")
        terminal.send(number)
        assert terminal.wait() == 128 + number
        assert terminal.seen.rindex(b"\x1b[?1049l") > terminal.seen.rindex(b"\x1b[?1049h")
        assert terminal.seen.rindex(b"\x1b[?25h") > terminal.seen.rindex(b"\x1b[?25l")
        assert b"Traceback" not in terminal.seen


def test_queues_watch_fits_its_screen_and_says_how_many_it_leaves_out() -> None:
    with job_server() as server:
        with Client(server.address) as client:
            for number in range(40):
                for _ in range(number + 1):
                    client.submit_background_job(f"{'shop.' * 14}function{number:02}", "x")
        with at_terminal("queues", "-s", server.address, "--watch", "100ms") as terminal:
            terminal.read(until=b" more")
            terminal.type(b"\x03")
            terminal.wait()
    # Each look begins at the upper left corner.
    shown = re.sub(rb"\x1b\[[?0-9;]*[A-Za-z]", b"", terminal.seen.replace(b"\x1b[H", b"\n"))
    lines = shown.decode().replace("\r", "").replace("^C", "").split("\n")
    assert max(map(len, lines)) <= 80
    first = next(at for at, line in enumerate(lines) if line.startswith("FUNCTION"))
    rows = lines[first + 1 : first + 21]
    assert [int(row.split()[1]) for row in rows if "function" in row][:3] == [40, 39, 38], "the longest queue first"
    assert any(row.strip() == f"{40 - 19} more" for row in rows), rows


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": ""}])
def test_on_a_terminal_that_cannot_be_drawn_on_queues_watch_prints_line_by_line(
    address: str, variables: dict[str, str]
) -> None:
    with at_terminal("queues", "-s", address, "--watch", "50ms", **variables) as terminal:
        terminal.read(until=b"FUNCTION", times=3)
        terminal.type(b"\x03")
        assert terminal.wait() == exit_codes.INTERRUPTED
    assert b"\x1b" not in terminal.seen


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_locale_is_too_small_for_a_name(encoding: str) -> None:
    with job_server() as server:
        with Client(server.address) as client:
            client.submit_background_job("größe→日本", "x")
        for words in (["queues"], ["admin", "status"], ["submit", "-b", "größe→日本", "x"], ["queues", "--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "gearpool", *words, "-s", server.address],
                env=environment(PYTHONIOENCODING=encoding), capture_output=True, check=False, timeout=30,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, b"")


def test_queues_watch_goes_on_through_an_outage() -> None:
    with running_gearmand() as server:
        with at_terminal("queues", "-s", server.address, "--watch", "50ms") as terminal:
            terminal.read(until=b"FUNCTION")
            server.kill()
            terminal.read(until=b"refused")
            server.start()
            shown = terminal.seen.count(b"FUNCTION")
            terminal.read(until=b"FUNCTION", times=shown + 2)
            terminal.type(b"\x03")
            assert terminal.wait() == exit_codes.INTERRUPTED


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "echo", "x"],
        ["submit", "-b", "later", "x"],
        ["submit", "--lines", "echo"],
        ["job", "-u", "u0"],
        ["result", "-u", "u0"],
        ["queues"],
        ["bench", "echo", "-n", "10"],
        *(["admin", name] for name in ("status", "priority-status", "workers", "jobs", "unique-jobs", "version")),
        *(["admin", name] for name in ("pid", "verbose")),
        ["admin", "create", "fresh"],
        ["admin", "maxqueue", "later", "1", "2", "3"],
        ["admin", "drop", "dropped"],
        ["admin", "cancel", "H:none:1"],
    ],
    ids=" ".join,
)
def test_every_command_speaks_json(address: str, words: list[str]) -> None:
    gearpool("admin", "create", "dropped", "-s", address)
    done = gearpool(*words, "--json", "-s", address, data=b"a line\n", code=None)
    assert done.code in (exit_codes.OK, exit_codes.FAILED)
    assert [json.loads(line) for line in done.text.splitlines()], done


def test_a_job_is_waiting_then_unknown(address: str) -> None:
    handle = gearpool("submit", "-s", address, "-b", "nobody", "x").text.strip()
    assert gearpool("job", handle, "-s", address).text == f"{handle}  waiting\n"
    unknown = gearpool("job", f"{address}/H:none:99", code=1)
    assert unknown.text == f"{address}/H:none:99  unknown\n"
    assert "it has ended, or it never was there" in unknown.err
    known = json.loads(gearpool("job", "-s", address, "-u", "u0", "--json").text)
    assert (known["unique"], known["is_known"], known["is_running"]) == ("u0", True, False)


def test_waiting_for_a_job_ends_with_it_or_with_75(address: str) -> None:
    done = gearpool("submit", "-s", address, "-b", "echo", "x").text.strip()
    assert gearpool("job", "--wait", "--every", "50ms", done).text == f"{done}  unknown\n"
    gearpool("job", "--wait", "-t", "100ms", "-s", address, "-u", "u0", code=75)


@pytest.mark.parametrize("address_", ["a:b", "http://host", ""])
def test_what_is_no_server_is_wrong_usage(address_: str) -> None:
    gearpool("queues", "-s", address_, code=64)


@pytest.mark.parametrize("arguments", [[], ["H:1", "-u", "x"]])
def test_job_wants_a_handle_or_a_unique_id(arguments: list[str]) -> None:
    gearpool("job", *arguments, code=64)


@pytest.mark.parametrize(
    ("action", "row"),
    [
        ("status", ["later", "3", "0", "0"]),
        ("priority-status", ["later", "1", "0", "2", "0"]),
        ("unique-jobs", ["u0"]),
    ],
)
def test_admin_lists(address: str, action: str, row: list[str]) -> None:
    lines = [line.split() for line in gearpool("admin", action, "-s", address).text.splitlines()]
    assert lines[0][0] == "SERVER"
    assert [address, *row] in lines


@pytest.mark.parametrize("action", ["workers", "jobs", "version", "pid", "verbose"])
def test_admin_lists_as_json(address: str, action: str) -> None:
    answer = json.loads(gearpool("admin", action, "-s", address, "--json").text)
    assert answer["failures"] == {}
    assert all(row["server"] == address for row in answer[action])
    assert answer[action]


def test_admin_shows_workers_functions(address: str) -> None:
    answer = json.loads(gearpool("admin", "workers", "-s", address, "--json").text)
    assert ["echo"] in [row["functions"] for row in answer["workers"]]


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["admin", "drop", "later"], 1, "dropping it would lose them"),
        (["admin", "maxqueue", "f", "9999999999"], 64, "queue limit"),
        (["job", "H:none:1", "-s", "127.0.0.1:1"], 69, "no job server available"),
    ],
    ids=["refused", "usage", "no server"],
)
def test_an_error_is_json_too(address: str, words: list[str], code: int, error: str) -> None:
    where = [] if "-s" in words else ["-s", address]
    done = gearpool(*words, *where, "--json", code=code)
    assert list(json.loads(done.text)) == ["error"]
    assert error in json.loads(done.text)["error"]
    assert error in done.err


def test_admin_changes(address: str) -> None:
    at = ["-s", address]
    gearpool("admin", "create", "fresh", *at)
    assert "fresh" in gearpool("queues", *at).text
    gearpool("admin", "drop", "fresh", *at)
    assert "fresh" not in gearpool("queues", *at).text
    refused = gearpool("admin", "drop", "later", *at, code=1)
    assert "later has 3 jobs" in refused.err
    gearpool("admin", "maxqueue", "later", "3", *at)
    assert "QUEUE_ERROR" in gearpool("submit", *at, "-b", "later", "x", code=1).err
    gearpool("admin", "maxqueue", "later", *at)
    handle = gearpool("submit", *at, "-b", "later", "x").text.strip()
    assert gearpool("admin", "cancel", handle, *at).text == f"{handle}  cancelled\n"
    assert gearpool("admin", "cancel", "H:none:99", *at, code=1).text == "H:none:99  unknown\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["maxqueue"], ["maxqueue", "f", "1", "2"], ["cancel"]])
def test_admin_wrong_usage(arguments: list[str]) -> None:
    gearpool("admin", *arguments, code=64)


def test_bench_measures(address: str) -> None:
    figures = json.loads(gearpool("bench", "-s", address, "echo", "-n", "300", "-w", "20", "--json").text)
    assert (figures["jobs"], figures["failed"], figures["window"]) == (300, 0, 20)
    assert figures["jobs_per_s"] > 0
    assert 0 < figures["p50_s"] <= figures["p90_s"] <= figures["p99_s"] <= figures["max_s"]
    text = gearpool("bench", "-s", address, "echo", "-d", "100ms", "--size", "1KiB").text
    assert "jobs/s" in text
    assert "p99" in text


def test_bench_in_the_background_measures_submissions(address: str) -> None:
    figures = json.loads(gearpool("bench", "-s", address, "later", "-b", "-n", "50", "--json").text)
    assert figures["jobs"] == 50


def test_bench_wants_a_worker(address: str) -> None:
    assert "no worker serves later" in gearpool("bench", "-s", address, "later", code=1).err


@pytest.mark.parametrize("command", ["submit", "queues", "job", "result", "admin", "bench"])
def test_every_command_has_help_with_examples(command: str) -> None:
    assert "examples:" in gearpool(command, "--help").text


@pytest.mark.parametrize(
    "words", [["queues"], ["admin", "status"], ["job", "H:none:1"], ["submit", "-b", "later", "x"]]
)
def test_light_commands_load_nothing_heavy(address: str, words: list[str]) -> None:
    program = (
        "import sys; from gearpool.cli.main import main; main(sys.argv[1:]);"
        "print([name for name in ('gevent', 'pydantic', 'rich', 'yaml', 'ssl') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=unmeasured(GEARPOOL_SERVERS=address),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_servers_come_from_the_configuration_file_last(address: str, tmp_path: Path) -> None:
    file = tmp_path / "workers.yaml"
    file.write_text("servers: ['${WHERE}']\nfunctions:\n  reverse: {handler: nowhere.reverse, timeout: 30s}\n")
    assert "later" in gearpool("queues", "-c", str(file), env={"WHERE": address}).text
    other = {"WHERE": f"127.0.0.1:{free_port()}", "GEARMAN_SERVERS": address}
    assert "later" in gearpool("queues", "-c", str(file), env=other).text
    broken = tmp_path / "broken.yaml"
    broken.write_text("servers: [a:b]\n")
    assert "broken.yaml:1:" in gearpool("queues", "-c", str(broken), code=78).err
