"""500 functions: rows are patched in place, and only the cells that have changed are touched."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.processes import wait_for
from tests.web.dashboard.sites import DashboardSite

COUNT = 500
HAS_CHARTS = "[...document.querySelectorAll('tbody .spark path')].every((path) => path.getAttribute('d'))"
WATCH = """() => {
  window.rows = [...document.querySelectorAll("tbody tr")];
  window.touched = new Set();
  new MutationObserver((records) => {
    for (const record of records) {
      if (record.target.closest?.(".spark")) continue;  // all of them move every ten seconds
      const node = record.target.nodeType === Node.TEXT_NODE ? record.target.parentElement : record.target;
      window.touched.add(node.closest("tr")?.querySelector(".open").textContent ?? node.localName);
    }
  }).observe(document.querySelector("tbody"), { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def test_only_what_changes_is_touched(tmp_path: Path, page: Page) -> None:
    names = "\n".join(f"  f{number:03}: site_handlers.record" for number in range(COUNT))
    site = DashboardSite(tmp_path / "site", functions=f"functions:\n{names}\n")
    try:
        site.start().until_serving()
        page.goto(site.url)
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(COUNT, timeout=60_000)
        in_flight = page.get_by_role("row").filter(has_text="f499").get_by_role("cell").nth(5)
        expect(in_flight).to_contain_text("0 of", timeout=60_000)
        # The small charts get their first point, then each row is as it stays.
        wait_for(lambda: page.evaluate(HAS_CHARTS), "the first point of every chart", 60)
        page.evaluate(WATCH)
        site.submit("f007", b"x")
        expect(rows.nth(7).get_by_role("cell").nth(2)).to_contain_text("ms", timeout=60_000)
        assert page.evaluate("[...window.touched]") == ["f007"]
        assert page.evaluate("window.rows.every((row, at) => row === document.querySelectorAll('tbody tr')[at])")
    finally:
        site.close()
