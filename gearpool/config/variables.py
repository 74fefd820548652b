"""Variables in configuration files: ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``; ``$${`` is a plain ``${``.

Floor 3; pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Environment = Mapping[str, str]

_PATTERN = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class VariableError(ValueError):
    """A variable that is not set, or is no variable."""


def expand(text: str, environment: Environment) -> str:
    """``text`` with its variables replaced. As in a shell, ``:-`` and ``:?`` take an empty variable for an unset one.

    Raises:
        VariableError: one is not set and has no default, or is not written as one.
    """

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        inside = match[1]
        if "${" in inside:
            raise VariableError(f"{match[0]} has a variable inside a variable; that is not possible")
        name = _NAME.match(inside)
        rest = inside[name.end() :] if name is not None else ""
        if name is None or not (rest == "" or rest.startswith((":-", ":?"))):
            raise VariableError(
                f"{match[0]} is not a variable; write ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}"
            )
        found = environment.get(name[0], "")
        if rest.startswith(":-"):
            return found or rest[2:]
        if rest.startswith(":?"):
            if not found:
                raise VariableError(f"the variable {name[0]} is not set: {rest[2:] or 'it is required'}")
            return found
        if name[0] not in environment:
            raise VariableError(f"the variable {name[0]} is not set; set it, or write ${{{name[0]}:-default}}")
        return found

    if "${" in _PATTERN.sub(" ", text):
        raise VariableError("${ without a closing }")
    return _PATTERN.sub(value, text)
