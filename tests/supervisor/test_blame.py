from __future__ import annotations

import pytest

from gearpool.supervisor import blame
from gearpool.supervisor.blame import ENOUGH, FORGET_S, Blame, Suspect

SERVER = "a:4730"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def job(number: int, function: str = "f", server: str = SERVER, unique: bool = True) -> Suspect:
    return Suspect(function, server, b"H:vm:%d" % number, b"u%d" % number if unique else b"")


def test_deaths_are_counted_by_function_server_and_unique() -> None:
    book = Blame()
    assert book.certain(job(1)) == 1
    assert book.certain(Suspect("f", SERVER, b"H:vm:77", b"u1")) == 2
    assert book.certain(job(1, function="g")) == 1
    assert book.certain(job(1, server="b:4730")) == 1


def test_a_job_without_unique_is_known_by_its_handle_which_is_never_taken_for_a_unique() -> None:
    book = Blame()
    book.certain(Suspect("f", SERVER, b"H:vm:1", b""))
    assert book.kills(Suspect("f", SERVER, b"", b"H:vm:1")) == 0
    assert book.entries() == [["f", SERVER, "hH:vm:1", 1, 0]]


def test_bytes_that_are_not_utf8_come_back_the_same() -> None:
    _, _, identity = Suspect("f", SERVER, b"", b"\xff\xfe").key
    assert identity.encode("utf-8", "surrogateescape") == b"u\xff\xfe"


def test_the_only_one_in_flight_is_blamed() -> None:
    book = Blame()
    assert book.judge([job(1)]) == [job(1)]
    assert book.kills(job(1)) == 1


def test_of_several_that_nobody_suspected_before_none_is_blamed_nor_run_apart() -> None:
    book = Blame()
    assert book.judge([job(1), job(2)]) == []
    assert (book.kills(job(1)), book.kills(job(2)), book.at_once) == (0, 0, None)


def test_the_only_one_of_several_that_was_suspected_before_is_blamed() -> None:
    book = Blame()
    book.judge([job(1), job(2)])
    assert book.judge([job(3), job(2), job(4)]) == [job(2)]
    assert (book.kills(job(2)), book.at_once) == (1, 1)


@pytest.mark.parametrize("jobs", [2, 3, 10, 1000])
@pytest.mark.parametrize("innocents_end", [True, False])
def test_one_that_kills_at_once_is_found_in_few_deaths(jobs: int, innocents_end: bool) -> None:
    """One process; whoever is not limited runs. Innocents that are there may be done before the process dies, or never."""
    book, culprit, waiting, deaths = Blame(), job(jobs - 1), [job(number) for number in range(jobs)], 0
    while book.kills(culprit) < 3:
        deaths += 1
        assert deaths < 40
        known = {suspect.key: suspect for suspect in waiting}
        limited = {tuple(entry[:3]) for entry in book.entries() if int(entry[4]) > 1}
        most = len(waiting) if book.at_once is None else book.at_once
        apart = [suspect for key, suspect in known.items() if key in limited][-most:]
        running = [suspect for key, suspect in known.items() if key not in limited] + apart
        if culprit in running:
            book.judge(running)
        if innocents_end:
            done = [suspect for suspect in apart if suspect != culprit]
            book.reported([suspect.key for suspect in done])
            waiting = [suspect for suspect in waiting if suspect not in done]
    assert deaths <= jobs.bit_length() + 4
    assert max((book.kills(job(number)) for number in range(jobs - 1)), default=0) == 0


def test_suspects_are_run_apart_until_none_of_several_deaths_is_left() -> None:
    book = Blame()
    for _ in range(2):
        book.judge([job(number) for number in range(8)])
    assert book.at_once == 4
    book.reported([job(number).key for number in range(7)])
    assert book.at_once == 4
    book.reported([job(7).key])
    assert book.at_once is None
    assert book.entries() == []


def test_two_that_are_always_there_together_are_both_blamed_in_the_end() -> None:
    book = Blame()
    for _ in range(ENOUGH):
        assert book.judge([job(1), job(2)]) == []
    assert book.judge([job(1), job(2)]) == [job(1), job(2)]


def test_what_is_known_of_a_job_is_forgotten_with_its_report() -> None:
    book = Blame()
    book.certain(job(1))
    book.reported([job(1).key, job(2).key])
    assert book.entries() == []
    assert book.certain(job(1)) == 1
    assert book.entry(job(2).key) == [*job(2).key, 0, 0]


def test_handles_of_a_server_that_was_lost_are_forgotten_and_uniques_are_not() -> None:
    book = Blame()
    mine, others, unique = job(1, unique=False), job(1, unique=False, server="b:4730"), job(2)
    for suspect in (mine, others, unique):
        book.certain(suspect)
    assert book.lost(SERVER) == [mine.key]
    assert [book.kills(suspect) for suspect in (mine, others, unique)] == [0, 1, 1]


def test_a_job_that_was_in_no_death_for_long_is_forgotten() -> None:
    clock = Clock()
    book = Blame(clock)
    book.certain(job(1))
    clock.now += FORGET_S - 1
    book.certain(job(2))
    clock.now += 2
    assert book.entries() == [[*job(2).key, 1, 0]]
    book.judge([job(1), job(3)])
    assert book.kills(job(1)) == 0, "it is as new"


def test_the_one_in_a_death_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "MAX_KNOWN", 100)
    book = Blame()
    for number in (0, *range(100), 0, 100):
        book.certain(job(number))
    assert len(book.entries()) == 100
    assert book.kills(job(0)) == 3
    assert book.kills(job(1)) == 0
