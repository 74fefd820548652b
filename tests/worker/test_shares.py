"""How many grabs one server may leave unanswered."""

from __future__ import annotations

from gearpool.worker.shares import ServerShare


class Waiter:
    def __init__(self) -> None:
        self.notified = 0

    def on_slots(self) -> None:
        self.notified += 1


def test_a_single_server_is_limited_only_while_it_is_unresponsive() -> None:
    share = ServerShare()
    assert not share.limited
    share.unresponsive = True
    assert share.limited
    assert share.allowed(Waiter(), 100, 100, 0) == 1


def test_each_of_several_servers_may_leave_half_of_the_slots_unanswered() -> None:
    share = ServerShare(only_server=False)
    assert share.limited
    assert share.allowed(Waiter(), 100, 100, 0) == 50
    assert share.allowed(Waiter(), 100, 8, 3) == 1
    share.unanswered = 48
    assert share.allowed(Waiter(), 100, 100, 0) == 2
    assert ServerShare(only_server=False).allowed(Waiter(), 1, 1, 0) == 1


def test_a_waiter_is_notified_once_when_grabs_are_answered_unless_it_is_forgotten() -> None:
    share, waiter, gone = ServerShare(only_server=False), Waiter(), Waiter()
    share.unanswered = 50
    assert share.allowed(waiter, 100, 100, 0) == 0
    assert share.allowed(gone, 100, 100, 0) == 0
    share.forget(gone)
    share.resume()
    share.resume()
    assert (waiter.notified, gone.notified) == (1, 0)


def test_an_unresponsive_server_is_asked_for_one_job_at_a_time_over_all_its_sessions() -> None:
    share = ServerShare()
    share.unresponsive = True
    share.unanswered = 1
    assert share.allowed(Waiter(), 100, 100, 0) == 0
