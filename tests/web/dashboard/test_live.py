"""The dashboard shows what happens as it happens, says when it cannot, and comes back by itself."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.processes import wait_for
from tests.web.dashboard.sites import DashboardSite
from tests.web.proxies import prefix_proxy

MOMENT = 20_000
"""Milliseconds that something may take on a busy machine."""


def test_the_progress_of_a_running_job_moves(site: DashboardSite, page: Page) -> None:
    site.submit("steps", b"")
    page.goto(f"{site.url}#running")
    cell = page.get_by_role("row").filter(has_text="steps").get_by_role("cell").nth(3)
    step = site.folder / "step"
    for done in range(4):
        expect(cell).to_contain_text(f"{done} of 4", timeout=MOMENT)
        with step.open("ab") as file:
            file.write(b"x")
    expect(page.get_by_text("No job is running.")).to_be_visible(timeout=MOMENT)


def test_figures_and_charts_move_without_reload(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#function/record")
    site.submit("record", *[b"x"] * 10)
    expect(page.get_by_text("since the start: 10 complete")).to_be_visible(timeout=MOMENT)
    chart = page.get_by_role("img", name="Jobs a second")
    path = chart.locator("path").first
    # A point is added every ten seconds.
    wait_for(lambda: path.get_attribute("d"), "the first point", 60)
    before, label = path.get_attribute("d"), chart.get_attribute("aria-label")
    site.submit("record", *[b"x"] * 500)
    wait_for(lambda: path.get_attribute("d") != before and chart.get_attribute("aria-label") != label, "the next", 60)
    page.get_by_role("link", name="Functions", exact=True).click()
    spark = page.get_by_role("row").filter(has_text="record").locator("svg path")
    wait_for(lambda: spark.get_attribute("d"), "the small chart", 60)


def test_it_recovers_after_the_daemon_restarts(site: DashboardSite, page: Page) -> None:
    page.goto(site.url)
    page.evaluate("window.isTheSamePage = true")
    live = page.locator("#live")
    expect(live).to_contain_text("live", timeout=MOMENT)
    site.kill()
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("The daemon is away", timeout=MOMENT)
    expect(page.locator("body")).to_have_class("stale")
    site.start()
    expect(live).to_contain_text("live", timeout=MOMENT)
    expect(banner).to_be_hidden(timeout=MOMENT)
    site.until_serving()
    site.submit("record", b"x")
    page.goto(f"{site.url}#function/record")
    expect(page.get_by_text("since the start: 1 complete")).to_be_visible(timeout=MOMENT)
    assert page.evaluate("window.isTheSamePage") is True


def test_it_says_when_the_supervisor_does_not_report(site: DashboardSite, page: Page) -> None:
    page.goto(site.url)
    expect(page.locator("#live")).to_contain_text("live", timeout=MOMENT)
    pid = site.ask("status")["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        expect(page.get_by_role("alert")).to_contain_text("does not report", timeout=MOMENT)
        expect(page.locator("body")).to_have_class("stale")
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(page.get_by_role("alert")).to_be_hidden(timeout=MOMENT)
    expect(page.locator("body")).not_to_have_class("stale")


def test_a_stopped_worker_is_shown_as_blocked_with_the_age_of_its_figures(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#processes")
    pid = site.workers()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        line = page.get_by_role("row").filter(has_text=str(pid))
        expect(line).to_contain_text("figures from", timeout=MOMENT)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_it_polls_behind_a_proxy_that_holds_events_back_below_a_prefix(site: DashboardSite, page: Page) -> None:
    with prefix_proxy(site.port) as address:
        page.goto(f"{address}/")
        expect(page.locator("#live")).to_contain_text("polled", timeout=2 * MOMENT)
        page.goto(f"{address}/#function/record")
        site.submit("record", b"x")
        expect(page.get_by_text("since the start: 1 complete")).to_be_visible(timeout=MOMENT)
        page.get_by_role("button", name="Pause…").click()
        page.get_by_label("Token").fill("change")
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_text("record is paused.")).to_be_visible(timeout=MOMENT)
    assert site.ask("status")["paused"] == ["record"]


def test_nothing_is_shown_without_the_read_token(tmp_path: Path, page: Page) -> None:
    site = DashboardSite(tmp_path / "site", "token: change, read_token: look")
    try:
        site.start().until_serving()
        page.goto(site.url)
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Token").fill("wrong")
        dialog.get_by_role("button", name="Show").click()
        expect(dialog).to_contain_text("refuses the one that was given", timeout=MOMENT)
        assert page.get_by_role("table").count() == 0
        dialog.get_by_label("Token").fill("look")
        dialog.get_by_role("button", name="Show").click()
        expect(page.get_by_role("link", name="record", exact=True)).to_be_visible(timeout=MOMENT)
        page.reload()
        expect(page.get_by_role("link", name="record", exact=True)).to_be_visible(timeout=MOMENT)
        assert page.evaluate("Object.keys(localStorage).length") == 0
    finally:
        site.close()
