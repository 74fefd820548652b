"""Runs handlers as Gearman workers: `Worker` for applications, and `pool.WorkerPool`, which it shares with the daemon.

Floor 3. `pool` builds the shared parts (`engine`) and one `lane` for each function and server. The way of a job::

    lane → session            connect (`server_health`), register, read packets; reconnect when the connection is lost
             │  grabs         ask for jobs, as far as slots (`admission`), `gates` and `shares` allow
             ▼
           batch              call the handlers, one after another
             ├─ the handler never yields: its result goes straight to the `outbox`
             ▼
           runs, running      the handler has yielded, or runs for too long: `time_limits`, `interrupts`
             ▼
           verdicts           what its outcome means, according to `policy`
             ├─ retries → batch.run_again
             ├─ dead_letters
             ▼
           replies → outbox   report the job; unreported jobs go back to the server when the connection ends

Each piece is given what it uses and never refers to its owner; notifications upwards are callables.
"""

from gearpool.worker.library import Worker

__all__ = ["Worker"]
