"""What follows from the death of a worker: who is blamed, who is suspected, and what the other workers are told. Floor 4.

Law: the workers are told of every change in what is known of a job, so that each of them refuses the same ones, and runs
suspects apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from gearpool import logs
from gearpool.settings import Settings
from gearpool.supervisor.blame import Blame, Entry, Key, Suspect
from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import Child
from gearpool.supervisor.evidence import NOBODY, Evidence, evidence, named

STALLED = "stalled"
"""Why the supervisor kills a worker that does not go on, or whose job does not."""

log = logging.getLogger("gearpool.supervisor")


class Deaths:
    """The memory of one pool of workers.

    Args:
        tell: sends a message to every worker of the configuration in force.
    """

    def __init__(self, tell: Callable[[Message], object]) -> None:
        self._tell = tell
        self._blame = Blame()
        self._server_pids: dict[str, str] = {}

    def forget(self) -> None:
        """There is new code: nobody is blamed for what the old did."""
        self._blame = Blame()

    def known(self) -> Message:
        """What a worker that starts is told."""
        return {
            "poison": self._blame.entries(),
            "at_once": self._blame.at_once,
            "server_pids": dict(self._server_pids),
        }

    def died(self, child: Child, settings: Settings, *, draining: bool) -> Evidence:
        """A worker has died: say who may be to blame, blame them, and log it. Its page is still open."""
        stalled = child.killed_for == STALLED
        crashed = stalled or (not child.killed_for and (child.returncode != 0 or not draining))
        stacks = child.dumped_stacks()
        found = evidence(child, settings, stacks, stalled=stalled) if crashed else NOBODY
        self._log_end(child, found, stacks, expected=draining or (bool(child.killed_for) and not crashed))
        if not found.suspects:
            return found
        if found.certain:
            blamed = found.suspects
            self._blame.certain(blamed[0])
        else:
            blamed = self._blame.judge(found.suspects)
        self._tell_of(suspect.key for suspect in found.suspects)
        for suspect in blamed:
            kills = self._blame.kills(suspect)
            (fields,) = named([suspect])
            logs.emit(
                log,
                logging.ERROR,
                "job.blamed",
                f"{found.how} when worker {child.pid} died ({child.describe_end()}); deaths so far: {kills}",
                **fields,
                worker=child.pid,
                kills=kills,
            )
        return found

    def condemn(self, suspect: Suspect) -> None:
        """An operator has killed this job, together with its process: it is failed when it is handed out again."""
        self._blame.condemn(suspect)
        self._tell_of([suspect.key])

    def heard(self, message: Message) -> bool:
        """A worker's message, if it is about jobs that are known here. False if it is about something else."""
        if message.get("event") == "reported":
            # As it came from JSON.
            keys: list[Key] = [(str(one[0]), str(one[1]), str(one[2])) for one in message.get("jobs", [])]
            self._blame.reported(keys)
            self._tell_of(keys)
        elif message.get("event") == "server_lost":
            self._tell_of(self._blame.lost(str(message.get("server"))))
        elif message.get("event") == "server_pid":
            server, pid = str(message.get("server")), str(message.get("pid"))
            before = self._server_pids.get(server, pid)
            self._server_pids[server] = pid
            if before != pid:
                self._tell_of(self._blame.lost(server))
        else:
            return False
        return True

    def _tell_of(self, keys: Iterable[Key]) -> None:
        entries: list[Entry] = [self._blame.entry(key) for key in keys]
        if entries:
            self._tell({"do": "poison", "entries": entries, "at_once": self._blame.at_once})

    def _log_end(self, child: Child, found: Evidence, stacks: str, *, expected: bool) -> None:
        level = logging.INFO if expected and (child.returncode == 0 or child.killed_for) else logging.ERROR
        if expected and level == logging.ERROR:
            level = logging.WARNING
        extra: dict[str, Any] = {
            "reason": child.killed_for or None,
            "problems": child.failure or None,
            "suspects": named(found.suspects) or None,
            "suspected": len(found.suspects) or None,
            "stacks": stacks or None,
        }
        logs.emit(
            log, level, "worker.gone", f"worker {child.pid} has gone: {child.describe_end()}", worker=child.pid, **extra
        )
