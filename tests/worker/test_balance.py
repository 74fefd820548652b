"""Slots, grabs and jobs balance to the last one under every sequence of packets and operator's verbs.

The server is the test: it hands a session any bytes, what no honest server would send included, loses the connection at any
moment, and counts by itself what it was asked for and what was reported to it. After each step every count must agree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from gevent.event import AsyncResult, Event
from gevent.hub import get_hub
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from gearpool.jobs import Abort, Job, Killed, Retry, Skip
from gearpool.net.greenlet_streams import let_others_run
from gearpool.protocol.codec import Decoder, response
from gearpool.protocol.packets import REQUEST_MAGIC, PacketType
from gearpool.settings import BreakerSettings, DeadLetterSettings, RetrySettings
from gearpool.worker.functions import Function
from gearpool.worker.patience import Tick
from gearpool.worker.pool import Pool
from gearpool.worker.session import Session
from gearpool.worker.shares import ServerShare
from tests.worker.serving import function

_T = PacketType
TURNS = 8
ENDS = {_T.WORK_COMPLETE, _T.WORK_FAIL, _T.WORK_EXCEPTION}


class Wire:
    """A connection whose other end is the test."""

    def __init__(self) -> None:
        self.kinds: list[PacketType] = []
        self.full = self.broken = False
        self.finished = self.closed = False
        self._decoder = Decoder(REQUEST_MAGIC)
        self._came: list[bytes | OSError] = []
        self._something = Event()
        self._writable: Callable[[], None] | None = None

    def receive(self, most: int) -> bytes:
        while not self.closed:
            if self._came:
                data = self._came.pop(0)
                if isinstance(data, OSError):
                    raise data
                if len(data) > most:
                    self._came.insert(0, data[most:])
                return data[:most]
            self._something.clear()
            self._something.wait()
        return b""

    def send(self, data: bytes | memoryview) -> int:
        if self.broken:
            raise BrokenPipeError("broken")
        taken = min(len(data), 3) if self.full else len(data)
        self.kinds += [kind for kind, _ in self._decoder.feed(bytes(data[:taken]))]
        return taken

    def when_writable(self, call: Callable[[], None]) -> None:
        self._writable = call

    def finish(self) -> None:
        self.finished = True

    def close(self) -> None:
        self.closed = True
        self._something.set()

    def say(self, data: bytes | OSError) -> None:
        self._came.append(data)
        self._something.set()

    def drain(self) -> None:
        self.full = False
        if self._writable is not None:
            call, self._writable = self._writable, None
            call()


class Peer:
    """One connection as its server sees it."""

    def __init__(self, pool: Pool, served: Function, share: ServerShare, number: int) -> None:
        self.wire = Wire()
        self.served = served
        self.share = share
        self.session = Session(pool, served, f"server-{number}", self.wire, share)
        self.answers = self.jobs = 0
        self.lawful = True
        """Whether what was said is what a job server may say; else the session has to end."""

    @property
    def grabs(self) -> int:
        return self.wire.kinds.count(_T.GRAB_JOB_UNIQ) - self.answers

    @property
    def owed(self) -> int:
        """Jobs that were assigned and are not reported."""
        return self.jobs - sum(kind in ENDS for kind in self.wire.kinds)


class Balance(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        retry = RetrySettings(attempts=2, delay_s=0.0, then="dead_letter", max_waiting=1)
        letters = DeadLetterSettings(function="dead")
        common: dict[str, Any] = {"timeout_s": 3600.0, "retry": retry, "dead_letter": letters}
        breaker = BreakerSettings(failures=2, within_s=60.0, pause_s=0.0)
        self.functions = [
            function("plain", self.work, most=4, **common),
            function("one", self.work, most=4, concurrency=1, weight=3.0, **common),
            function("gated", self.work, most=4, breaker=breaker, rate_per_s=1000.0, **common),
        ]
        self.pool = Pool(self.functions, [], concurrency=4)
        self.pool.start()
        self.shares = [ServerShare(alone=False), ServerShare()]
        self.peers: list[Peer] = []
        self.waiting: list[tuple[Job, AsyncResult]] = []
        self.handles = 0

    def work(self, arg: bytes, job: Job) -> bytes:
        """What the payload says."""
        if arg == b"wait":
            answer = AsyncResult()
            self.waiting.append((job, answer))
            try:
                error = answer.get()
            finally:
                self.waiting = [each for each in self.waiting if each[1] is not answer]
            if error is not None:
                raise error
        elif arg == b"talk":
            job.data(b"x" * 10)
        elif arg == b"fail":
            raise ValueError
        elif arg == b"retry":
            raise Retry
        elif arg == b"later":
            raise Retry(delay=3600.0)
        elif arg == b"skip":
            raise Skip
        return arg

    def settle(self) -> None:
        for _ in range(TURNS):
            let_others_run(get_hub())

    def open_peers(self) -> list[Peer]:
        return [peer for peer in self.peers if not peer.session.closed]

    @rule(which=st.integers(0, 2), server=st.integers(0, 1))
    def connect(self, which: int, server: int) -> None:
        if len(self.open_peers()) < 4:
            peer = Peer(self.pool, self.functions[which], self.shares[server], server)
            self.peers.append(peer)
            peer.session.start()
            self.settle()

    @precondition(lambda self: self.open_peers())
    @rule(
        which=st.integers(0, 3),
        words=st.lists(
            st.sampled_from(
                ["quick", "wait", "talk", "fail", "retry", "later", "skip", "foreign"] * 2
                + ["none", "noop", "surplus none", "surplus quick", "unknown", "error", "echo", "created", "option", "junk"]
            ),
            min_size=1, max_size=6,
        ),
        cut=st.integers(0, 200),
    )  # fmt: skip
    def say(self, which: int, words: list[str], cut: int) -> None:
        """Answers to what was asked for as long as there is something, and anything else between them."""
        peers = self.open_peers()
        peer = peers[which % len(peers)]
        data = b""
        grabs = peer.grabs
        surplus = peer.session.asked + 1  # those that are not sent yet included
        for word in words:
            if word in ("quick", "wait", "talk", "fail", "retry", "later", "skip", "foreign", "none"):
                if not grabs:
                    continue
                grabs -= 1
                peer.answers += 1
            if word == "none":
                data += response(_T.NO_JOB)
            elif word == "surplus none":
                data += response(_T.NO_JOB) * surplus
            elif word in ("noop", "echo", "created", "option", "unknown", "error", "junk"):
                data += {
                    "noop": response(_T.NOOP),
                    "echo": response(_T.ECHO_RES, b"x"),
                    "created": response(_T.JOB_CREATED, b"H:dead:1"),
                    "option": response(_T.OPTION_RES, b"x"),
                    "unknown": response(_T.ERROR, b"JOB_NOT_FOUND", b""),
                    "error": response(_T.ERROR, b"QUEUE_ERROR", b""),
                    "junk": b"HTTP/1.1 400 Bad Request",
                }[word]
            else:
                for _ in range(surplus if word == "surplus quick" else 1):
                    self.handles += 1
                    peer.jobs += 1
                    name = b"foreign" if word == "foreign" else peer.served.wire_name
                    data += response(_T.JOB_ASSIGN_UNIQ, b"H:%d" % self.handles, name, b"", word.split()[-1].encode())
            if word in ("surplus none", "surplus quick", "option", "junk"):
                peer.lawful = False
                break
        if not peer.lawful:
            cut = 0  # it must not ask again between the two parts
        for part in (data[:cut], data[cut:]):
            if part:
                peer.wire.say(part)
        self.settle()

    @precondition(lambda self: self.open_peers())
    @rule(
        which=st.integers(0, 3),
        how=st.sampled_from(["end", "reset", "close", "retire", "hand back", "block", "drain", "late", "break"]),
    )
    def happen(self, which: int, how: str) -> None:
        """What may become of a connection at any moment."""
        peers = self.open_peers()
        peer = peers[which % len(peers)]
        session = peer.session
        if how == "end":
            peer.wire.say(b"")
        elif how == "reset":
            peer.wire.say(ConnectionResetError("reset"))
        elif how == "close":
            session.close("closed")
        elif how == "retire":
            session.retire()
        elif how == "block":
            peer.wire.full = True
        elif how == "break":
            peer.wire.broken = True
        elif how == "drain":
            peer.wire.drain()
        elif how == "late":
            session.tick(Tick(1e9, 1.0, 60.0, in_time=False))
        else:
            self.pool.retries.hand_back()
        self.settle()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 3), error=st.sampled_from([None, ValueError(), Abort(), Skip(), Retry(delay=3600.0)]))
    def end_a_job(self, which: int, error: BaseException | None) -> None:
        self.waiting[which % len(self.waiting)][1].set(error)
        self.settle()

    @precondition(lambda self: self.pool.runs)
    @rule(which=st.integers(0, 3), how=st.sampled_from(["kill", "time out", "abandon"]))
    def interrupt(self, which: int, how: str) -> None:
        run = list(self.pool.runs.values())[which % len(self.pool.runs)]
        if how == "kill":
            get_hub().loop.run_callback(run.throw, Killed())
        else:
            get_hub().loop.run_callback(self.pool.limits.time_out, run)
        self.settle()

    @rule(what=st.sampled_from(["quiet", "resume", "pause", "unpause", "less", "more", "retry", "budget"]))
    def operate(self, what: str) -> None:
        """The operator's verbs."""
        pool = self.pool
        if what == "quiet":
            pool.hush()
        elif what == "resume":
            pool.resume()
        elif what == "pause":
            pool.pause("plain")
        elif what == "unpause":
            pool.unpause("plain")
        elif what in ("less", "more"):
            pool.resize("plain", 1 if what == "less" else 4)
        elif what == "budget":
            pool.budget = 2 if pool.budget is None else None
        self.settle()

    @invariant()
    def every_slot_has_a_reason(self) -> None:
        by_function = {served.name: 0 for served in self.functions}
        for peer in self.peers:
            by_function[peer.served.name] += peer.session.asked + peer.session._batch._size
        for run in self.pool.runs.values():
            by_function[run.session.function.name] += not run.abandoned
        for entry in [entry for _, _, entry in self.pool.retries._heap] + list(self.pool.retries._ready):
            by_function[entry.session.function.name] += entry.holds_slot
        letters = self.pool.verdicts.pending
        assert self.pool.slots.used == sum(by_function.values()) + letters
        assert 0 <= self.pool.slots.used <= self.pool.slots.limit
        assert sum(served.slots.used for served in self.functions) == self.pool.slots.used
        if not letters:
            assert {served.name: served.slots.used for served in self.functions} == by_function

    @invariant()
    def server_and_worker_count_alike(self) -> None:
        for peer in self.open_peers():
            if not peer.wire.full:
                assert peer.session.asked == peer.grabs
                assert peer.session.holding + peer.session._batch._size == peer.owed
        for share in self.shares:
            assert share.unanswered == sum(peer.session.asked for peer in self.peers if peer.share is share)

    @invariant()
    def a_session_that_was_lied_to_has_ended(self) -> None:
        assert all(peer.session.closed for peer in self.peers if not peer.lawful)
        assert self.pool.sessions == {peer.session for peer in self.open_peers()}

    @invariant()
    def as_many_wait_as_are_counted(self) -> None:
        assert sum(served.waiting for served in self.functions) == len(self.pool.retries)

    def teardown(self) -> None:
        """When all connections and jobs have ended, nothing is left over."""
        for peer in self.open_peers():
            peer.session.close("over")
        for _, answer in list(self.waiting):
            answer.set(None)
        self.settle()
        assert self.pool.slots.used == 0
        assert not self.pool.runs
        assert not self.pool.slots.hungry
        assert [(served.slots.used, served.waiting) for served in self.functions] == [(0, 0)] * 3
        assert [(share.unanswered, share.waiting) for share in self.shares] == [(0, {})] * 2
        self.pool.close()
        self.settle()


def test_slots_grabs_and_jobs_balance_under_every_sequence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, "gearpool")
    run_state_machine_as_test(
        Balance,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
