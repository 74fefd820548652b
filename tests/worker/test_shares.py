"""How much one server may keep unanswered."""

from __future__ import annotations

from gearpool.worker.shares import ServerShare


class Asker:
    def __init__(self) -> None:
        self.fed = 0

    def feed(self) -> None:
        self.fed += 1


def test_a_server_that_is_alone_is_not_limited_until_it_is_doubted() -> None:
    share = ServerShare()
    assert not share.limited
    share.doubted = True
    assert share.limited
    assert share.allowed(Asker(), 100, 100, 0) == 1


def test_of_several_servers_each_may_keep_half_of_the_slots_unanswered() -> None:
    share = ServerShare(alone=False)
    assert share.limited
    assert share.allowed(Asker(), 100, 100, 0) == 50
    assert share.allowed(Asker(), 100, 8, 3) == 1
    share.unanswered = 48
    assert share.allowed(Asker(), 100, 100, 0) == 2
    assert ServerShare(alone=False).allowed(Asker(), 1, 1, 0) == 1


def test_who_may_not_ask_is_fed_when_that_changes() -> None:
    share, asker, gone = ServerShare(alone=False), Asker(), Asker()
    share.unanswered = 50
    assert share.allowed(asker, 100, 100, 0) == 0
    assert share.allowed(gone, 100, 100, 0) == 0
    share.forget(gone)
    share.feed()
    share.feed()
    assert (asker.fed, gone.fed) == (1, 0)


def test_a_doubted_server_is_asked_for_one_job_at_a_time_over_all_its_sessions() -> None:
    share = ServerShare()
    share.doubted = True
    share.unanswered = 1
    assert share.allowed(Asker(), 100, 100, 0) == 0
