from __future__ import annotations

import json
from typing import Any

from gearpool.web import view
from gearpool.web.published import NO_FAILURES
from tests.web.sites import status

JOB = {"worker": 1, "server": "s:1", "handle": "H:1", "age_s": 1.0}


def document(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "status": status(), "failures": NO_FAILURES, "jobs": {"jobs": [], "blocked": []}, "queues": {"servers": {}},
        "dead_letters": {"files": []}, "rates": {}, "total": {},
    }  # fmt: skip
    return view.document(**parts | changes)


def test_lists_are_objects_by_identity() -> None:
    found = document(
        status=status(workers=[{"pid": 7, "state": "ready"}]),
        jobs={"jobs": [JOB], "blocked": [{"worker": 8, "error": "blocked"}]},
        failures={"failures": [{"id": "a"}], "stalls": [{"id": "b"}], "forgotten": {"failures": 1, "stalls": 0}},
    )
    assert found["status"]["workers"] == {"7": {"pid": 7, "state": "ready"}}
    assert found["jobs"] == {"1/s:1/H:1": JOB}
    assert found["blocked"] == {"8": {"worker": 8, "error": "blocked"}}
    assert (found["failures"], found["stalls"]) == ({"a": {"id": "a"}}, {"b": {"id": "b"}})
    assert json.loads(json.dumps(found)) == found


def test_of_many_jobs_the_oldest_are_shown() -> None:
    jobs = [{**JOB, "handle": f"H:{number}", "age_s": float(number)} for number in range(view.MAX_JOBS + 5)]
    found = document(jobs={"jobs": jobs, "blocked": []})
    assert len(found["jobs"]) == view.MAX_JOBS
    assert found["jobs_left_out"] == 5
    assert "1/s:1/H:0" not in found["jobs"]
