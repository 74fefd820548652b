"""Serves the requests that operators send to the control socket, one method per request. Floor 4.

A request is ``{"do": NAME, …}``; the answer is ``{"ok": true, "result": …}`` or ``{"ok": false, "error": TEXT}``. A
malformed request changes nothing, and one that needs the workers is answered even if they are blocked.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, get_args, get_type_hints

from gearpool import logs
from gearpool.messages import ListJobs, ListStacks, Query
from gearpool.settings import MAX_AT_ONCE, LogSettings, Settings
from gearpool.supervisor.channel import Object
from gearpool.supervisor.child import Child
from gearpool.supervisor.fleet import Fleet
from gearpool.supervisor.killing import Killing
from gearpool.supervisor.recycling import Recycler
from gearpool.supervisor.report import Report
from gearpool.supervisor.worker_queries import WorkerQueries

Reply = Callable[[Object], None]

LEVELS: tuple[str, ...] = get_args(get_type_hints(LogSettings)["level"])

log = logging.getLogger("gearpool.supervisor")


def _shown(value: object) -> str:
    """A value shortened for a message. Python refuses to print a number with thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 100:
        return "a number of more than 30 digits"
    return repr(value)[:40]


class RefusedError(Exception):
    """The request cannot be served; the text is the answer."""


class Operator(Protocol):
    """What the daemon does on behalf of an operator."""

    def set_quiet(self, quiet: bool) -> None:
        """Stop taking jobs in every worker, or take jobs again."""

    def stop(self) -> None:
        """Drain and exit."""

    def stop_now(self) -> None:
        """End the drain now: cut off the jobs that still run."""

    def reload(self, reply: Callable[[list[str]], object]) -> None:
        """Reload the configuration; ``reply(problems)`` is called at the end, with none if it succeeded."""

    def set_log_level(self, settings: Settings, level: Any) -> None:
        """Log ``level`` and above until the next reload."""


class Requests:
    """Serves the requests to one daemon."""

    def __init__(
        self,
        operator: Operator,
        fleet: Fleet,
        report: Report,
        queries: WorkerQueries,
        killing: Killing,
        recycler: Recycler,
    ) -> None:
        self._operator = operator
        self._fleet = fleet
        self._report = report
        self._queries = queries
        self._killing = killing
        self._recycler = recycler
        self._table: dict[str, Callable[[Object, Reply], Any]] = {
            "ping": lambda _message, _reply: self._report.brief(),
            "status": lambda _message, _reply: self._report.status(),
            "jobs": partial(self._ask, ListJobs),
            "stacks": partial(self._ask, ListStacks),
            "failures": lambda _message, _reply: self._report.failures(),
            "pause": partial(self._set_paused, True),
            "resume": partial(self._set_paused, False),
            "resize": self._resize,
            "kill": self._kill,
            "recycle": self._recycle,
            "reload": self._reload,
            "drain": partial(self._stop, self._operator.stop),
            "stop": partial(self._stop, self._operator.stop_now),
            "log-level": self._log_level,
        }

    def serve(self, message: Object, reply: Reply) -> None:
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

    def _ask(self, query: Callable[[int], Query], _message: Object, reply: Reply) -> Any:
        self._queries.ask(query, lambda answers: reply({"ok": True, "result": answers}))
        return LATER

    def _set_paused(self, paused: bool, message: Object, _reply: Reply) -> Any:
        function = message.get("function")
        if function is None:
            self._operator.set_quiet(paused)
            return {"quiet": paused, "paused_functions": sorted(self._fleet.paused)}
        self._function(function)
        self._fleet.pause(function, paused)
        logs.emit(log, logging.INFO, "function.paused" if paused else "function.resumed", function=function)
        still = {"quiet": self._fleet.quiet, "paused_functions": sorted(self._fleet.paused)}
        return {"function": function, "paused": paused, **still}

    def _resize(self, message: Object, _reply: Reply) -> Any:
        function, concurrency = message.get("function"), message.get("concurrency")
        settings = self._function(function)
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or not 1 <= concurrency <= MAX_AT_ONCE:
            raise RefusedError(f"concurrency must be a whole number from 1 to {MAX_AT_ONCE}, got {_shown(concurrency)}")
        functions = tuple(
            dataclasses.replace(one, concurrency=concurrency) if one.name == function else one
            for one in settings.functions
        )
        self._fleet.apply(dataclasses.replace(settings, functions=functions))
        logs.emit(log, logging.INFO, "function.resized", function=function, concurrency=concurrency)
        return {"function": function, "concurrency": concurrency}

    def _kill(self, message: Object, reply: Reply) -> Any:
        handle = message.get("handle")
        if not isinstance(handle, str) or not handle:
            raise RefusedError("the handle of the job to kill is missing")
        self._killing.kill(handle, reply)
        return LATER

    def _recycle(self, message: Object, _reply: Reply) -> Any:
        pid = message.get("worker")
        children: list[Child] = self._fleet.serving()
        if pid is not None:
            children = [child for child in children if child.pid == pid]
            if not children:
                raise RefusedError(f"no worker has the process id {pid!r}")
        self._settings()
        self._recycler.ask(children, "asked")
        return {"workers": [child.pid for child in children]}

    def _reload(self, _message: Object, reply: Reply) -> Any:
        def done(problems: list[str]) -> None:
            if problems:
                reply({"ok": False, "error": "reload failed, nothing has changed:\n" + "\n".join(problems)})
            else:
                generation = self._fleet.generation
                reply({"ok": True, "result": {"generation": generation, **self._report.files}})

        self._settings()
        self._operator.reload(done)
        return LATER

    def _stop(self, stop: Callable[[], None], _message: Object, _reply: Reply) -> Any:
        stop()
        return {"state": self._report.lifecycle.state.value, "in_progress": self._report.in_progress}

    def _log_level(self, message: Object, _reply: Reply) -> Any:
        level = message.get("level")
        if level not in LEVELS:
            raise RefusedError(f"unknown level {level!r}; one of {', '.join(LEVELS)}")
        settings = self._settings()
        self._operator.set_log_level(settings, str(level))
        return {"level": level}

    def _settings(self) -> Settings:
        settings = self._fleet.settings
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
"""Returned by a request that will send its reply itself."""
