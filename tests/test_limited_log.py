"""Events that a peer can cause do not fill the log, and what was left out is counted."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest

from gearpool.limited_log import MAX_KINDS, LimitedLog

log = logging.getLogger("gearpool.test")


class Logged:
    """A limited log with a clock of its own; `lines` are what came through."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 100.0
        self.log = LimitedLog(log, burst=3, every_s=10.0, clock=lambda: self.now)
        self._caplog = caplog

    def lines(self) -> list[tuple[str, dict[str, Any]]]:
        """Message and fields of each line since the last call."""
        records = list(self._caplog.records)
        self._caplog.clear()
        return [(record.__dict__["gearpool_message"], record.__dict__["gearpool_fields"]) for record in records]

    def messages(self) -> list[str]:
        return [message for message, _ in self.lines()]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    caplog.set_level(logging.DEBUG)
    return Logged(caplog)


def test_a_flood_is_a_few_lines_and_a_count_with_the_next_one(logged: Logged) -> None:
    came_through = [logged.log.emit(logging.ERROR, "server.error", f"{number}") for number in range(10_000)]
    assert came_through == [True] * 3 + [False] * 9_997
    assert logged.messages() == ["0", "1", "2"]
    logged.now += 10.0
    assert logged.log.emit(logging.ERROR, "server.error", "later", server="s")
    ((message, fields),) = logged.lines()
    assert (message, fields["left_out"], fields["server"]) == ("later", 9_997, "s")
    logged.log.emit(logging.ERROR, "server.error", "after that")
    ((_, fields),) = logged.lines()
    assert fields["left_out"] is None


def test_what_was_left_out_is_told_even_if_nothing_more_comes(logged: Logged) -> None:
    for number in range(10):
        logged.log.emit(logging.ERROR, "server.error", f"{number}", server="s")
    logged.lines()
    logged.log.tell()
    assert logged.lines() == []  # its window is not over
    logged.now += 10.0
    logged.log.tell()
    assert logged.lines() == [("9", {"server": "s", "left_out": 6})]
    logged.log.tell()
    assert logged.lines() == []


def test_at_the_end_everything_is_told_at_once(logged: Logged) -> None:
    for number in range(4):
        logged.log.emit(logging.ERROR, "server.error", f"{number}")
    logged.lines()
    logged.log.tell(all_of_them=True)
    assert logged.lines() == [("3", {"left_out": None})]


def test_one_kind_does_not_use_up_the_lines_of_another(logged: Logged) -> None:
    for _ in range(5):
        logged.log.emit(logging.ERROR, "server.error", "a", key="one")
    assert logged.log.emit(logging.ERROR, "server.error", "b", key="two")
    assert logged.log.emit(logging.ERROR, "job.orphaned", "c", key="one")
    assert logged.messages() == ["a", "a", "a", "b", "c"]


def test_keys_without_end_share_one_limit_and_cost_no_memory(logged: Logged) -> None:
    for number in range(MAX_KINDS * 4):
        logged.log.emit(logging.ERROR, "client.odd", "x", key=f"{number}")
    assert len(logged.messages()) == MAX_KINDS + 3
    assert len(logged.log._kinds) == MAX_KINDS + 1
    logged.now += 10.0
    logged.log.tell()
    assert len(logged.log._kinds) == 0


def test_an_exception_is_logged_but_not_kept() -> None:
    class Payload:
        pass

    class Count(logging.Handler):
        seen = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.seen += bool(record.exc_info)

    alone, count = logging.getLogger("gearpool.test.alone"), Count()
    alone.propagate = False  # pytest's own handlers keep every record
    alone.addHandler(count)
    limited = LimitedLog(alone, burst=3)

    def fail() -> weakref.ref[Payload]:
        payload = Payload()
        try:
            raise ValueError(payload)
        except ValueError as error:
            for _ in range(4):
                limited.emit(logging.ERROR, "odd", "x", exc_info=error)
        return weakref.ref(payload)

    kept = fail()
    gc.collect()
    assert count.seen == 3
    assert kept() is None
