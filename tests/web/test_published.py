from __future__ import annotations

from gearpool.web.published import NO_FAILURES, Published


def test_failures_are_kept_until_they_change() -> None:
    published = Published()
    assert published.failures == NO_FAILURES
    seen = []
    published.on_update.append(lambda: seen.append(published.status["n"]))
    published.update({"n": 1}, {"failures": [1]})
    published.update({"n": 2}, None)
    assert published.failures == {"failures": [1]}
    assert seen == [1, 2]


def test_the_age_counts_from_the_last_update() -> None:
    now = [5.0]
    published = Published(lambda: now[0])
    now[0] = 7.0
    assert published.age_s == 2.0
    published.update({}, None)
    assert published.age_s == 0.0
