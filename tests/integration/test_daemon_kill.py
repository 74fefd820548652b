"""``gearpool kill`` ends any running job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gearpool import Client, JobFailed
from tests.integration.daemons import Site
from tests.processes import running_server, wait_for

HANDLERS = '''
import gevent, re, time
from site_handlers import note

def compute(arg):
    note("began", arg)
    while True:
        pass

def compute_on(arg):
    """Swallows every exception except the kill."""
    note("began", arg)
    while True:
        try:
            while True:
                pass
        except Exception:
            raise
        except BaseException as error:
            note("swallowed", type(error).__name__.encode())

def hang(arg):
    note("began", arg)
    return str(sum(range(10**11)))

def wait(arg):
    note("began", arg)
    gevent.sleep(600)

def wait_in_a_thread(arg):
    note("began", arg)
    gevent.get_hub().threadpool.apply(time.sleep, (2,))

def retry(arg):
    note("began", arg)
    raise ValueError("again")

def nap(arg):
    gevent.sleep(float(arg))
    return arg
'''

NAMES = ["compute", "compute_on", "hang", "wait", "wait_in_a_thread", "retry"]


class Scene(NamedTuple):
    server: str
    site: Site


@pytest.fixture(scope="module", params=["gearmand", "gearpool server"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One worker process for all tests of this module, once on each kind of server."""
    with running_server(request.param) as server:
        site = serving(tmp_path_factory.mktemp("kill") / "site", server)
        yield Scene(server, site)
        site.close()


def serving(folder: Path, server: str) -> Site:
    options = "timeout_grace: 500ms, on_error: retry, retry: {delay: 10m, max_delay: 10m}"
    functions = "".join(f"  {name}: {{handler: killable.{name}, {options}}}\n" for name in NAMES)
    made = Site(
        folder,
        f"servers: {server}\nlog: {{format: json}}\nprocesses: 1\nfunctions:\n  nap: killable.nap\n{functions}",
    )
    (made.folder / "killable.py").write_text(HANDLERS)
    return made.start().until_serving()


def by_handle(server: str, handle: str) -> str:
    return handle


def by_server_and_handle(server: str, handle: str) -> str:
    return f"{server}/{handle}"


def by_another_name_of_the_server(server: str, handle: str) -> str:
    return f"localhost:{server.rpartition(':')[2]}/{handle}"


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("compute", by_handle),
        ("compute", by_server_and_handle),
        ("compute", by_another_name_of_the_server),
        ("wait", by_server_and_handle),
        ("wait_in_a_thread", by_handle),
        ("retry", by_server_and_handle),
    ],
)
def test_a_killed_job_ends_immediately_and_its_process_keeps_running(
    scene: Scene, name: str, named: Callable[[str, str], str]
) -> None:
    server, site = scene
    before, mine = site.until_workers(1), f"{name} {named.__name__}"
    with Client(server) as client:
        nap = client.submit("nap", b"0.5")
        job = client.submit(name, mine)
        wait_for(lambda: mine in site.lines("began"), "the job to run")
        if name == "retry":
            wait_for(lambda: site.ask("status")["functions"]["retry"]["waiting_retry"], "it to wait")
        handle = str(wait_for(lambda: job.handle, "its handle"))
        answer = site.gearpool("kill", named(server, handle), "-c", str(site.path))
        assert (answer.returncode, answer.stderr) == (0, "")
        with pytest.raises(JobFailed):
            job.result(30)
        assert nap.result(30) == b"0.5"
    assert site.workers() == before
    assert site.lines("began").count(mine) == 1
    again = site.gearpool("kill", handle, "-c", str(site.path))
    assert again.returncode == 1
    assert "no worker runs job" in again.stderr
    assert "gearpool admin cancel" in again.stderr


@pytest.mark.parametrize("name", ["hang", "compute_on"])
def test_a_killed_job_that_cannot_be_interrupted_dies_with_its_process_and_is_not_rerun(
    scene: Scene, name: str
) -> None:
    server, site = scene
    (before,) = site.until_workers(1)
    with Client(server) as client:
        nap = client.submit("nap", b"0.01")
        job = client.submit(name, name, unique=f"recurring-{name}")
        wait_for(lambda: name in site.lines("began"), "the job to run")
        handle = str(wait_for(lambda: job.handle, "its handle"))
        answer = site.gearpool("kill", handle, "-c", str(site.path))
        assert (answer.returncode, answer.stderr) == (0, "")
        with pytest.raises(JobFailed):
            job.result(30)
        assert nap.result(30) == b"0.01"
    assert site.lines("began").count(name) == 1
    assert before not in site.workers()
    assert not site.events("job.blamed")
    with Client(server) as client:
        # The next job with that unique ID is a different job, and is run.
        site.until_workers(1, without=before)
        next_one = client.submit(name, name, unique=f"recurring-{name}")
        wait_for(lambda: site.lines("began").count(name) == 2, "the next one to run")
        site.gearpool("kill", str(wait_for(lambda: next_one.handle, "its handle")), "-c", str(site.path))
        with pytest.raises(JobFailed):
            next_one.result(30)
    if name == "compute_on":
        assert "Killed" in site.lines("swallowed")
