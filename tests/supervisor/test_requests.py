from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gearpool.supervisor import control_client
from gearpool.supervisor.requests import Requests
from gearpool.supervisor.states import DaemonState
from tests.processes import wait_for
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings


def test_an_unknown_request_is_refused_and_lists_the_known(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with pytest.raises(control_client.RefusedError, match="ping"):
        daemon.ask("dance")


def test_an_unknown_function_cannot_be_paused(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    with pytest.raises(control_client.RefusedError, match="one of work"):
        daemon.ask("pause", function="wrok")


def test_resize_to_nonsense_is_refused(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    for wrong in (0, -1, "3", None, True, 1.5, 1_000_001, 10**4000):
        with pytest.raises(control_client.RefusedError, match="whole number"):
            daemon.ask("resize", function="work", concurrency=wrong)


def test_jobs_are_collected_from_every_worker(daemons: Factory) -> None:
    daemon = daemons(plain_settings(processes=2)).start().until_ready()
    pids = daemon.workers()
    assert daemon.ask("jobs") == [{"worker": pid, "result": [{"asked": "jobs"}]} for pid in sorted(pids)]


def test_log_level_reaches_the_workers(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (pid,) = daemon.workers()
    daemon.ask("log-level", level="debug")
    assert daemon.until_received(pid, "apply")["settings"]["log"]["level"] == "debug"


def test_drain_by_request_is_like_term(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    path = daemon.socket()
    assert daemon.ask("drain")["state"] == "draining"
    assert control_client.wait_until_gone(path, 10.0)
    assert daemon.wait() == 0
    assert not path.exists()


def test_a_daemon_answers_while_it_starts(daemons: Factory) -> None:
    daemon = daemons()
    (daemon.children / "hold").touch()
    daemon.start()
    wait_for(daemon.socket().exists, "the socket")
    assert daemon.ask("status")["state"] == "starting"
    with pytest.raises(control_client.RefusedError, match="starting"):
        daemon.ask("reload")
    (daemon.children / "hold").unlink()
    daemon.until_ready()


STRANGER = 54321


class Desk:
    """Requests to a daemon that records what it is asked to do."""

    def __init__(self, *, started: bool = True) -> None:
        self.calls: list[Any] = []
        self.replies: list[dict[str, Any]] = []
        note = self.calls.append
        operator = SimpleNamespace(
            set_quiet=lambda quiet: note(("quiet", quiet)), stop=lambda: note("stop"), stop_now=lambda: note("stop now"),
            reload=note, set_log_level=lambda _settings, level: note(("level", level)),
        )  # fmt: skip
        fleet = SimpleNamespace(
            settings=plain_settings() if started else None, serving=lambda: [SimpleNamespace(pid=7), SimpleNamespace(pid=8)],
            quiet=False, paused=set(), generation=4, pause=lambda name, paused: note((name, paused)), apply=note,
        )  # fmt: skip
        status = {"pid": 1, "state": "running", "problem": None, "config": "w.yaml", "uptime_s": 2.0, "workers": []}
        report = SimpleNamespace(
            status=lambda: status, files={"config": "w.yaml"}, in_progress=3, brief=lambda: {"state": "brief"},
            failures=lambda: {"failures": [], "stalls": []},
            lifecycle=SimpleNamespace(state=DaemonState.DRAINING),
        )  # fmt: skip
        queries = SimpleNamespace(ask=lambda query, done: note((query(1).name, done)))
        killing = SimpleNamespace(kill=lambda handle, _reply: note(("kill", handle)))
        recycler = SimpleNamespace(ask=lambda children, reason: note(([child.pid for child in children], reason)))
        self.requests = Requests(operator, fleet, report, queries, killing, recycler)  # type: ignore[arg-type] # fakes

    def serve(self, do: object, **fields: object) -> Any:
        """The answer, or None if it comes later."""
        self.replies.clear()
        self.requests.serve({"do": do, **fields}, self.replies.append)
        return self.replies[0] if self.replies else None

    def error(self, do: object, **fields: object) -> str:
        answer = self.serve(do, **fields)
        assert answer["ok"] is False
        return str(answer["error"])


def test_ping_does_not_read_the_workers() -> None:
    assert Desk().serve("ping")["result"] == {"state": "brief"}


def test_status_and_failures_are_those_of_the_report() -> None:
    desk = Desk()
    assert desk.serve("status")["result"]["pid"] == 1
    assert desk.serve("failures")["result"] == {"failures": [], "stalls": []}


@pytest.mark.parametrize("do", ["dance", None, ["ping"], 5])
def test_an_unknown_request_changes_nothing_and_lists_the_known_ones(do: object) -> None:
    desk = Desk()
    assert "one of ping, status, jobs" in desk.error(do)
    assert desk.calls == []


def test_jobs_and_stacks_are_answered_when_the_workers_have_answered() -> None:
    desk = Desk()
    for do in ("jobs", "stacks"):
        assert desk.serve(do) is None
        (name, done) = desk.calls.pop()
        assert name == do
        done([{"worker": 7}])
        assert desk.replies == [{"ok": True, "result": [{"worker": 7}]}]


def test_pause_and_resume_without_a_function_concern_the_daemon() -> None:
    desk = Desk()
    assert desk.serve("pause")["result"] == {"quiet": True, "paused_functions": []}
    desk.serve("resume")
    desk.serve("pause", function="work")
    assert desk.calls == [("quiet", True), ("quiet", False), ("work", True)]


def test_drain_and_stop_report_the_state_and_the_jobs_in_progress() -> None:
    desk = Desk()
    answers = [desk.serve(do)["result"] for do in ("drain", "stop")]
    assert answers == [{"state": "draining", "in_progress": 3}] * 2
    assert desk.calls == ["stop", "stop now"]


def test_recycle_without_a_process_id_means_all_workers() -> None:
    desk = Desk()
    assert desk.serve("recycle")["result"] == {"workers": [7, 8]}
    assert desk.serve("recycle", worker=8)["result"] == {"workers": [8]}
    assert "no worker has the process id 9" in desk.error("recycle", worker=9)
    assert desk.calls == [([7, 8], "asked"), ([8], "asked")]


def test_reload_is_answered_at_its_end() -> None:
    desk = Desk()
    assert desk.serve("reload") is None
    (done,) = desk.calls
    done(["workers.yaml:1:1: bad"])
    done([])
    assert desk.replies == [
        {"ok": False, "error": "reload failed, nothing has changed:\nworkers.yaml:1:1: bad"},
        {"ok": True, "result": {"generation": 4, "config": "w.yaml"}},
    ]


def test_kill_needs_a_handle_and_log_level_a_level() -> None:
    desk = Desk()
    for wrong in (None, "", 5):
        assert "handle" in desk.error("kill", handle=wrong)
    assert "one of debug, info" in desk.error("log-level", level="loud")
    assert desk.serve("log-level", level="debug")["result"] == {"level": "debug"}
    desk.serve("kill", handle="H:1")
    assert desk.calls == [("level", "debug"), ("kill", "H:1")]


@pytest.mark.parametrize("do", ["recycle", "reload", "log-level", "resize", "pause"])
def test_requests_that_need_a_configuration_are_refused_while_the_daemon_starts(do: str) -> None:
    assert Desk(started=False).error(do, level="debug", function="work") == "the daemon is still starting"


def test_an_internal_error_is_answered_and_raised() -> None:
    desk = Desk()
    desk.requests = Requests(*[SimpleNamespace(stop=None, stop_now=None)] * 6)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        desk.serve("status")
    assert desk.replies[0]["error"].startswith("internal error: AttributeError")
