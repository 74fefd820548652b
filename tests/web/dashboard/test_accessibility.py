"""Screen readers, contrast and small screens: axe-core finds nothing serious in any section."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.processes import missing, wait_for
from tests.web.dashboard.sites import DashboardSite

AXE = Path(__file__).parents[3] / ".peers" / "node_modules" / "axe-core" / "axe.min.js"
MOMENT = 20_000
SECTIONS = ["functions", "function/resize", "processes", "servers", "running", "failures", "stalls", "dead-letters"]


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_section_has_a_serious_fault(site: DashboardSite, browser: Browser, theme: str, width: int) -> None:
    if not AXE.exists():
        missing("axe-core")
    site.submit("resize", b"cat.png")
    site.submit("block", b"")
    site.submit("lost", b"one")
    site.submit("steps", b"")
    wait_for((site.folder / "lost.jsonl").exists, "the dead letter")
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme="dark" if theme == "dark" else "light", bypass_csp=True
    )
    page = context.new_page()
    page.goto(site.url)
    page.add_script_tag(path=AXE)
    problems: dict[str, list[str]] = {}
    for section in SECTIONS:
        page.goto(f"{site.url}#{section}")
        expect(page.locator("main > *")).to_have_count(1, timeout=MOMENT)
        for summary in page.locator("main .groups > li > details > summary").all():
            summary.click()
        wide = page.evaluate("document.documentElement.scrollWidth")
        problems[section] = violations(page) + ([f"is {wide} px wide"] if wide > width else [])
    page.goto(f"{site.url}#function/resize")
    page.get_by_role("button", name="Resize…").click()
    problems["dialog"] = violations(page)
    context.close()
    assert {section: each for section, each in problems.items() if each} == {}
