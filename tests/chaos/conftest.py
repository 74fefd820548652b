from __future__ import annotations

from tests.integration.conftest import sites

__all__ = ["sites"]
