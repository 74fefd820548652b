"""How long each step after the drain deadline may take, from a job handler up to the service manager. Floor 0; pure.

Invariant: each step has more time than all steps inside it, so nothing is killed while it could still end in order.
"""

from __future__ import annotations

HANDLER_S = 1.0
"""A handler gets this long to end after `Draining` was raised in it, and a connection to close after its last job."""
WORKER_S = 2.4
"""After this the supervisor kills a worker: both waits of HANDLER_S, and some CPU time to hand jobs back."""
JOB_SERVER_S = 0.2
"""The drain of the embedded job server. It starts after the workers have ended, so no job runs."""
MIN_CLOSE_S = 0.4
"""The job server always gets this long to drain and to close its store, however late the workers were."""
WEB_S = 0.1
"""The web process always gets this long to finish its requests; it is stopped last."""
WEB_EXIT_S = 0.05
"""Of that it keeps this much for its exit."""
DAEMON_S = WORKER_S + MIN_CLOSE_S + WEB_S
"""After this the daemon has ended."""
PLATFORM_S = 3.0
"""What a service manager or container runtime must allow on top of `drain_timeout` before it kills the daemon."""
