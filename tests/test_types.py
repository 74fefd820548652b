"""What type checkers say to programs that use gearpool as it is installed: the wheel, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gearpool
import gearpool.testing
from tests.processes import missing

ROOT = Path(__file__).parents[1]
PYRIGHT = ROOT / ".peers" / "node_modules" / ".bin" / "pyright"

# Each line that ends with "# wrong" is to be reported, and no other.
PROGRAM = """
import asyncio
import concurrent.futures
from collections.abc import Iterator
from datetime import timedelta

import gearpool
from gearpool import AsyncClient, Client, Data, Job, JobFuture, JobHandle, Progress, Worker
from gearpool.testing import job_server, run_job, working


def threads() -> None:
    with Client("localhost:4730") as client:
        result: bytes = client.submit_job("f", "text", priority="high", timeout=timedelta(seconds=5), unique="u", retry=1)
        future: JobFuture[bytes] = client.submit("f", b"x", on_event=print)
        both: list[bytes] = client.gather(future, client.submit("f"))
        handle: JobHandle = client.submit_background_job("f", delay=5)
        known: bool = client.get_job_status(handle).is_known
        mapped: Iterator[bytes] = client.map("f", ["a", "b"], window=10)
        concurrent.futures.wait([future])
        for event in future.events():
            if isinstance(event, Data):
                result += event.data
            elif isinstance(event, Progress):
                print(event.share)
        try:
            print(both, known, list(mapped))
        except gearpool.JobFailed as error:
            print(error.handle, error.handel)  # wrong
        client.submit("f", prioritty="high")  # wrong
        client.submit("f", priority="hihg")  # wrong
        client.submit("f", payload="jsn")  # wrong
        client.submit_job("f", timeout="5s")  # wrong
        client.submit_job("f", b"x").encode()  # wrong
        client.submit_background_job("f", delay="5")  # wrong
        client.submit_background_jobs("f", 5)  # wrong
        client.map("f", ["a"], windw=5)  # wrong
        client.submit("f", {"a": 1})  # wrong
        client.submit_job("f", 5)  # wrong
        client.submit_background_job("f", ["a"])  # wrong
        client.submit_background_jobs("f", [{"a": 1}])  # wrong
        client.submit_many("f", [1, 2])  # wrong
        client.map("f", [1, 2])  # wrong
        client.submit_background_job("f", ["a"], payload="json")
        print(list(client.map("f", [1, 2], payload="json")), client.submit("f", {"a": 1}, payload="json").result())
        client.gather([future])  # wrong
        client.get_job_status(5)  # wrong
        client.admin.cancle(handle)  # wrong
    Client("localhost:4730", job_timout=5)  # wrong
    Client("localhost:4730", payload="xml")  # wrong
    Client(4730)  # wrong
    text: str = Client(payload="text").submit_job("f", "x")
    data: bytes = Client(payload="text").submit_job("f", "x")  # wrong
    anything: dict[str, int] = Client(payload="json").submit_job("f", {"a": 1})
    print(text, data, anything, list(Client(payload="json").submit_background_jobs("f", [1, {"a": [None]}])))


async def tasks() -> None:
    async with AsyncClient("localhost:4730", payload="json") as client:
        job = await client.submit("f", [1, 2], priority="low")
        print(await job, await asyncio.wait_for(job, 5), await job.job())
        async for result in client.map("f", [{"a": 1}], return_exceptions=True):
            print(result)
        async for handle in client.submit_background_jobs("f", range(5)):
            print(handle.server)
        await client.submit_job("f", uniqe="u")  # wrong
        await client.submit("f", priority=1)  # wrong
        for result in client.map("f", [1]):  # wrong
            print(result)
        print(job.result(5))  # wrong
    async with AsyncClient("localhost:4730") as plain:
        await plain.submit_background_job("f", {"a": 1})  # wrong
        plain.submit_many("f", [1])  # wrong
        plain.map("f", range(5))  # wrong
        reversed_text: bytes = await plain.submit_job("f", "text")
        print(reversed_text, await plain.submit_background_job("f", {"a": 1}, payload="json"))
    AsyncClient("localhost:4730", conect_timeout=5)  # wrong


