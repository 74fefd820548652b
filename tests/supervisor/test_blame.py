from __future__ import annotations

from gearpool.supervisor import blame
from gearpool.supervisor.blame import Blame


def test_deaths_are_counted_by_function_and_unique() -> None:
    book = Blame()
    assert book.add("f", b"H:1", b"u") == ("f", "u", 1)
    assert book.add("f", b"H:2", b"u") == ("f", "u", 2)
    assert book.add("g", b"H:2", b"u") == ("g", "u", 1)


def test_a_job_without_unique_is_known_by_its_handle() -> None:
    assert Blame().add("f", b"H:1", b"") == ("f", "H:1", 1)


def test_bytes_that_are_not_utf8_come_back_the_same() -> None:
    _, key, _ = Blame().add("f", b"", b"\xff\xfe")
    assert key.encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_the_one_blamed_longest_ago_is_forgotten_first() -> None:
    book = Blame()
    for number in range(blame.MOST + 1):
        book.add("f", b"", str(number).encode())
    assert len(book.entries()) == blame.MOST
    assert ["f", "0", 1] not in book.entries()
