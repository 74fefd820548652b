from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gearpool.web.merge_patch import merge_patch

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.text("ab", max_size=2)
    | st.lists(st.integers(0, 1), max_size=2),
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=1), inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text("abc", min_size=1, max_size=1), VALUES, max_size=3)


def apply(document: Any, patch: Any) -> Any:
    """As RFC 7396 describes it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply(result.get(name), value)
    return result


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(each) for name, each in value.items() if each is not None}


STEADY = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@STEADY
@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_makes_the_new_document_of_the_old_one(old: Any, new: Any) -> None:
    assert without_nulls(apply(without_nulls(old), merge_patch(old, new))) == without_nulls(new)


@STEADY
@given(DOCUMENTS)
def test_without_a_change_there_is_nothing_in_it(document: Any) -> None:
    assert merge_patch(document, document) == {}
    assert merge_patch(document, dict(document)) == {}


def test_only_what_has_changed_is_in_it() -> None:
    old = {"a": {"b": 1, "c": [1]}, "d": {"e": 1}, "f": 1}
    new = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 1}, "g": 2}
    assert merge_patch(old, new) == {"a": {"c": [1, 2]}, "f": None, "g": 2}
