"""GET /api/settings: the settings of one function, each with where it was given. Floor 3.

The configuration file is read again for that. Has it changed since the last reload, its places are not those of the settings
in effect: then the settings are told without places.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import falcon

from gearpool.errors import GearpoolError
from gearpool.settings import FunctionSettings, Settings
from gearpool.web.guard import respond
from gearpool.web.site import Site
from gearpool.web.threads import in_thread

Rows = dict[str, dict[str, Any]]


class Effective:
    """The settings of a function. There are no secrets among them."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The settings in effect."""
        name = req.get_param("function", required=True)
        settings = self._site.settings
        function = next((each for each in settings.functions if each.name == name), None)
        if function is None:
            raise falcon.HTTPNotFound(description=f"the configuration has no function {name!r}")
        rows = in_thread(_from_the_file, settings, function) or _without_places(function)
        respond(resp, {"function": name, "settings": rows})


def _from_the_file(settings: Settings, function: FunctionSettings) -> Rows | None:
    from gearpool.config import load
    from gearpool.config.showing import function_rows

    try:
        loaded = load([settings.path], None, os.environ)
    except (GearpoolError, OSError):
        return None
    if function not in loaded.settings.functions:
        return None
    return {
        key: {"value": value, "origin": _shown(origin, settings)}
        for key, (value, origin) in function_rows(loaded, function.name).items()
    }


def _shown(origin: str, settings: Settings) -> str:
    """The origin with the path as it is seen from the folder of the configuration."""
    return origin.removeprefix(f"{Path(settings.base)}/")


def _without_places(function: FunctionSettings) -> Rows:
    values = dataclasses.asdict(function)
    del values["name"]
    return {key: {"value": value, "origin": None} for key, value in values.items()}
