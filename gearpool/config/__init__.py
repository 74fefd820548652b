"""The configuration: `load` turns files into `gearpool.settings.Settings`, or reports all problems. Floor 3.

`model` is the table of keys; `kinds` and `sections` are what a value may be; `nodes` and `variables` read YAML with
places; `assembling` makes settings of it.
"""

from gearpool.config.loading import ConfigurationProblems, Loaded, Overrides, base_of, in_order, load
from gearpool.config.model import json_schema
from gearpool.config.nodes import Item, Place, Problem

__all__ = [
    "ConfigurationProblems",
    "Item",
    "Loaded",
    "Overrides",
    "Place",
    "Problem",
    "base_of",
    "in_order",
    "json_schema",
    "load",
]
