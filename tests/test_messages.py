from __future__ import annotations

import json
from typing import Any

import pytest

from gearpool import json_lines, messages
from gearpool.messages import COMMANDS, JOB_SERVER_EVENTS, WEB_EVENTS, WORKER_EVENTS, MessageError, as_dict, from_dict
from gearpool.settings import FunctionSettings, ServerSettings, Settings

SETTINGS = Settings(servers=(ServerSettings(host="s"),), functions=(FunctionSettings(name="f", handler="m.f"),))

COMMANDS_SENT = [
    messages.Start(SETTINGS, [["f", "s:1", "uone", 1, 0]], 3, {"s:1": "OK 4"}),
    messages.Start(SETTINGS),
    messages.Quiet(),
    messages.Pause("f"),
    messages.Resume("f"),
    messages.Resume(),
    messages.Drain(2.5),
    messages.StopNow(),
    messages.Apply(SETTINGS),
    messages.SetLogLevel("debug"),
    messages.SetNotes([["f", "s:1", "h1", 0, 2]], None),
    messages.ListJobs(1),
    messages.ListStacks(2),
    messages.KillJob(3, "H:1"),
    messages.Publish({"state": "running"}, {"failures": []}),
    messages.Publish({"state": "running"}),
    messages.Answer(4, {"ok": True}),
]
EVENTS_SENT = [
    messages.Ready(),
    messages.Failed(["one", "two"]),
    messages.WorkerStatus({"in_progress": 2, "quiet": False}),
    messages.Failures(left_out=[1, 2]),
    messages.Draining(2, ["a", "b"]),
    messages.Drained(clean=False),
    messages.ReplaceMe("stuck", "why"),
    messages.Reply(1, [{"a": 1}]),
    messages.Reply(2, error="no"),
    messages.Reported([["f", "s:1", "uone"]]),
    messages.ServerLost("s:1"),
    messages.ServerPid("s:1", "OK 4"),
]


@pytest.mark.parametrize(
    ("kinds", "message"),
    [(COMMANDS, each) for each in COMMANDS_SENT]
    + [(WORKER_EVENTS, each) for each in EVENTS_SENT]
    + [(WEB_EVENTS, messages.Request(4, {"do": "ping"}))]
    + [(JOB_SERVER_EVENTS, messages.JobServerStatus({"f": {"queued": 1}}, 3))],
)
def test_a_message_comes_out_as_it_went_in(kinds: Any, message: messages.Message) -> None:
    line = json_lines.encode(as_dict(message))
    assert from_dict(kinds, json.loads(line)) == message


def test_every_message_is_sent_in_these_tests() -> None:
    assert {type(each) for each in COMMANDS_SENT} == set(COMMANDS.values())
    assert {type(each) for each in EVENTS_SENT} == set(WORKER_EVENTS.values())


def test_fields_of_a_newer_release_are_ignored() -> None:
    assert from_dict(COMMANDS, {"do": "drain", "seconds": 1.0, "gently": True}) == messages.Drain(1.0)


def test_missing_fields_have_their_defaults() -> None:
    assert from_dict(WORKER_EVENTS, {"event": "drained"}) == messages.Drained(clean=True)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"do": "dance"},
        {"do": 7},
        {"event": "ready"},
        {"do": "pause"},
        {"do": "apply", "settings": {"no_such_setting": 1}},
        {"do": "apply", "settings": "none"},
        {"do": "start", "settings": {}, "server_pids": 3},
    ],
)
def test_what_is_no_command_is_an_error(value: dict[str, object]) -> None:
    with pytest.raises(MessageError):
        from_dict(COMMANDS, value)
