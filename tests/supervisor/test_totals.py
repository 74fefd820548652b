from __future__ import annotations

from gearpool.figures import Figures, ProcessFigures, read, size
from gearpool.supervisor.totals import Totals, no_runs


def figures(*completed: int, stalls: int = 0) -> ProcessFigures | None:
    """Those of a worker whose functions have completed so many jobs; the first blocked its event loop ``stalls`` times."""
    memory = bytearray(size(len(completed)))
    written = Figures(memory, 0, len(completed))
    for function, number in zip(written.functions, completed, strict=True):
        for _ in range(number):
            function.ended("complete", 0.02)
    for sequence in range(stalls):
        written.stall_began(0, sequence)
        written.stall_ended(0.75)
    written.reconnected()
    return read(memory, 0, len(completed))


def completed(totals: Totals, *workers: tuple[list[str], ProcessFigures | None]) -> dict[str, int]:
    functions = totals.view(workers)["functions"]
    return {name: counted["outcomes"]["complete"] for name, counted in functions.items()}


def test_counters_of_ended_workers_are_kept() -> None:
    totals = Totals()
    totals.add_ended(["f"], figures(2, stalls=1))
    view = totals.view()
    assert view["functions"]["f"]["outcomes"]["complete"] == 2
    assert sum(view["functions"]["f"]["duration_buckets"]) == 2
    assert (view["stalls"], view["stall_sum_s"], view["reconnects"]) == ({"f": 1}, 0.75, 1)


def test_functions_are_added_up_by_name_whatever_their_order() -> None:
    totals = Totals()
    totals.add_ended(["a", "b"], figures(1, 2))
    assert completed(totals, (["b", "c"], figures(10, 20)), (["a"], figures(100))) == {"a": 101, "b": 12, "c": 20}


def test_a_view_changes_nothing() -> None:
    totals = Totals()
    totals.add_ended(["f"], figures(2))
    first = totals.view([(["f"], figures(3, stalls=2))])
    assert totals.view([(["f"], figures(3, stalls=2))]) == first
    assert completed(totals) == {"f": 2}


def test_a_worker_that_has_not_begun_counts_for_nothing() -> None:
    totals = Totals()
    totals.add_ended(["f"], None)
    assert totals.view([(["f"], None)])["functions"] == {}


def test_stalls_of_no_known_function_have_no_name() -> None:
    memory = bytearray(size(1))
    written = Figures(memory, 0, 1)
    written.stall_began(0xFFFF, 1)
    assert Totals().view([(["f"], read(memory, 0, 1))])["stalls"] == {"": 1}


def test_a_stall_that_ended_with_its_process_is_measured_and_counted_once() -> None:
    totals = Totals()
    totals.add_stall("f", 40.0, counted=False)
    totals.add_stall("f", 0.1, counted=True)
    view = totals.view()
    assert (view["stalls"], view["stall_sum_s"], sum(view["stall_buckets"])) == ({"f": 1}, 40.1, 2)
    assert (view["stall_buckets"][0], view["stall_buckets"][6]) == (1, 1)


def test_a_function_that_never_ran_has_all_outcomes() -> None:
    assert no_runs()["outcomes"]["complete"] == 0
