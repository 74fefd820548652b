"""Slots, grabs and jobs are balanced after every sequence of packets and operator actions.

The test plays the server: it sends a session any bytes, even those that no correct server would send, breaks the connection
at any moment, and counts the grabs and reports. After each step all counts must agree.
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
from gearpool.worker.pool import WorkerPool
from gearpool.worker.server_timeouts import Tick
from gearpool.worker.session import Session
from gearpool.worker.shares import ServerShare
from tests.worker.serving import function, resize

_T = PacketType
ITERATIONS = 8
ENDS = {_T.WORK_COMPLETE, _T.WORK_FAIL, _T.WORK_EXCEPTION}


class Wire:
    """A connection to the test."""

    def __init__(self) -> None:
        self.kinds: list[PacketType] = []
        self.full = self.broken = False
        self.finished = self.closed = False
        self._decoder = Decoder(REQUEST_MAGIC)
        self._received: list[bytes | OSError] = []
        self._available = Event()
        self._writable: Callable[[], None] | None = None

    def receive(self, max_bytes: int) -> bytes:
        while not self.closed:
            if self._received:
                data = self._received.pop(0)
                if isinstance(data, OSError):
                    raise data
                if len(data) > max_bytes:
                    self._received.insert(0, data[max_bytes:])
                return data[:max_bytes]
            self._available.clear()
            self._available.wait()
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
        self._available.set()

    def send_to_worker(self, data: bytes | OSError) -> None:
        self._received.append(data)
        self._available.set()

    def unblock(self) -> None:
        self.full = False
        if self._writable is not None:
            call, self._writable = self._writable, None
            call()


class Peer:
    """The server's side of one connection."""

    def __init__(self, pool: WorkerPool, served: Function, share: ServerShare, number: int) -> None:
        self.wire = Wire()
        self.served = served
        self.share = share
        self.session = Session(
            pool.engine,
            served,
            f"server-{number}",
            number,
            self.wire,
            share,
            pool.sessions.discard,
        )
        pool.sessions.add(self.session)
        self.answers = self.jobs = 0
        self.valid = True
        """Whether all packets were valid; otherwise the session must end."""

    @property
    def grabs(self) -> int:
        return self.wire.kinds.count(_T.GRAB_JOB_UNIQ) - self.answers

    @property
    def owed(self) -> int:
        """The number of jobs sent and not reported."""
        return self.jobs - sum(kind in ENDS for kind in self.wire.kinds)


