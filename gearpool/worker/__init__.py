"""Runs handlers as Gearman workers: `Worker` for applications, `pool.Pool` underneath for it and the daemon. Floor 3.

From the wire inwards: `lane` (one function on one server, reconnects) → `session` (one connection: grabs, runs, reports)
→ `patience` (is the server still there?) → `slots`, `shares` and `gates` (may it grab?) → `runs`, `limits`, `interrupts`
(what runs, and for how long) → `verdicts`, `retries`, `letters` (what a failure means). `pool` holds one process's worth
of all that.
"""

from gearpool.worker.library import Worker

__all__ = ["Worker"]