def handler(arg: bytes, job: Job) -> bytes:
    job.progress(1, 2)
    job.data("part")
    if job.attempt > 3:
        raise gearpool.Abort("too often")
    job.progress("1", 2)  # wrong
    job.data(5)  # wrong
    job.hadle  # wrong
    raise gearpool.Retry("5s")  # wrong


def serving() -> None:
    with Worker("localhost:4730", concurrency=10) as worker:
        worker.add_ability("f", handler, timeout=30, on_error={ValueError: "skip", "default": "retry"}, payload="json")
        worker.add_ability("f", handler, timout=30)  # wrong
        worker.add_ability("f", handler, on_error="abrt")  # wrong
        worker.add_ability("f", "shop.handler")  # wrong
        worker.work()


def test_handler() -> None:
    done = run_job(handler, b"x", timeout=5, on_error="skip")
    assert (done.outcome, done.result) == ("complete", b"x")
    run_job(handler, b"x", on_eror="skip")  # wrong
    with job_server() as server, working(server, f=handler):
        print(server.address, server.adress)  # wrong
"""
WRONG = [number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``program.py`` and an environment ``env`` that has the wheel, without what it depends on."""
    folder = tmp_path_factory.mktemp("project")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    (folder / "program.py").write_text(PROGRAM)
    return folder


def pyright(*arguments: str, folder: Path, python: Path) -> dict[str, Any]:
    """Its report, with ``python`` as the interpreter of the environment that it looks into."""
    if not PYRIGHT.exists():
        missing("pyright")
    done = subprocess.run(
        [PYRIGHT, "--outputjson", *arguments],
        env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
        cwd=folder, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def by_pyright(folder: Path) -> list[tuple[int, str]]:
    """Line and message of each thing that pyright reports in the program."""
    report = pyright("program.py", folder=folder, python=folder / "env" / "bin" / "python")
    return [(found["range"]["start"]["line"] + 1, found["message"]) for found in report["generalDiagnostics"]]


def by_mypy(folder: Path) -> list[tuple[int, str]]:
    """Line and message of each thing that mypy reports in the program."""
    python = folder / "env" / "bin" / "python"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--no-error-summary", "program.py"],
        cwd=folder, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    lines = [re.fullmatch(r"program\.py:(\d+): (?:error|note): (.*)", line) for line in done.stdout.splitlines()]
    assert all(lines), done.stdout
    return [(int(line[1]), line[2]) for line in lines if line]


@pytest.mark.parametrize("check", [by_mypy, by_pyright])
def test_a_checker_reports_what_is_wrong_in_a_program_and_nothing_else(
    check: Callable[[Path], list[tuple[int, str]]], project: Path
) -> None:
    found = check(project)
    assert sorted({line for line, _ in found}) == WRONG, found


def test_pyright_finds_nothing_in_the_applications() -> None:
    """mypy checks them with everything else."""
    report = pyright("tests/applications", folder=ROOT, python=Path(sys.executable))
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] > 10


def test_every_public_name_has_a_type_that_all_checkers_agree_on(project: Path) -> None:
    """Public is what `gearpool` and `gearpool.testing` export, with its members and the types in their signatures."""
    report = pyright(
        "--verifytypes", "gearpool", "--ignoreexternal", folder=project, python=project / "env" / "bin" / "python"
    )
    symbols = report["typeCompleteness"]["symbols"]
    wanted = {f"{package.__name__}.{name}" for package in (gearpool, gearpool.testing) for name in package.__all__}
    wanted.remove("gearpool.__version__")  # of names with two underscores it says nothing
    # Each is known by where it is made, too, and its members by that name.
    homes = {one["name"]: wanted & {one["name"], *one.get("alternateNames", [])} for one in symbols}
    assert set().union(*homes.values()) == wanted
    public = tuple(f"{home}." for home, names in homes.items() if names)
    incomplete = {
        one["name"]: [found["message"] for found in one["diagnostics"]]
        for one in symbols
        if f"{one['name']}.".startswith(public) and (one["isTypeAmbiguous"] or not one["isTypeKnown"])
    }
    assert incomplete == {}
