"""The effective configuration as YAML, each value with where it came from. Floor 3; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from gearpool.config.assembling import KEY_BY_KEY
from gearpool.config.loading import Loaded
from gearpool.config.model import DEFAULTS, FUNCTION, ROOT
from gearpool.config.nodes import Item
from gearpool.config.sections import Key, Section

MASK = '"********"'
_SPECIAL = re.compile(r"[\n,\[\]{}\"']|: |:$| #|^[#&*!|>%@`]")


def show(loaded: Loaded) -> str:
    """Every key that has a value, given or default, as YAML with the origin in a comment; secrets are masked."""
    return "\n".join(_section(ROOT, loaded.item, 0, loaded)) + "\n"


def _section(section: Section, item: Item | None, indent: int, loaded: Loaded) -> Iterator[str]:
    for name, key in section.keys.items():
        value = item.below(name) if item is not None else None
        if name == "functions" and section is ROOT:
            yield "functions:"
            yield from _functions(value, loaded)
        elif name == "defaults" and section is ROOT:
            continue  # they stand with each function
        else:
            yield from _key(name, key, value, indent)


def _functions(item: Item | None, loaded: Loaded) -> Iterator[str]:
    defaults = loaded.item.below("defaults")
    for name, (_, function) in (item.entries if item else {}).items():
        yield f"  {_word(name)}:"
        for key_name, key, value in _keys_of(function, defaults):
            yield from _key(key_name, key, value, 4)


def function_rows(loaded: Loaded, function: str) -> dict[str, tuple[str, str]]:
    """The value and the origin of every key of a function, nested ones as ``retry.attempts``; empty if it is unknown."""
    _, given = loaded.item.entries["functions"][1].entries.get(function, (None, None))
    if given is None:
        return {}
    rows: dict[str, tuple[str, str]] = {}
    defaults = loaded.item.below("defaults")
    for name, key, value in _keys_of(given, defaults):
        _add_rows(rows, name, key, value)
    return rows


def _keys_of(function: Item, defaults: Item | None) -> Iterator[tuple[str, Key, Item | None]]:
    """The keys of a function with what is given for each, by itself or by the defaults."""
    own = function
    if function.tag == "str":
        own = Item(function.place, "map", entries={"handler": (function.place, function)})
    for name, key in FUNCTION.keys.items():
        value = own.below(name)
        default = defaults.below(name) if defaults is not None and name in DEFAULTS.keys else None
        if default is not None:
            value = default if value is None else _laid_over(name, value, default)
        yield name, key, value


def _add_rows(rows: dict[str, tuple[str, str]], name: str, key: Key, item: Item | None) -> None:
    section = key.kind.keys if isinstance(key.kind, Section) else {}
    if section and (item is None or item.tag == "map"):
        for below, inner in section.items():
            value = item.below(below) if item is not None else None
            if value is not None or (inner.default is not None and key.default is None):
                _add_rows(rows, f"{name}.{below}", inner, value)
            elif inner.default is not None and item is not None:
                _add_rows(rows, f"{name}.{below}", inner, None)
        if item is None and key.default is not None:
            rows[name] = key.default, "default"
    elif item is None:
        if key.default is not None:
            rows[name] = key.default, "default"
    else:
        rows[name] = _flow(item), f"{item.place.file}:{item.place.line}"


def _laid_over(name: str, own: Item, default: Item) -> Item:
    """A function's own section over that of the defaults, as `assembling` does it."""
    if name not in KEY_BY_KEY or own.tag != "map" or default.tag != "map":
        return own
    return Item(own.place, "map", entries={**default.entries, **own.entries})


def _key(name: str, key: Key, item: Item | None, indent: int) -> Iterator[str]:
    space = " " * indent
    if item is None and key.default is not None:
        yield f"{space}# {name}: {key.default}  (default)"
    elif isinstance(key.kind, Section) and (item is None or item.tag == "map"):
        # A section that is not given is commented out as a whole, or YAML would read its head as nothing.
        before = f"{space}# " if item is None else space
        yield f"{before}{name}:"
        for below, inner in key.kind.keys.items():
            value = item.below(below) if item is not None else None
            if value is not None:
                yield from _value(below, value, indent + 2, secret=inner.secret)
            elif inner.default is not None:
                yield f"{before}  {'' if item is None else '# '}{below}: {inner.default}  (default)"
    elif item is None:
        return
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
    # What a variable brought in may not stand without quotes.
    bare = item.plain and not _SPECIAL.search(item.text)
    return item.text if bare else json.dumps(item.text, ensure_ascii=False)


def _word(name: str) -> str:
    return name if name.replace("_", "a").replace("-", "a").replace(".", "a").isalnum() else json.dumps(name)
