"""Stalls from their first notice to their end."""

from __future__ import annotations

import sys
import time

import gevent

from gearpool.figures import Figures, read, size
from gearpool.page import NO_FUNCTION, Activity, Reading
from gearpool.worker.failures import Failures
from gearpool.worker.stalls import Stalls


def test_a_stall_is_counted_at_once_and_measured_when_the_event_loop_runs_again() -> None:
    memory = bytearray(size(1))
    stalls = Stalls(Figures(memory, 0, 1), Failures(), {})
    stalls.began(Reading(7, time.monotonic() - 20.0, 0, Activity.JOB, b"H", b""), None, sys._getframe())
    before = read(memory, 0, 1)
    assert before is not None
    assert (before["functions"][0]["stalls"], before["stall_sequence"], before["stall_sum_s"]) == (1, 7, 0.0)
    assert stalls.take_longest() == 0.0
    gevent.sleep(0)
    after = read(memory, 0, 1)
    assert after is not None
    assert after["stall_buckets"][5] == 1
    assert after["stall_sum_s"] >= 20.0
    assert stalls.take_longest() == after["stall_sum_s"]
    assert stalls.take_longest() == 0.0


def test_a_stall_of_no_job_is_of_no_function() -> None:
    memory = bytearray(size(1))
    stalls = Stalls(Figures(memory, 0, 1), Failures(), {})
    stalls.began(Reading(7, time.monotonic(), NO_FUNCTION, Activity.OTHER, b"", b""), None, sys._getframe())
    figures = read(memory, 0, 1)
    assert figures is not None
    assert figures["other_stalls"] == 1
    gevent.sleep(0)
