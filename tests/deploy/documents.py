"""The commands of documents, taken as they stand."""

from __future__ import annotations

import re
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"


def commands(heading: str) -> list[str]:
    """The ``sh`` blocks below a heading of deploy/README.md, in their order."""
    text = (DEPLOY / "README.md").read_text()
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"deploy/README.md has no heading {heading}"
    return re.findall(r"^```sh\n(.*?)^```$", found[1], re.MULTILINE | re.DOTALL)
