"""Every option of Debian's `gearman` and `gearadmin` beside its counterpart, as deploy/MIGRATING-CLIENTS.md has them.

Each row is run: theirs and ours against one server, with the same outcome. A last test holds the table complete.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from gearpool.client import Client
from gearpool.settings import TlsSettings
from gearpool.testing.servers import ThreadedJobServer, job_server
from tests.cli.commands import environment, gearpool
from tests.client.workers import Assigned, FailError, ThreadWorker
from tests.peers.programs import ROOT
from tests.processes import need, wait_for


def fail(job: Assigned) -> bytes:
    raise FailError


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedJobServer]:
    """Our server with a worker."""
    with job_server() as ours:
        functions = {"reverse": lambda job: job.data[::-1], "echo": lambda job: job.data, "fail": fail}
        worker = ThreadWorker(ours.address, functions)
        yield ours
        worker.stop()


class Tools:
    """Runs Debian's commands and ours on one server."""

    def __init__(self, server: ThreadedJobServer) -> None:
        self.address = server.address
        self._port = str(server.port)
        self.client = Client(server.address)

    def gearman(self, *options: str, data: bytes = b"", program: str = "gearman") -> tuple[int, bytes]:
        argv = [need(program), "-h", "127.0.0.1", "-p", self._port, *options]
        done = subprocess.run(argv, input=data, capture_output=True, timeout=30, check=False)
        return done.returncode, done.stdout

    def gearadmin(self, *options: str) -> list[list[str]]:
        code, out = self.gearman(*options, program="gearadmin")
        assert code == 0
        return [line.split() for line in out.decode().splitlines() if line != "."]

    def submit(self, *options: str, data: bytes | None = None) -> tuple[int, bytes]:
        done = gearpool("submit", "-s", self.address, *options, data=data, code=None)
        return done.code, done.out

    def admin(self, *options: str) -> list[list[str]]:
        """Without the heading, and without the server in the first column."""
        lines = gearpool("admin", *options, "-s", self.address).text.splitlines()
        return [line.split()[1:] for line in lines if not line.startswith("SERVER")]

    @contextlib.contextmanager
    def working(self, *options: str, functions: set[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Debian's gearman as a worker."""
        argv = [need("gearman"), "-h", "127.0.0.1", "-p", self._port, "-w", *options]
        with self._process(argv, functions) as process:
            yield process

    @contextlib.contextmanager
    def library(self, program: str, functions: set[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A program with gearpool's Worker; ``ADDRESS`` stands for the server."""
        code = textwrap.dedent(program).replace("ADDRESS", repr(self.address))
        with self._process([sys.executable, "-c", code], functions) as process:
            yield process

    @contextlib.contextmanager
    def _process(self, argv: list[str], functions: set[str]) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(argv, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: functions <= self.served(), f"{functions} to be served")
            yield process
        finally:
            process.kill()
            process.wait(10)

    def served(self) -> set[str]:
        rows = self.client.admin.status()[self.address]
        return {row.function for row in rows if row.workers}

    def waiting(self, function: str) -> tuple[int, int, int]:
        rows = self.client.admin.priority_status()[self.address]
        return next(((row.high, row.normal, row.low) for row in rows if row.function == function), (0, 0, 0))


@pytest.fixture
def tools(server: ThreadedJobServer) -> Iterator[Tools]:
    made = Tools(server)
    yield made
    made.client.close()


GEARMAN: dict[str, Callable[[Tools], None]] = {}
GEARADMIN: dict[str, Callable[[Tools], None]] = {}
Row = Callable[[Tools], None]


def gearman_help() -> str:
    """Return the help of ``gearman``, which it prints to standard error."""
    return subprocess.run([need("gearman"), "-H"], capture_output=True, text=True, check=False).stderr


def gearadmin_help() -> str:
    return subprocess.run([need("gearadmin"), "--help"], capture_output=True, text=True, check=False).stdout


def row(table: dict[str, Row], *options: str) -> Callable[[Row], Row]:
    """Register a check in the table under the options it covers."""

    def enter(check: Row) -> Row:
        for option in options:
            table[option] = check
        return check

    return enter


@row(GEARMAN, "-f")
def function(tools: Tools) -> None:
    assert tools.gearman("-f", "reverse", "ab") == tools.submit("reverse", "ab") == (0, b"ba")
    # Debian's gearman runs both concurrently, in either order.
    assert tools.gearman("-f", "reverse", "-f", "echo", "ab")[1] in (b"baab", b"abba")
    assert tools.submit("reverse", "-f", "echo", "ab")[1] == b"baab"
    assert tools.gearman("-f", "fail", "x")[0] == tools.submit("fail", "x")[0] == 1


@row(GEARMAN, "-h", "-p")
def host_and_port(tools: Tools) -> None:
    assert tools.gearman("-f", "echo", "x") == tools.submit("echo", "x") == (0, b"x")


@row(GEARMAN, "-H")
def show_help(tools: Tools) -> None:
    assert "Job server host" in gearman_help()
    assert "job servers:" in gearpool("submit", "--help").text


@row(GEARMAN, "-v")
def verbose(tools: Tools) -> None:
    assert b"H:" in tools.gearman("-v", "-b", "-f", "verbose", "x")[1]
    assert "H:" in gearpool("submit", "-s", tools.address, "-v", "echo", "x").err


@row(GEARMAN, "-t")
def timeout(tools: Tools) -> None:
    assert tools.gearman("-t", "200", "-f", "nobody", "x") == (0, b"")  # it says nothing, not even by its exit code
    assert tools.submit("-t", "2s", "nobody", "x")[0] == 75


@row(GEARMAN, "-i")
def pid_file(tools: Tools) -> None:
    script = f'echo $$ >&2; exec "{sys.executable}" -m gearpool submit -s {tools.address} echo "$(echo $$)"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, env=environment(), timeout=30, check=True)
    assert done.stderr.strip() == done.stdout.strip()


@contextlib.contextmanager
def over_tls() -> Iterator[str]:
    """The address of a server of ours with a worker, behind TLS. Debian builds gearman and gearadmin without."""
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        ca, certificate = Path(folder, "ca.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(ca)
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        with job_server(tls=TlsSettings(cert=str(certificate))) as server:
            address = f"gear+tls://localhost:{server.port}?ca={ca}"
            worker = ThreadWorker(address, {"echo": lambda job: job.data})
            yield address
            worker.stop()


@row(GEARMAN, "-S")
def tls(tools: Tools) -> None:
    with over_tls() as address:
        assert gearpool("submit", "-s", address, "echo", "secret").out == b"secret"


@row(GEARMAN, "-b")
def background(tools: Tools) -> None:
    before = sum(tools.waiting("later"))
    tools.gearman("-b", "-f", "later", "x")
    tools.submit("-b", "later", "x")
    assert sum(tools.waiting("later")) == before + 2


@row(GEARMAN, "-I")
def high(tools: Tools) -> None:
    tools.gearman("-b", "-I", "-f", "urgent", "x")
    tools.submit("-b", "-p", "high", "urgent", "x")
    assert tools.waiting("urgent") == (2, 0, 0)


@row(GEARMAN, "-L")
def low(tools: Tools) -> None:
    tools.gearman("-b", "-L", "-f", "leisurely", "x")
    tools.submit("-b", "-p", "low", "leisurely", "x")
    assert tools.waiting("leisurely") == (0, 0, 2)


@row(GEARMAN, "-n")
def job_a_line(tools: Tools) -> None:
    lines = b"ab\ncd\n"
    theirs = tools.gearman("-n", "-f", "echo", data=lines)
    assert theirs == tools.submit("--lines", "--keep-ends", "echo", data=lines) == (0, lines)


@row(GEARMAN, "-N")
def job_a_line_stripped(tools: Tools) -> None:
    assert tools.gearman("-N", "-f", "reverse", data=b"ab\ncd\n")[1].split() == [b"badc"]
    assert tools.submit("--lines", "reverse", data=b"ab\ncd\n") == (0, b"ba\ndc\n")


@row(GEARMAN, "-P")
def prefix(tools: Tools) -> None:
    assert tools.gearman("-P", "-f", "echo", "x")[1].strip() == b"echo: x"
    assert tools.submit("-P", "echo", "x")[1] == b"echo: x"


@row(GEARMAN, "-s")
def no_input(tools: Tools) -> None:
    assert tools.gearman("-s", "-f", "echo") == tools.submit("echo", "") == (0, b"")


@row(GEARMAN, "-u")
def unique(tools: Tools) -> None:
    tools.gearman("-b", "-u", "one", "-f", "once", "x")
    tools.submit("-b", "-u", "one", "once", "x")
    assert sum(tools.waiting("once")) == 1


@row(GEARMAN, "-w")
def worker(tools: Tools) -> None:
    with tools.working("-f", "count-theirs", "--", "wc", "-c", functions={"count-theirs"}):
        assert tools.submit("count-theirs", "abc")[1].strip() == b"3"
    program = """
        import subprocess
        from gearpool import Worker
        with Worker(ADDRESS) as worker:
            worker.add_ability("count-ours", lambda arg: subprocess.run(
                ["wc", "-c"], input=arg, stdout=subprocess.PIPE, check=True).stdout)
            worker.run()
    """
    with tools.library(program, {"count-ours"}):
        assert tools.submit("count-ours", "abc")[1].strip() == b"3"


@row(GEARMAN, "-c")
def count(tools: Tools) -> None:
    with tools.working("-c", "1", "-f", "once-theirs", "--", "cat", functions={"once-theirs"}) as process:
        assert tools.submit("once-theirs", "x") == (0, b"x")
        assert process.wait(20) == 0
    program = """
        from gearpool import Worker
        with Worker(ADDRESS) as worker:
            worker.add_ability("once-ours", lambda arg: arg)
            worker.work()
    """
    with tools.library(program, {"once-ours"}) as process:
        assert tools.submit("once-ours", "x") == (0, b"x")
        assert process.wait(20) == 0


@row(GEARMAN, "worker -n", "worker -N")
def worker_lines(tools: Tools) -> None:
    with tools.working("-n", "-f", "lines-theirs", "--", "cat", functions={"lines-theirs"}):
        # With -n it sends lines as data and then some of them again in the result: both clients show just that.
        theirs = tools.gearman("-f", "lines-theirs", data=b"a\nb\n")
        assert tools.submit("lines-theirs", data=b"a\nb\n") == theirs
    program = """
        from gearpool import Worker
        def lines(arg):
            yield from arg.splitlines(keepends=True)
        with Worker(ADDRESS) as worker:
            worker.add_ability("lines-ours", lines)
            worker.run()
    """
    with tools.library(program, {"lines-ours"}):
        assert tools.submit("lines-ours", data=b"a\nb\n") == (0, b"a\nb\n")


@row(GEARADMIN, "--host", "--port", "--status")
def status(tools: Tools) -> None:
    assert sorted(tools.gearadmin("--status")) == sorted(tools.admin("status"))


@row(GEARADMIN, "--ssl")
def admin_tls(tools: Tools) -> None:
    with over_tls() as address:
        assert "echo" in gearpool("admin", "status", "-s", address).text


@row(GEARADMIN, "--help")
def admin_help(tools: Tools) -> None:
    assert "--show-jobs" in gearadmin_help()
    assert "unique-jobs" in gearpool("admin", "--help").text


@row(GEARADMIN, "--priority-status")
def priority_status(tools: Tools) -> None:
    assert sorted(tools.gearadmin("--priority-status")) == sorted(tools.admin("priority-status"))


@row(GEARADMIN, "--workers")
def workers(tools: Tools) -> None:
    assert any(line[-3:] == ["reverse", "echo", "fail"] for line in tools.gearadmin("--workers"))
    assert any(line[-3:] == ["reverse", "echo", "fail"] for line in tools.admin("workers"))


@row(GEARADMIN, "--show-jobs")
def show_jobs(tools: Tools) -> None:
    job = tools.client.submit_background_job("shown", "x")
    assert job.handle in [line[0] for line in tools.gearadmin("--show-jobs")]
    assert job.handle in [line[0] for line in tools.admin("jobs")]


@row(GEARADMIN, "--show-unique-jobs")
def show_unique_jobs(tools: Tools) -> None:
    tools.client.submit_background_job("shown", "x", unique="shown-17")
    assert ["shown-17"] in tools.gearadmin("--show-unique-jobs")
    assert ["shown-17"] in tools.admin("unique-jobs")


@row(GEARADMIN, "--cancel-job")
def cancel_job(tools: Tools) -> None:
    first, second = (tools.client.submit_background_job("unwanted", "x") for _ in range(2))
    assert tools.gearadmin("--cancel-job", first.handle) == [["OK"]]
    assert tools.admin("cancel", second.handle) == [["cancelled"]]


@row(GEARADMIN, "--create-function")
def create_function(tools: Tools) -> None:
    tools.gearadmin("--create-function", "made-theirs")
    tools.admin("create", "made-ours")
    assert {"made-theirs", "made-ours"} <= {line[0] for line in tools.admin("status")}


@row(GEARADMIN, "--drop-function")
def drop_function(tools: Tools) -> None:
    for name in ("drop-theirs", "drop-ours"):
        tools.client.admin.create(name)
    tools.gearadmin("--drop-function", "drop-theirs")
    tools.admin("drop", "drop-ours")
    assert not {"drop-theirs", "drop-ours"} & {line[0] for line in tools.admin("status")}


@row(GEARADMIN, "--getpid")
def getpid(tools: Tools) -> None:
    assert tools.gearadmin("--getpid")[0][-1:] == tools.admin("pid")[0][-1:]


@row(GEARADMIN, "--server-version")
def server_version(tools: Tools) -> None:
    assert tools.gearadmin("--server-version")[0][-1:] == tools.admin("version")[0][-1:]


@row(GEARADMIN, "--server-verbose")
def server_verbose(tools: Tools) -> None:
    assert tools.gearadmin("--server-verbose")[0][-1:] == tools.admin("verbose")[0][-1:]


@pytest.mark.parametrize("option", list(GEARMAN))
def test_each_option_of_gearman_has_a_tested_counterpart(tools: Tools, option: str) -> None:
    GEARMAN[option](tools)


@pytest.mark.parametrize("option", list(GEARADMIN))
def test_each_option_of_gearadmin_has_a_tested_counterpart(tools: Tools, option: str) -> None:
    GEARADMIN[option](tools)


def test_no_option_is_omitted() -> None:
    page = (Path(ROOT) / "deploy" / "MIGRATING-CLIENTS.md").read_text()
    theirs = set(re.findall(r"^\t(-\w)\b", gearman_help(), re.MULTILINE))
    long = set(re.findall(r"(--[a-z-]+)", gearadmin_help()))
    assert theirs == {option for option in GEARMAN if not option.startswith("worker")}
    assert long == set(GEARADMIN)
    for option in theirs | (long - {"--help", "--host", "--port", "--ssl"}):
        assert re.search(rf"^\|.*`[^`]*(?<![\w-]){option}\b[^`]*`.*\|", page, re.MULTILINE), option
