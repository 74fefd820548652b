"""What may be asked of a running daemon through its control socket: one method a request. Floor 4.

A request is ``{"do": NAME, …}``; the answer ``{"ok": true, "result": …}`` or ``{"ok": false, "error": TEXT}``.
Law: a request that is malformed changes nothing, and one that needs the workers is answered even if they are blocked.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from gearpool import logs
from gearpool.settings import MAX_AT_ONCE, LogSettings, Settings
from gearpool.supervisor import report
from gearpool.supervisor.channel import Message
from gearpool.supervisor.child import Child

if TYPE_CHECKING:
    from gearpool.supervisor.daemon import Daemon

Reply = Callable[[Message], None]

LEVELS: tuple[str, ...] = get_args(get_type_hints(LogSettings)["level"])

log = logging.getLogger("gearpool.supervisor")


def _shown(value: object) -> str:
    """A value as it came, in the length of a message. Python writes no number of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 100:
        return "a number of more than 30 digits"
    return repr(value)[:40]


class RefusedError(Exception):
    """The request cannot be served; its text goes back."""


class Requests:
    """Serves requests for one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._table: dict[str, Callable[[Message, Reply], Any]] = {
            "ping": self._ping,
            "status": self._status,
            "jobs": self._jobs,
            "stacks": self._stacks,
            "pause": self._pause,
            "resume": self._resume,
            "resize": self._resize,
            "kill": self._kill,
            "recycle": self._recycle,
            "reload": self._reload,
            "drain": self._drain,
            "stop": self._stop,
            "log-level": self._log_level,
        }

    def serve(self, message: Message, reply: Reply) -> None:
        """Serve one request; ``reply`` is called once, now or later."""
        do = message.get("do")
        try:
            serve = self._table.get(do) if isinstance(do, str) else None
            if serve is None:
                raise RefusedError(f"unknown request {do!r}; one of {', '.join(self._table)}")
            result = serve(message, reply)
        except RefusedError as refused:
            reply({"ok": False, "error": str(refused)})
            return
        except Exception as error:
            reply({"ok": False, "error": f"internal error: {error!r}"})
            raise
        if result is not LATER:
            reply({"ok": True, "result": result})

    def _ping(self, _message: Message, _reply: Reply) -> Any:
        status = report.status(self._daemon)
        return {name: status[name] for name in ("pid", "state", "problem", "config", "uptime_s")}

    def _status(self, _message: Message, _reply: Reply) -> Any:
        return report.status(self._daemon)

    def _jobs(self, _message: Message, reply: Reply) -> Any:
        return self._ask(reply, "jobs")

    def _stacks(self, _message: Message, reply: Reply) -> Any:
        return self._ask(reply, "stacks")

    def _ask(self, reply: Reply, do: str) -> Any:
        self._daemon.questions.ask(do, lambda answers: reply({"ok": True, "result": answers}))
        return LATER

    def _pause(self, message: Message, _reply: Reply) -> Any:
        return self._set_paused(message, True)

    def _resume(self, message: Message, _reply: Reply) -> Any:
        return self._set_paused(message, False)

    def _set_paused(self, message: Message, paused: bool) -> Any:
        function = message.get("function")
        if function is None:
            self._daemon.be_quiet(paused)
            return {"quiet": paused, "paused_functions": sorted(self._daemon.pool.paused)}
        self._function(function)
        self._daemon.pool.pause(function, paused)
        logs.emit(log, logging.INFO, "function.paused" if paused else "function.resumed", function=function)
        still = {"quiet": self._daemon.pool.quiet, "paused_functions": sorted(self._daemon.pool.paused)}
        return {"function": function, "paused": paused, **still}

    def _resize(self, message: Message, _reply: Reply) -> Any:
        function, concurrency = message.get("function"), message.get("concurrency")
        settings = self._function(function)
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or not 1 <= concurrency <= MAX_AT_ONCE:
            raise RefusedError(f"concurrency must be a whole number from 1 to {MAX_AT_ONCE}, got {_shown(concurrency)}")
        functions = tuple(
            dataclasses.replace(one, concurrency=concurrency) if one.name == function else one
            for one in settings.functions
        )
        self._daemon.pool.apply(dataclasses.replace(settings, functions=functions))
        logs.emit(log, logging.INFO, "function.resized", function=function, concurrency=concurrency)
        return {"function": function, "concurrency": concurrency}

    def _kill(self, message: Message, reply: Reply) -> Any:
        handle = message.get("handle")
        if not isinstance(handle, str) or not handle:
            raise RefusedError("which job? handle is missing")

        self._daemon.killing.kill(handle, reply)
        return LATER

    def _recycle(self, message: Message, _reply: Reply) -> Any:
        pid = message.get("worker")
        children: list[Child] = self._daemon.pool.serving()
        if pid is not None:
            children = [child for child in children if child.pid == pid]
            if not children:
                raise RefusedError(f"no worker has the process id {pid!r}")
        self._settings()
        self._daemon.recycler.ask(children, "asked")
        return {"workers": [child.pid for child in children]}

    def _reload(self, _message: Message, reply: Reply) -> Any:
        def done(problems: list[str]) -> None:
            if problems:
                reply({"ok": False, "error": "nothing has changed:\n" + "\n".join(problems)})
            else:
                generation = self._daemon.pool.generation
                reply({"ok": True, "result": {"generation": generation, **report.files(self._daemon)}})

        self._settings()
        self._daemon.reloader.ask(done)
        return LATER

    def _drain(self, _message: Message, _reply: Reply) -> Any:
        self._daemon.stop()
        return {"state": self._daemon.life.value, "in_progress": report.in_progress(self._daemon)}

    def _stop(self, _message: Message, _reply: Reply) -> Any:
        self._daemon.hasten()
        return {"state": self._daemon.life.value, "in_progress": report.in_progress(self._daemon)}

    def _log_level(self, message: Message, _reply: Reply) -> Any:
        level = message.get("level")
        if level not in LEVELS:
            raise RefusedError(f"unknown level {level!r}; one of {', '.join(LEVELS)}")
        settings = self._settings()
        self._daemon.set_log_level(settings, str(level))
        return {"level": level}

    def _settings(self) -> Settings:
        settings = self._daemon.pool.settings
        if settings is None:
            raise RefusedError("the daemon is still starting")
        return settings

    def _function(self, function: Any) -> Settings:
        settings = self._settings()
        names = [one.name for one in settings.functions]
        if function not in names:
            raise RefusedError(f"no function {function!r}; one of {', '.join(names)}")
        return settings


LATER = object()
"""Returned by a request that replies by itself."""
