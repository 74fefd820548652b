"""The programs that the supervisor starts: checker, worker and jobserver, each a composition root. Floor 4."""
