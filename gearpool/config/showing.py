"""The effective configuration as YAML, each value with where it came from. Floor 3; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator

from gearpool.config.loading import Loaded
from gearpool.config.model import DEFAULTS, FUNCTION, ROOT
from gearpool.config.nodes import Item
from gearpool.config.sections import Key, Section

MASK = "********"


def show(loaded: Loaded) -> str:
    """Every key that has a value, given or default, as YAML with the origin in a comment; secrets are masked."""
    return "\n".join(_section(ROOT, loaded.item, 0, loaded)) + "\n"


def _section(section: Section, item: Item | None, indent: int, loaded: Loaded) -> Iterator[str]:
    for name, key in section.keys.items():
        entry = item.entries.get(name) if item is not None else None
        if name == "functions" and section is ROOT:
            yield "functions:"
            yield from _functions(entry[1] if entry else None, loaded)
        elif name == "defaults" and section is ROOT:
            continue  # they stand with each function
        else:
            yield from _key(name, key, entry[1] if entry else None, indent)


def _functions(item: Item | None, loaded: Loaded) -> Iterator[str]:
    given = loaded.item.entries.get("defaults")
    defaults = given[1] if given else None
    for name, (_, function) in (item.entries if item else {}).items():
        yield f"  {_word(name)}:"
        own = function
        if function.tag == "str":
            own = Item(function.place, "map", entries={"handler": (function.place, function)})
        for key_name, key in FUNCTION.keys.items():
            entry = own.entries.get(key_name)
            if entry is None and defaults is not None and key_name in DEFAULTS.keys:
                entry = defaults.entries.get(key_name)
            yield from _key(key_name, key, entry[1] if entry else None, 4)


def _key(name: str, key: Key, item: Item | None, indent: int) -> Iterator[str]:
    space = " " * indent
    if item is None:
        if key.default is not None:
            yield f"{space}# {name}: {key.default}  (default)"
    elif item.tag == "map":
        yield f"{space}{name}:"
        inner = key.kind.keys if isinstance(key.kind, Section) else {}
        for below, (_, value) in item.entries.items():
            secret = below in inner and inner[below].secret
            yield from _value(below, value, indent + 2, secret=secret)
    else:
        yield from _value(name, item, indent, secret=key.secret)


def _value(name: str, item: Item, indent: int, *, secret: bool) -> Iterator[str]:
    space = " " * indent
    if item.tag == "map":
        yield f"{space}{_word(name)}:"
        for below, (_, value) in item.entries.items():
            yield from _value(below, value, indent + 2, secret=secret)
    elif item.tag == "seq":
        yield f"{space}{_word(name)}:  # {item.place}"
        for each in item.items:
            yield f"{space}  - {_flow(each)}"
    else:
        yield f"{space}{_word(name)}: {MASK if secret else _flow(item)}  # {item.place}"


def _flow(item: Item) -> str:
    if item.tag == "map":
        return "{" + ", ".join(f"{_word(name)}: {_flow(value)}" for name, (_, value) in item.entries.items()) + "}"
    if item.tag == "seq":
        return "[" + ", ".join(_flow(each) for each in item.items) + "]"
    return item.text if item.plain else json.dumps(item.text, ensure_ascii=False)


def _word(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum() else json.dumps(name)
