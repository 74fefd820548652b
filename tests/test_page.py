from __future__ import annotations

import subprocess
import sys

from gearpool.page import NO_FUNCTION, Activity, Page

WRITER = """
import sys
from gearpool.page import Page
page = Page.attach(int(sys.argv[1]))
for number in range(20000):
    handle = b"%d" % number
    page.write(float(number), number % 1000, 1, handle, handle)
"""


def test_what_one_process_writes_another_reads() -> None:
    page = Page.create()
    try:
        subprocess.run([sys.executable, "-c", WRITER, str(page.fd)], pass_fds=[page.fd], check=True)
        reading = page.read()
        assert (reading.sequence, reading.since, reading.function, reading.activity) == (
            20000,
            19999.0,
            999,
            Activity.JOB,
        )
        assert (reading.handle, reading.unique) == (b"19999", b"19999")
    finally:
        page.close()


def test_a_job_on_the_cpu_is_asked_to_be_killed_by_the_turn_that_shows_it() -> None:
    page = Page.create()
    try:
        assert page.to_kill == 0
        page.write(1.0, 0, Activity.JOB, b"H", b"u")
        shown = page.read().sequence
        page.ask_to_kill(shown)
        assert page.to_kill == shown
        for _ in range(5):
            page.write(2.0, 0, Activity.JOB, b"I", b"v")
        assert page.read().sequence != page.to_kill == shown
    finally:
        page.close()


def test_a_reader_never_gets_a_write_half_done() -> None:
    page = Page.create()
    try:
        with subprocess.Popen([sys.executable, "-c", WRITER, str(page.fd)], pass_fds=[page.fd]) as writer:
            while writer.poll() is None:
                reading = page.read()
                if reading.sequence:
                    assert reading.handle == reading.unique == b"%d" % reading.since
    finally:
        page.close()


def test_long_names_are_cut_and_nothing_else_is_harmed() -> None:
    page = Page.create()
    try:
        page.write(1.0, NO_FUNCTION, Activity.OTHER, b"h" * 200, b"u" * 200)
        reading = page.read()
        assert (reading.handle, reading.unique, reading.function) == (b"h" * 63, b"u" * 63, NO_FUNCTION)
    finally:
        page.close()


def test_the_last_job_is_still_shown_after_the_event_loop_has_gone_on() -> None:
    page = Page.create()
    try:
        assert page.last_job() is None
        page.write(1.0, 7, Activity.JOB, b"H:1", b"u", server=3)
        for number in range(5):
            page.write(2.0 + number, NO_FUNCTION, Activity.HUB, b"", b"")
            page.write(2.5 + number, NO_FUNCTION, Activity.OTHER, b"", b"")
        assert (page.read().sequence, page.read().activity) == (11, Activity.OTHER)
        last = page.last_job()
        assert last is not None
        assert (last.sequence, last.function, last.server, last.handle, last.unique) == (1, 7, 3, b"H:1", b"u")
        page.write(9.0, 8, Activity.LEFT, b"H:2", b"")
        assert page.read() == page.last_job()
    finally:
        page.close()


def test_what_a_copy_of_the_process_does_is_shown_to_nobody() -> None:
    page = Page.create()
    try:
        row = page.jobs.add(1, b"H:1", b"")
        page.write(1.0, 0, Activity.JOB, b"H:1", b"")
        ours = page.memory
        page.detach()
        page.write(2.0, NO_FUNCTION, Activity.HUB, b"", b"")
        page.jobs.remove(row)
        page.memory = ours
        assert page.read().activity is Activity.JOB
    finally:
        page.close()


def test_a_page_that_its_process_has_written_over_shows_what_was_seen_last() -> None:
    page = Page.create()
    try:
        page.write(1.0, 3, Activity.JOB, b"H:1", b"")
        seen = page.read()
        for garbage in (b"\0", b"A", b"\xff"):
            page.memory[:1024] = garbage * 1024
            assert page.read() == seen
            last = page.last_job()
            assert last is None or last.activity in Activity
    finally:
        page.close()
