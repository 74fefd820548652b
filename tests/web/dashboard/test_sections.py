"""What each section shows, and how a reader finds it: links, search, sorting, keyboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.processes import free_port, wait_for
from tests.web.dashboard.sites import DashboardSite

MOMENT = 20_000
NASTY = "<img src=x onerror=boom()>"


def test_a_failing_function_comes_first_and_its_traceback_can_be_read(site: DashboardSite, page: Page) -> None:
    page.goto(site.url)
    site.submit("resize", b"cat.png")
    expect(page.locator("tbody tr").first).to_contain_text("100 % failed", timeout=MOMENT)
    expect(page.locator("#summary")).to_contain_text("1 function needs a look")
    page.get_by_role("link", name="resize", exact=True).click()
    page.get_by_text("resize: ValueError").click()
    trace = page.get_by_label("Traceback of the last one")
    expect(trace).to_contain_text('raise ValueError("cannot identify image " + arg.decode())')
    expect(trace).to_contain_text("ValueError: cannot identify image cat.png")
    page.get_by_role("navigation").get_by_role("link", name="Failures").click()
    expect(page.get_by_text("resize: ValueError")).to_be_visible()


def test_a_stall_shows_the_line_that_blocked(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#stalls")
    site.submit("block", b"")
    page.get_by_text("site_handlers.py").click(timeout=MOMENT)
    expect(page.get_by_label("Stack of the last one")).to_contain_text("while time.monotonic() < end:")


def test_settings_have_their_origin(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#function/lost")
    line = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="dead_letter.file"))
    expect(line).to_contain_text("lost.jsonl", timeout=MOMENT)
    expect(line).to_contain_text(f"{site.path.name}:")


def test_processes_servers_and_queues(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#processes")
    for pid in site.workers():
        expect(page.get_by_role("row").filter(has_text=str(pid))).to_contain_text("MiB", timeout=MOMENT)
    expect(page.get_by_text("Embedded job server: process")).to_be_visible()
    expect(page.get_by_text("No process was restarted.")).to_be_visible()
    page.goto(f"{site.url}#servers")
    expect(page.get_by_role("table", name="Job servers")).to_contain_text(site.server, timeout=MOMENT)
    expect(page.get_by_role("table", name="Queues")).to_contain_text("record", timeout=MOMENT)


def test_a_server_that_is_down_needs_a_look(tmp_path: Path, page: Page) -> None:
    site = DashboardSite(tmp_path / "site")
    down = f"127.0.0.1:{free_port()}"
    site.path.write_text(site.path.read_text().replace("servers: embedded", f"servers: [embedded, '{down}']"))
    try:
        site.start().until_ready()
        page.goto(f"{site.url}#servers")
        first = page.get_by_role("table", name="Job servers").locator("tbody tr").first
        expect(first).to_contain_text(down, timeout=MOMENT)
        expect(first).to_contain_text("⚠")
    finally:
        site.close()


@pytest.mark.parametrize("name", [NASTY, "__proto__", "constructor", "a/b?c#d&e", "日本 語"])
def test_any_name_is_shown_as_it_is(tmp_path: Path, page: Page, name: str) -> None:
    site = DashboardSite(tmp_path / "site", functions=f"functions: {{'{name}': site_handlers.resize}}\n")
    try:
        site.start().until_serving()
        site.submit(name, NASTY.encode())
        page.goto(site.url)
        link = page.locator("tbody .open")
        expect(link).to_have_text(name, timeout=MOMENT)
        link.click()
        expect(page.locator("h2")).to_contain_text(name)
        page.get_by_text(": ValueError").click(timeout=MOMENT)
        expect(page.locator("pre")).to_contain_text(f"cannot identify image {NASTY}")
        expect(page.get_by_role("row").filter(has_text="site_handlers.resize")).to_have_count(1, timeout=MOMENT)
        assert page.locator("img").count() == 0
    finally:
        site.close()


def test_search_sort_and_keys(site: DashboardSite, page: Page) -> None:
    page.goto(site.url)
    names = page.locator("tbody .open")
    expect(names).to_have_count(5, timeout=MOMENT)
    page.keyboard.press("/")
    page.keyboard.type("re")
    expect(names).to_have_text(["record", "resize"])
    page.keyboard.press("Escape")
    expect(names).to_have_count(5)
    page.keyboard.press("Escape")  # leaves the search
    page.get_by_role("button", name="Function", exact=True).click()
    page.get_by_role("button", name="Function", exact=True).click()
    expect(names).to_have_text(["steps", "resize", "record", "lost", "block"])
    expect(page.get_by_role("columnheader", name="Function")).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(names.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h2")).to_contain_text("steps")
    page.keyboard.press("Escape")
    expect(names).to_have_count(5)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next and previous row")
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    expect(page.get_by_role("table", name="Job servers")).to_be_visible()


def test_a_row_does_not_move_away_under_the_pointer(site: DashboardSite, page: Page) -> None:
    page.goto(site.url)
    last = page.locator("tbody tr").nth(4)
    expect(last).to_contain_text("steps", timeout=MOMENT)
    last.hover()
    site.submit("steps", b"")
    site.submit("resize", b"cat.png")
    failing = page.get_by_role("row").filter(has_text="100 % failed")
    expect(failing).to_have_count(1, timeout=MOMENT)
    expect(last).to_contain_text("steps")
    page.locator("h1").hover()
    expect(page.locator("tbody tr").first).to_contain_text("100 % failed", timeout=MOMENT)


def test_the_theme_is_kept(site: DashboardSite, page: Page) -> None:
    page.goto(site.url)
    for theme in ("light", "dark"):
        page.locator("#theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark != "rgb(255, 255, 255)"


def test_everything_comes_from_the_daemon_and_nothing_is_refused(site: DashboardSite, page: Page) -> None:
    addresses: list[str] = []
    messages: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.goto(site.url)
    sections = ["functions", "processes", "servers", "running", "failures", "stalls", "dead-letters", "unknown"]
    for section in sections:
        page.goto(f"{site.url}#{section}")
        expect(page.locator("main > *")).to_have_count(1, timeout=MOMENT)
    wait_for(lambda: any(url.endswith("api/history") for url in addresses), "the history to be fetched")
    assert [url for url in addresses if not url.startswith(site.url)] == []
    assert messages == []