class Balance(RuleBasedStateMachine):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        retry = RetrySettings(attempts=2, delay_s=0.0, then="dead_letter", max_waiting=1)
        letters = DeadLetterSettings(function="dead")
        common: dict[str, Any] = {"timeout_s": 3600.0, "retry": retry, "dead_letter": letters}
        breaker = BreakerSettings(failures=2, within_s=60.0, pause_s=0.0)
        self.functions = [
            function("plain", self.work, max_slots=4, **common),
            function("one", self.work, max_slots=4, concurrency=1, weight=3.0, **common),
            function("gated", self.work, max_slots=4, breaker=breaker, rate_per_s=1000.0, **common),
        ]
        self.pool = WorkerPool(self.functions, [], concurrency=4)
        self.pool.start()
        self.shares = [ServerShare(only_server=False), ServerShare()]
        self.peers: list[Peer] = []
        self.waiting: list[tuple[Job, AsyncResult]] = []
        self.handles = 0

    def work(self, arg: bytes, job: Job) -> bytes:
        """Do what the payload says."""
        if arg == b"wait":
            answer = AsyncResult()
            self.waiting.append((job, answer))
            try:
                error = answer.get()
            finally:
                self.waiting = [each for each in self.waiting if each[1] is not answer]
            if error is not None:
                raise error
        elif arg == b"stream":
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
        for _ in range(ITERATIONS):
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
        actions=st.lists(
            st.sampled_from(
                ["quick", "wait", "stream", "fail", "retry", "later", "skip", "foreign"] * 2
                + ["none", "noop", "surplus none", "surplus quick", "unknown", "error", "echo", "created", "option", "junk"]
            ),
            min_size=1, max_size=6,
        ),
        cut=st.integers(0, 200),
    )  # fmt: skip
    def say(self, which: int, actions: list[str], cut: int) -> None:
        """Answer unanswered grabs, and send other packets in between."""
        peers = self.open_peers()
        peer = peers[which % len(peers)]
        data = b""
        grabs = peer.grabs
        surplus = peer.session.grabs.under_way + 1  # including those not sent yet
        for action in actions:
            if action in ("quick", "wait", "stream", "fail", "retry", "later", "skip", "foreign", "none"):
                if not grabs:
                    continue
                grabs -= 1
                peer.answers += 1
            if action == "none":
                data += response(_T.NO_JOB)
            elif action == "surplus none":
                data += response(_T.NO_JOB) * surplus
            elif action in ("noop", "echo", "created", "option", "unknown", "error", "junk"):
                data += {
                    "noop": response(_T.NOOP),
                    "echo": response(_T.ECHO_RES, b"x"),
                    "created": response(_T.JOB_CREATED, b"H:dead:1"),
                    "option": response(_T.OPTION_RES, b"x"),
                    "unknown": response(_T.ERROR, b"JOB_NOT_FOUND", b""),
                    "error": response(_T.ERROR, b"QUEUE_ERROR", b""),
                    "junk": b"HTTP/1.1 400 Bad Request",
                }[action]
            else:
                for _ in range(surplus if action == "surplus quick" else 1):
                    self.handles += 1
                    peer.jobs += 1
                    name = b"foreign" if action == "foreign" else peer.served.wire_name
                    data += response(_T.JOB_ASSIGN_UNIQ, b"H:%d" % self.handles, name, b"", action.split()[-1].encode())
            if action in ("surplus none", "surplus quick", "option", "junk"):
                peer.valid = False
                break
        if not peer.valid:
            cut = 0  # it must not grab again between the two parts
        for part in (data[:cut], data[cut:]):
            if part:
                peer.wire.send_to_worker(part)
        self.settle()

    @precondition(lambda self: self.open_peers())
    @rule(
        which=st.integers(0, 3),
        how=st.sampled_from(
            ["end", "reset", "close", "drain session", "hand back", "block", "unblock", "late", "break"]
        ),
    )
    def happen(self, which: int, how: str) -> None:
        """What may happen to a connection at any moment."""
        peers = self.open_peers()
        peer = peers[which % len(peers)]
        session = peer.session
        if how == "end":
            peer.wire.send_to_worker(b"")
        elif how == "reset":
            peer.wire.send_to_worker(ConnectionResetError("reset"))
        elif how == "close":
            session.close("closed")
        elif how == "drain session":
            session.drain()
        elif how == "block":
            peer.wire.full = True
        elif how == "break":
            peer.wire.broken = True
        elif how == "unblock":
            peer.wire.unblock()
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

    @precondition(lambda self: self.pool.running.runs)
    @rule(which=st.integers(0, 3), how=st.sampled_from(["kill", "time out", "abandon"]))
    def interrupt(self, which: int, how: str) -> None:
        run = list(self.pool.running.runs.values())[which % len(self.pool.running.runs)]
        if how == "kill":
            get_hub().loop.run_callback(run.throw, Killed())
        else:
            get_hub().loop.run_callback(self.pool.limits.time_out, run)
        self.settle()

    @rule(what=st.sampled_from(["quiet", "resume", "pause", "unpause", "less", "more", "retry", "budget"]))
    def operate(self, what: str) -> None:
        """What an operator may do."""
        pool = self.pool
        if what == "quiet":
            pool.quiet()
        elif what == "resume":
            pool.resume()
        elif what == "pause":
            pool.pause("plain")
        elif what == "unpause":
            pool.resume("plain")
        elif what in ("less", "more"):
            resize(pool, "plain", 1 if what == "less" else 4)
        elif what == "budget":
            pool.admission.budget = 2 if pool.admission.budget is None else None
        self.settle()

    @invariant()
    def every_used_slot_is_accounted_for(self) -> None:
        by_function = {served.name: 0 for served in self.functions}
        for peer in self.peers:
            by_function[peer.served.name] += peer.session.grabs.under_way + peer.session.batch.size
        for run in self.pool.running.runs.values():
            by_function[run.replies.function.name] += not run.abandoned
        for entry in self.pool.retries.entries():
            by_function[entry.replies.function.name] += entry.holds_slot
        letters = sum(len(peer.session.replies.acknowledgements) for peer in self.peers)
        assert self.pool.admission.used == sum(by_function.values()) + letters
        assert 0 <= self.pool.admission.used <= self.pool.admission.limit
        assert sum(served.slots.used for served in self.functions) == self.pool.admission.used
        if not letters:
            assert {served.name: served.slots.used for served in self.functions} == by_function

    @invariant()
    def server_and_worker_agree_on_the_counts(self) -> None:
        for peer in self.open_peers():
            if not peer.wire.full:
                assert peer.session.grabs.under_way == peer.grabs
                assert peer.session.replies.unreported + peer.session.batch.size == peer.owed
        for share in self.shares:
            assert share.unanswered == sum(peer.session.grabs.under_way for peer in self.peers if peer.share is share)

    @invariant()
    def a_session_that_received_invalid_packets_has_ended(self) -> None:
        assert all(peer.session.closed for peer in self.peers if not peer.valid)
        assert self.pool.sessions == {peer.session for peer in self.open_peers()}

    @invariant()
    def the_number_of_waiting_jobs_is_counted_correctly(self) -> None:
        assert sum(served.waiting for served in self.functions) == len(self.pool.retries)

    def teardown(self) -> None:
        """When all connections and jobs have ended, nothing is left."""
        for peer in self.open_peers():
            peer.session.close("over")
        for _, answer in list(self.waiting):
            answer.set(None)
        self.settle()
        assert self.pool.admission.used == 0
        assert not self.pool.running.runs
        assert [(served.slots.used, served.waiting) for served in self.functions] == [(0, 0)] * 3
        assert [(share.unanswered, share.waiters) for share in self.shares] == [(0, {})] * 2
        self.pool.close()
        self.settle()


def test_slots_grabs_and_jobs_are_balanced_after_every_sequence_of_events(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, "gearpool")
    run_state_machine_as_test(
        Balance,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
