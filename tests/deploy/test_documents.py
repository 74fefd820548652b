"""Commands of the documents, run as written in a temporary folder. Those that need root are in `test_booted_unit`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool import Client
from gearpool.testing import job_server, working
from tests.cli.commands import environment
from tests.deploy.documents import checking, count_of_values
from tests.processes import wait_for

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONFIG = (ROOT / "config" / "README.md").read_text()


def blocks(text: str, kind: str) -> list[str]:
    """Return the code blocks of this language in a document."""
    found: list[str] = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


def shell(line: str, folder: Path, **variables: str) -> str:
    """Run a line of a document with our ``gearpool``; it must succeed. Return its output."""
    bin_folder = folder / ".bin"
    bin_folder.mkdir(exist_ok=True)
    command = bin_folder / "gearpool"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gearpool "$@"\n')
    command.chmod(0o755)
    given = environment(**variables)
    path = f"{bin_folder}:{Path(sys.executable).parent}:{given['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", line], cwd=folder, env={**given, "PATH": path}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """The folder that README's section about custom handlers describes, and a job server."""
    with job_server() as server:
        for code in (*blocks(README, "python"), *blocks(README, "yaml")):
            name = re.match(r"# (\S+\.(?:py|yaml))", code)
            if name is not None:
                (tmp_path / name[1]).parent.mkdir(exist_ok=True)
                (tmp_path / name[1]).write_text(code.replace("127.0.0.1:4730", server.address))
        yield tmp_path


def commands(text: str, *words: str) -> list[str]:
    """Return the lines of the document's shell blocks that begin with these words."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [line for line in lines if line.split()[: len(words)] == list(words)]


def test_the_quick_start_works_as_written(tmp_path: Path) -> None:
    """``make run``'s own command, on a free port, and the lines of the second terminal."""
    (lines,) = [block.splitlines() for block in blocks(README, "sh") if "submit reverse hello" in block]
    with job_server() as server:
        configuration = (ROOT / "config" / "workers.yaml").read_text()
        settings = re.sub(r"(?m)^servers:.*$", f"servers: {server.address}", configuration)
        (tmp_path / "workers.yaml").write_text(settings)
        running = subprocess.Popen(
            [sys.executable, "-m", "gearpool", "-c", str(tmp_path / "workers.yaml")], cwd=tmp_path,
            env=environment(RUNTIME_DIRECTORY=str(tmp_path)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with Client(server.address) as client:
                wait_for(
                    lambda: [
                        row
                        for row in client.admin.status()[server.address]
                        if row.function == "reverse" and row.workers
                    ],
                    "a worker for reverse",
                )
            said = [shell(line.replace(".venv/bin/", ""), tmp_path, GEARPOOL_SERVERS=server.address) for line in lines]
        finally:
            running.terminate()
            running.wait(30)
    assert said[0].strip() == lines[0].partition("#")[2].strip() == "olleh"
    assert "reverse" in said[1]
    assert "submit" in said[2]


def test_a_custom_handler_is_checked_and_run_as_readme_says(project: Path) -> None:
    (line,) = commands(README, "gearpool", "check")
    shell(line, project)
    (line,) = commands(README, "gearpool", "run")
    assert shell(line, project) == "cba"
    assert "cba" in line.partition("#")[2]


def program(*words: str, server: str) -> str:
    """Return the only Python block of README that contains these words, with this server's address."""
    (block,) = [block for block in blocks(README, "python") if all(word in block for word in words)]
    return block.replace("localhost:4730", server)


def total(order: dict[str, list[float]]) -> float:
    return sum(order["prices"])


def test_the_client_examples_of_readme_return_what_their_comments_say() -> None:
    with job_server() as server, working(server, reverse=lambda arg: arg[::-1]) as worker:
        worker.add("total", total, payload="json")  # nobody serves "sleep": its job still waits when it is asked about
        for words in (["with Client(", "submit_background_job"], ["with Client(", 'payload="json"']):
            block = program(*words, server=server.address)
            argv = [sys.executable, "-W", "error", "-c", checking(block)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
            assert (done.stderr, int(done.stdout or 0)) == ("", count_of_values(block))
            assert count_of_values(block) > 0


def test_the_worker_of_readme_does_one_job() -> None:
    with job_server() as server, Client(server.address) as client:
        argv = [sys.executable, "-W", "error", "-c", program("with Worker(", server=server.address)]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert client.submit_job("reverse", "hello", timeout=60) == b"olleh"
                assert process.communicate(timeout=60)[1] == ""
            finally:
                process.kill()
        assert process.returncode == 0


def test_readme_links_every_document_and_nothing_else() -> None:
    linked = set(re.findall(r"\]\((?!http)([^)#]+)\)", README)) | set(re.findall(r"`([\w./-]+(?:\.md|/))`", README))
    assert {"deploy/MIGRATING-CLIENTS.md", "config/", "deploy/", "CONTRIBUTING.md"} <= linked
    for name in linked - {"shop/images.py"}:
        assert (ROOT / name).exists(), name


def test_the_completion_of_readme_is_a_script(project: Path) -> None:
    assert "source <(gearpool completion bash)" in README
    shell("source <(gearpool completion bash)", project)


def test_the_schema_mentioned_in_the_config_readme_is_printed(project: Path) -> None:
    for line in re.findall(r"`(gearpool schema[^`]*)`", CONFIG):
        assert '"$schema"' in shell(line, project)


@pytest.mark.parametrize("words", ["gearpool check -c workers.yaml", "--strict --offline --format github", "--show"])
def test_the_checks_in_the_config_readme_run(project: Path, words: str) -> None:
    assert words in CONFIG
    shell(words if words.startswith("gearpool") else f"gearpool check -c workers.yaml --offline {words}", project)


def test_every_gearpool_command_in_a_document_is_one(project: Path) -> None:
    """Every ``gearpool`` command in the code of a document exists and has the options used."""
    from gearpool.cli.main import COMMANDS, build

    documents = [path for path in ROOT.glob("**/*.md") if not {".venv", ".peers", "node_modules"} & set(path.parts)]
    seen = 0
    for path in documents:
        for line in re.findall(r"`+([^`\n]*gearpool [^`\n]*)`*", path.read_text()):
            for name, rest in re.findall(
                r"(?:^|[\s/])gearpool ([a-z][a-z-]*)((?: [^|;&<>#…()]*)?)", line.partition("#")[0]
            ):
                if name not in COMMANDS:
                    continue
                seen += 1
                known = set(build(name)[0]._option_string_actions)
                for option in re.findall(r"(?<!\S)(--[a-z][a-z-]*)", rest):
                    assert option in known or name == "admin", (path.name, name, option)
    assert seen > 40


def test_asyncio_in_two_concurrent_jobs_works_as_the_config_readme_says(tmp_path: Path) -> None:
    (code,) = [block for block in blocks(CONFIG, "python") if "asyncio.run" in block]
    (tmp_path / "site_handlers.py").write_text(code)
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent, asyncio, site_handlers\n"
        "jobs = [gevent.spawn(site_handlers.handler, number) for number in range(2)]\n"
        "gevent.joinall(jobs, raise_error=True)\n"
        "print([job.value for job in jobs])\n"
        "async def plain(): await asyncio.sleep(0.05)\n"
        "jobs = [gevent.spawn(asyncio.run, plain()) for number in range(2)]\n"
        "gevent.joinall(jobs)\n"
        "print([type(job.exception).__name__ for job in jobs])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["[0, 1]", "['NoneType', 'RuntimeError']"], "as the document says"
