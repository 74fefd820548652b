"""The whole of what the dashboard shows as one document, whose differences are sent on. Floor 3; pure.

Lists are objects by the identity of their items, so that a difference names only what has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MAX_JOBS = 1000
"""Running jobs in the document: the oldest; ``jobs_left_out`` says how many there are more."""

Object = dict[str, Any]


def document(
    *,
    status: Mapping[str, Any],
    failures: Mapping[str, Any],
    jobs: Mapping[str, list[Object]],
    queues: Mapping[str, Any],
    dead_letters: Object,
    rates: Object,
    total: Object,
) -> Object:
    """The document of now."""
    rows = sorted(jobs["jobs"], key=lambda row: -row["age_s"])
    return {
        "status": {**status, "workers": {str(row["pid"]): row for row in status.get("workers", ())}},
        "queues": queues,
        "jobs": {_job_key(row): row for row in rows[:MAX_JOBS]},
        "jobs_left_out": max(0, len(rows) - MAX_JOBS),
        "blocked": {str(row["worker"]): row for row in jobs["blocked"]},
        "failures": _by_id(failures["failures"]),
        "stalls": _by_id(failures["stalls"]),
        "forgotten": failures["forgotten"],
        "dead_letters": dead_letters,
        "rates": rates,
        "total": total,
    }


def _job_key(row: Object) -> str:
    return f"{row['worker']}/{row.get('server')}/{row.get('handle')}"


def _by_id(groups: Iterable[Object]) -> Object:
    return {group["id"]: group for group in groups}


def listed(answers: Iterable[Mapping[str, Any]]) -> dict[str, list[Object]]:
    """The answers of the workers as rows: jobs, and workers that could not list theirs."""
    jobs: list[Object] = []
    blocked: list[Object] = []
    for answer in answers:
        if "error" in answer:
            names = ("worker", "blocked_s", "function", "handle", "error")
            blocked.append({name: answer.get(name) for name in names})
        else:
            jobs += [{"worker": answer["worker"], **row} for row in answer["result"]]
    return {"jobs": jobs, "blocked": blocked}
