"""What always holds in a ledger: each job is counted once, and where it is. Walks over everything."""

from __future__ import annotations

from gearpool.server.ledger import Ledger
from gearpool.server.records import NORMAL


def check(ledger: Ledger) -> None:
    """Fail unless every count agrees with the jobs themselves."""
    running = {job.handle for job in ledger.jobs.values() if job.worker is not None}
    waiting: set[bytes] = set()
    for queue in ledger.functions.values():
        for priority, lane in enumerate(queue.lanes):
            alive = [job for job in lane if job.clients is not None]
            assert all(job.priority == priority and job.queue is queue for job in alive), queue.name
            scheduled = queue.scheduled if priority == NORMAL else 0
            assert len(alive) + scheduled == queue.queued(priority), queue.name
            waiting.update(job.handle for job in alive)
        mine = [job for job in ledger.jobs.values() if job.queue is queue]
        assert queue.running == sum(job.worker is not None for job in mine), queue.name
        assert queue.total == len(mine), queue.name
        assert queue.ready == any(job.worker is None and job.handle not in ledger._due for job in mine), queue.name
        for key, job in queue.keys.items():
            assert job.key == key
            assert ledger.jobs.get(job.handle) is job
    assert waiting.isdisjoint(ledger._due)
    assert waiting.isdisjoint(running)
    assert waiting | set(ledger._due) | running == set(ledger.jobs)
    for job in ledger.jobs.values():
        assert job.clients is not None
        assert job.worker is None or job.worker.running.get(job.handle) is job
        assert all(client.watching.get(job.handle) is job for client in job.clients)
