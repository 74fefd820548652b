"""The daemon's log is not affected by what the handlers' application does to logging."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gearpool import Client
from gearpool.errors import JobFailed
from tests.integration.conftest import Sites
from tests.integration.daemons import Site, configuration
from tests.processes import Gearmand, wait_for

RECONFIGURES_LOGGING = """
import logging.config, threading, signal, gevent

logging.config.dictConfig({
    "version": 1,
    "formatters": {"f": {"format": "THEIRS %(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"level": "WARNING", "handlers": ["h"]},
})
logging.disable(logging.CRITICAL)

def bad(*_):
    raise ValueError("y" * 5_000_000)

def leave_behind(arg, job):
    job.log.info("leaving a greenlet and a thread behind")
    gevent.spawn(bad).join()
    thread = threading.Thread(target=bad)
    thread.start()
    thread.join()
    raise ValueError("y" * 5_000_000)
"""


def lines(site: Site) -> list[dict[str, Any]]:
    return [json.loads(line) for line in site.stderr().splitlines()]


def test_every_log_line_is_one_event_although_the_application_reconfigured_logging(
    sites: Sites, gearmand: Gearmand
) -> None:
    functions = "  behind: {handler: site_handlers.leave_behind, timeout: 60s}\n"
    site = sites(configuration(gearmand.address, functions=functions))
    site.handlers.write_text(site.handlers.read_text() + RECONFIGURES_LOGGING)
    site.start().until_serving()
    with Client(gearmand.address) as client, pytest.raises(JobFailed):
        client.submit_job("behind", "", unique="u1", timeout=60)
    wait_for(lambda: site.events("job.failed"), "the job's event")
    assert max(map(len, site.stderr().splitlines())) < 40_000
    found = {line["event"]: line for line in lines(site)}
    job = {"function": "behind", "unique": "u1", "attempt": 1}
    assert {name: found["job.failed"].get(name) for name in job} == job
    assert found["job.failed"]["handle"].startswith("H:")
    assert found["log"]["message"] == "leaving a greenlet and a thread behind"
    assert {name: found["log"].get(name) for name in job} == job
    for event in ("greenlet.exception", "thread.exception", "job.failed"):
        assert found[event]["traceback"].startswith("Traceback")


def test_changing_the_log_level_does_not_affect_the_applications_logging(sites: Sites, gearmand: Gearmand) -> None:
    site = sites(configuration(gearmand.address))
    theirs = RECONFIGURES_LOGGING.replace("logging.disable(logging.CRITICAL)", "")
    site.handlers.write_text(site.handlers.read_text() + theirs.replace("job.log.info", "logging.warning"))
    site.path.write_text(site.configuration + "  behind: {handler: site_handlers.leave_behind, timeout: 60s}\n")
    site.start().until_serving()
    assert site.gearpool("log-level", "debug", "-c", str(site.path)).returncode == 0
    with Client(gearmand.address) as client, pytest.raises(JobFailed):
        client.submit_job("behind", "", timeout=60)
    wait_for(lambda: site.events("job.failed"), "the job's event")
    assert "THEIRS leaving a greenlet and a thread behind" in site.stderr()
