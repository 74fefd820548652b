"""Differences of JSON documents as merge patches (RFC 7396). Floor 3; pure.

In such a patch null removes a key, so a key whose value is null and one that is absent are the same to its reader.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def merge_patch(old: Object, new: Object) -> Object:
    """The patch that makes ``new`` of ``old``. Lists are replaced whole."""
    patch: Object = {}
    for name, value in new.items():
        before = old.get(name)
        if before is value or before == value:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            patch[name] = merge_patch(before, value)
        else:
            patch[name] = value
    for name, before in old.items():
        if name not in new and before is not None:
            patch[name] = None
    return patch
