from __future__ import annotations

from typing import Any

import gevent
import pytest

from gearpool.web.supervisor import NoAnswerError, Supervisor


def test_answers_find_their_requests_in_any_order() -> None:
    sent: list[tuple[int, dict[str, Any]]] = []
    supervisor = Supervisor(lambda number, request: sent.append((number, request)))
    asking = [gevent.spawn(supervisor.ask, "pause", function=name) for name in ("a", "b")]
    gevent.sleep(0)
    for number, request in reversed(sent):
        supervisor.answered(number, {"ok": True, "result": request["function"]})
    assert [each.get()["result"] for each in asking] == ["a", "b"]


def test_an_answer_that_does_not_come_is_an_error_and_a_late_one_is_dropped() -> None:
    supervisor = Supervisor(lambda _number, _request: None)
    with pytest.raises(NoAnswerError, match=r"within 0\.01 s"):
        supervisor.ask("jobs", 0.01)
    supervisor.answered(1, {"ok": True})
