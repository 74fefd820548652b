"""Django: views under gunicorn and uvicorn, and a management command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gearpool import Client
from gearpool.testing import job_server, working
from tests.applications.serving import ROOT, reverses, serving

GUNICORN = ["gunicorn", "tests.applications.site.wsgi:application", "--bind", "fd://{fd}", "-w", "2", "--preload"]
UVICORN = ["uvicorn", "tests.applications.site.asgi:application", "--fd", "{fd}", "--lifespan", "off"]


@pytest.mark.parametrize("argv", [GUNICORN, UVICORN], ids=["gunicorn", "uvicorn"])
def test_views_wait_for_job_results(argv: list[str]) -> None:
    with (
        job_server() as server,
        working(server, reverse=lambda arg: arg[::-1]),
        serving(*argv, server=server.address) as site,
    ):
        texts = [f"text {number}" for number in range(20)]
        assert site.ask_all([reverses(text) for text in texts]) == [(200, {"result": text[::-1]}) for text in texts]
        assert site.ask("/never")[0] == 504
        if argv is UVICORN:
            paths = [reverses(text).replace("/reverse/", "/async/") for text in texts]
            assert site.ask_all(paths) == [(200, {"result": text[::-1]}) for text in texts]


def test_a_management_command_submits_background_jobs() -> None:
    with job_server() as server:
        done = subprocess.run(
            [sys.executable, "-m", "django", "enqueue", "25"],
            env={
                **os.environ,
                "GEARMAN_SERVERS": server.address,
                "DJANGO_SETTINGS_MODULE": "tests.applications.site.settings",
                "PYTHONPATH": str(ROOT),
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        jobs = done.stdout.split()
        assert len(jobs) == 25
        with Client(server.address) as client:
            assert all(client.get_job_status(job).is_known for job in jobs)
