"""The programs that the supervisor starts: checker, worker and jobserver. Each is a composition root. Floor 4."""
