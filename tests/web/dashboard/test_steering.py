"""What the dashboard changes: each action asks first, needs the token, and shows the daemon's answer."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from gearpool import Client
from tests.processes import wait_for
from tests.web.dashboard.sites import DashboardSite

MOMENT = 20_000


def confirm(page: Page, verb: str, token: str | None = "change") -> None:
    """Press the button of the open dialog."""
    dialog = page.get_by_role("dialog")
    if token is not None:
        dialog.get_by_label("Token").fill(token)
    dialog.get_by_role("button", name=verb, exact=True).click()


def answered(page: Page, text: str) -> None:
    """Wait for the daemon's answer, and close the dialog."""
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text(text, timeout=MOMENT)
    page.get_by_role("dialog").get_by_role("button", name="Close").click()


def test_pause_stops_the_grabs_and_resume_restarts_them(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#function/record")
    page.get_by_role("button", name="Pause…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Pause record on")
    confirm(page, "Pause")
    answered(page, "record is paused.")
    site.submit("record", *[b"held"] * 5)
    with Client(site.server) as client:  # another function's job, submitted later, is run
        assert client.submit_job("block", b"", timeout=30) == b""
    assert site.lines("ran") == []
    badge = page.locator("h2 .badge")
    expect(badge).to_contain_text("paused", timeout=MOMENT)
    page.get_by_role("button", name="Resume…").click()
    confirm(page, "Resume", token=None)  # it is kept for this tab
    answered(page, "Jobs are taken again.")
    wait_for(lambda: len(site.lines("ran")) == 5, "the held jobs")
    expect(badge).to_have_count(0, timeout=MOMENT)


def test_a_wrong_token_changes_nothing_and_is_not_kept(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#function/record")
    page.get_by_role("button", name="Pause…").click()
    confirm(page, "Pause", "guess")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The token is wrong: nothing was changed.", timeout=MOMENT)
    assert site.ask("status")["paused"] == []
    assert page.evaluate("sessionStorage.length") == 0
    confirm(page, "Pause")
    answered(page, "record is paused.")
    assert site.ask("status")["paused"] == ["record"]


def test_without_a_token_in_the_configuration_the_page_says_so(tmp_path: Path, page: Page) -> None:
    site = DashboardSite(tmp_path / "site", "")
    try:
        site.start().until_serving()
        page.goto(f"{site.url}#function/record")
        page.get_by_role("button", name="Pause…").click()
        confirm(page, "Pause", "any")
        expect(page.get_by_role("dialog")).to_contain_text("the configuration has no http.token", timeout=MOMENT)
        assert site.ask("status")["paused"] == []
    finally:
        site.close()


def test_resize(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#function/record")
    page.get_by_role("button", name="Resize…").click()
    page.get_by_label("Jobs at once in one process").fill("3")
    confirm(page, "Resize")
    answered(page, "record now runs 3 jobs at once in each process.")
    workers = len(site.workers())
    expect(page.locator(".figures")).to_contain_text(f"0 of {3 * workers} in flight", timeout=MOMENT)


def test_kill(site: DashboardSite, page: Page) -> None:
    site.submit("steps", b"")
    page.goto(f"{site.url}#running")
    page.get_by_role("button", name="Kill job").click()
    expect(page.get_by_role("dialog")).to_contain_text("This cannot be undone.")
    confirm(page, "Kill")
    answered(page, "told to end")
    expect(page.get_by_text("No job is running.")).to_be_visible(timeout=MOMENT)


def test_recycle_and_reload(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#processes")
    before = set(site.workers())
    pid = min(before)
    page.get_by_role("button", name=f"Recycle worker {pid}").click()
    confirm(page, "Recycle")
    answered(page, "1 process is being replaced.")
    wait_for(lambda: pid not in site.workers() and len(site.workers()) == len(before), "the worker to be replaced")
    expect(page.get_by_role("row").filter(has_text=str(pid))).to_have_count(0, timeout=MOMENT)
    page.get_by_role("button", name="Reload…").click()
    confirm(page, "Reload", token=None)
    answered(page, "Generation 2 is running.")
    assert site.ask("status")["generation"] == 2


def test_a_refused_reload_shows_why_and_changes_nothing(site: DashboardSite, page: Page) -> None:
    site.path.write_text(site.path.read_text() + "nonsense: 1\n")
    page.goto(f"{site.url}#processes")
    page.get_by_role("button", name="Reload…").click()
    confirm(page, "Reload")
    expect(page.get_by_role("dialog")).to_contain_text("nonsense: unknown key", timeout=MOMENT)
    assert site.ask("status")["generation"] == 1


def test_dead_letters_are_retried_and_dropped(site: DashboardSite, page: Page) -> None:
    letters = site.folder / "lost.jsonl"
    site.submit("lost", b"one", b"two", b"three")
    wait_for(lambda: letters.exists() and letters.read_text().count("\n") == 3, "the dead letters")
    page.goto(f"{site.url}#dead-letters")
    kind = page.get_by_text("lost: LookupError")
    kind.click(timeout=MOMENT)
    expect(page.locator(".letters > li")).to_have_count(3)
    page.get_by_role("button", name="Drop", exact=False).filter(has_not_text="all").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("This cannot be undone.")
    confirm(page, "Drop")
    answered(page, "1 dead letter was dropped.")
    expect(page.locator(".letters > li")).to_have_count(2, timeout=MOMENT)
    (site.folder / "mended").touch()
    page.get_by_role("button", name="Retry all").click()
    expect(page.get_by_role("dialog")).to_contain_text(
        "all dead letters of lost whose error begins with “gave up after 2 attempts: LookupError:”"
    )
    confirm(page, "Retry", token=None)
    answered(page, "2 jobs were submitted again.")
    wait_for(lambda: len(site.lines("ran")) == 2, "the jobs")
    expect(page.get_by_text("There are no dead letters.")).to_be_visible(timeout=MOMENT)
    assert [json.loads(line) for line in letters.read_text().splitlines()] == []


def test_pause_all(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#processes")
    page.get_by_role("button", name="Pause all…").click()
    confirm(page, "Pause")
    answered(page, "All functions are paused.")
    site.submit("record", b"x")
    wait_for(lambda: site.ask("status")["jobserver"]["queues"]["record"]["total"] == 1, "the job to be queued")
    assert site.lines("ran") == []
    page.get_by_role("button", name="Resume all…").click()
    confirm(page, "Resume", token=None)
    answered(page, "Jobs are taken again.")
    wait_for(lambda: len(site.lines("ran")) == 1, "the job")


def test_escape_closes_the_dialog_and_nothing_is_sent(site: DashboardSite, page: Page) -> None:
    page.goto(f"{site.url}#function/record")
    page.get_by_role("button", name="Pause…").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Pause…")).to_be_focused()
    assert site.ask("status")["paused"] == []
