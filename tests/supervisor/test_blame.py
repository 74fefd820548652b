from __future__ import annotations

import pytest

from gearpool.supervisor import blame
from gearpool.supervisor.blame import FORGET_S, MAX_SUSPICIONS, Blame, Suspect

SERVER = "a:4730"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def job(number: int, function: str = "f", server: str = SERVER, unique: bool = True) -> Suspect:
    return Suspect(function, server, b"H:vm:%d" % number, b"u%d" % number if unique else b"")


def test_deaths_are_counted_by_function_server_and_unique() -> None:
    records = Blame()
    assert records.blame(job(1)) == 1
    assert records.blame(Suspect("f", SERVER, b"H:vm:77", b"u1")) == 2
    assert records.blame(job(1, function="g")) == 1
    assert records.blame(job(1, server="b:4730")) == 1


def test_a_handle_is_never_confused_with_a_unique_id() -> None:
    records = Blame()
    records.blame(Suspect("f", SERVER, b"H:vm:1", b""))
    assert records.kills(Suspect("f", SERVER, b"", b"H:vm:1")) == 0
    assert records.entries() == [["f", SERVER, "hH:vm:1", 1, 0]]


def test_identities_that_are_not_utf8_survive_the_round_trip() -> None:
    _, _, identity = Suspect("f", SERVER, b"", b"\xff\xfe").key
    assert identity.encode("utf-8", "surrogateescape") == b"u\xff\xfe"


def test_the_only_job_in_flight_is_blamed() -> None:
    records = Blame()
    assert records.suspect([job(1)]) == [job(1)]
    assert records.kills(job(1)) == 1


def test_several_new_suspects_are_neither_blamed_nor_limited() -> None:
    records = Blame()
    assert records.suspect([job(1), job(2)]) == []
    assert (records.kills(job(1)), records.kills(job(2)), records.at_once) == (0, 0, None)


def test_the_only_repeated_suspect_is_blamed() -> None:
    records = Blame()
    records.suspect([job(1), job(2)])
    assert records.suspect([job(3), job(2), job(4)]) == [job(2)]
    assert (records.kills(job(2)), records.at_once) == (1, 1)


@pytest.mark.parametrize("jobs", [2, 3, 10, 1000])
@pytest.mark.parametrize("innocents_end", [True, False])
def test_a_culprit_is_found_within_a_logarithmic_number_of_deaths(jobs: int, innocents_end: bool) -> None:
    """One process runs all jobs that are not limited. Innocent jobs complete before the process dies, or never."""
    records, culprit, waiting, deaths = Blame(), job(jobs - 1), [job(number) for number in range(jobs)], 0
    while records.kills(culprit) < 3:
        deaths += 1
        assert deaths < 40
        known = {suspect.key: suspect for suspect in waiting}
        limited = {tuple(entry[:3]) for entry in records.entries() if int(entry[4]) > 1}
        allowed = len(waiting) if records.at_once is None else records.at_once
        isolated = [suspect for key, suspect in known.items() if key in limited][-allowed:]
        running = [suspect for key, suspect in known.items() if key not in limited] + isolated
        if culprit in running:
            records.suspect(running)
        if innocents_end:
            done = [suspect for suspect in isolated if suspect != culprit]
            records.reported([suspect.key for suspect in done])
            waiting = [suspect for suspect in waiting if suspect not in done]
    assert deaths <= jobs.bit_length() + 4
    assert max((records.kills(job(number)) for number in range(jobs - 1)), default=0) == 0


def test_the_limit_is_lifted_when_no_repeated_suspect_is_left() -> None:
    records = Blame()
    for _ in range(2):
        records.suspect([job(number) for number in range(8)])
    assert records.at_once == 4
    records.reported([job(number).key for number in range(7)])
    assert records.at_once == 4
    records.reported([job(7).key])
    assert records.at_once is None
    assert records.entries() == []


def test_jobs_that_are_always_suspected_together_are_both_blamed_eventually() -> None:
    records = Blame()
    for _ in range(MAX_SUSPICIONS):
        assert records.suspect([job(1), job(2)]) == []
    assert records.suspect([job(1), job(2)]) == [job(1), job(2)]


def test_a_record_is_dropped_when_a_result_is_reported() -> None:
    records = Blame()
    records.blame(job(1))
    records.reported([job(1).key, job(2).key])
    assert records.entries() == []
    assert records.blame(job(1)) == 1
    assert records.entry(job(2).key) == [*job(2).key, 0, 0]


def test_a_lost_server_drops_records_by_handle_but_not_by_unique_id() -> None:
    records = Blame()
    mine, others, unique = job(1, unique=False), job(1, unique=False, server="b:4730"), job(2)
    for suspect in (mine, others, unique):
        records.blame(suspect)
    assert records.lost(SERVER) == [mine.key]
    assert [records.kills(suspect) for suspect in (mine, others, unique)] == [0, 1, 1]


def test_old_records_are_dropped() -> None:
    clock = Clock()
    records = Blame(clock)
    records.blame(job(1))
    clock.now += FORGET_S - 1
    records.blame(job(2))
    clock.now += 2
    assert records.entries() == [[*job(2).key, 1, 0]]
    records.suspect([job(1), job(3)])
    assert records.kills(job(1)) == 0, "it is a new record"


def test_the_oldest_record_is_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "MAX_RECORDS", 100)
    records = Blame()
    for number in (0, *range(100), 0, 100):
        records.blame(job(number))
    assert len(records.entries()) == 100
    assert records.kills(job(0)) == 3
    assert records.kills(job(1)) == 0
