"""Debian's Chromium without a window, driven by playwright, and a daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.processes import need
from tests.web.dashboard.sites import DashboardSite


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A browser of its own for each test: while playwright runs, no other asyncio loop can run in this process."""
    program = need("chromium")
    with sync_playwright() as playwright:
        # Chromium's sandbox needs rights that root in a container does not have; it only opens our own page.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab. The test fails if the page throws an error."""
    found = browser.new_page(viewport={"width": 1280, "height": 900})
    found.set_default_timeout(20_000)
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    yield found
    assert errors == []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DashboardSite]:
    """A daemon that serves."""
    found = DashboardSite(tmp_path / "site")
    try:
        found.start().until_serving()
        yield found
    finally:
        found.close()
