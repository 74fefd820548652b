"""What a process that is nothing but a job server does around it."""

from __future__ import annotations

import resource

import pytest

from gearpool.server import running


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ((1024, 4096), None, 4096),
        ((1024, 4096), 2000, 2000),
        ((1024, 4096), 9999, 4096),
        ((4096, 4096), None, 4096),
        ((1024, resource.RLIM_INFINITY), None, 65536),
        ((100_000, resource.RLIM_INFINITY), None, 100_000),
        ((1024, resource.RLIM_INFINITY), 5000, 5000),
    ],
)
def test_the_limit_of_file_descriptors_is_raised_as_far_as_allowed(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], wanted: int | None, after: int
) -> None:
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))
    assert running.allow_descriptors(wanted) == after
    assert limits[-1] == (after, before[1])
