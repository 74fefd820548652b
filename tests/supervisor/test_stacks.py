from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from gearpool.supervisor.stacks import MAX_WAIT_S, QUIET_S, Stacks
from tests.supervisor.fake_loop import FakeLoop

HEAD = b"Current thread 0x"
REST = b'00007f (most recent call first):\n  File "/site/shop.py", line 3 in <module>\n'
WHOLE = (HEAD + REST).decode().strip()
STEP_S = 0.01


class Dumping:
    """A child whose stacks a test writes."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.stacks = Stacks(self.loop, lambda: self.loop.now)  # type: ignore[arg-type]
        self.signals: list[int] = []
        self.dumps: list[str] = []

    def ask(self) -> None:
        self.stacks.ask(self.signals.append, self.dumps.append)

    def write(self, part: bytes) -> None:
        os.write(self.stacks.fd, part)

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds, STEP_S)


@pytest.fixture
def child() -> Iterator[Dumping]:
    dumping = Dumping()
    yield dumping
    dumping.stacks.close()


def test_a_complete_dump_is_delivered_once(child: Dumping) -> None:
    child.ask()
    assert child.signals == [signal.SIGUSR1]
    child.write(HEAD + REST)
    child.advance(QUIET_S + 0.15)
    assert child.dumps == [WHOLE]
    child.advance(10.0)
    assert len(child.dumps) == 1
    assert child.loop.timers == []


def test_a_slow_child_is_waited_for(child: Dumping) -> None:
    child.ask()
    child.advance(0.9)
    child.write(HEAD)
    child.advance(QUIET_S + 0.15)
    assert child.dumps == []
    child.write(REST)
    child.advance(QUIET_S + 0.15)
    assert child.dumps == [WHOLE]


def test_a_dump_that_still_grows_is_not_complete(child: Dumping) -> None:
    child.ask()
    for number in range(5):
        child.write(b"  line %d\n" % number)
        child.advance(QUIET_S - 0.05)
        assert child.dumps == []
    child.advance(QUIET_S + 0.15)
    assert child.dumps[0].endswith("line 4")


@pytest.mark.parametrize("part", [b"", HEAD])
def test_an_incomplete_dump_is_delivered_at_the_limit(child: Dumping, part: bytes) -> None:
    child.ask()
    child.write(part)
    child.advance(MAX_WAIT_S - 0.1)
    assert child.dumps == []
    child.advance(0.2)
    assert child.dumps == [part.decode()]


def test_earlier_output_is_discarded(child: Dumping) -> None:
    child.write(b"old\n")
    child.ask()
    child.write(HEAD + REST)
    child.advance(QUIET_S + 0.15)
    assert child.dumps == [WHOLE]


def test_concurrent_requests_get_the_same_dump(child: Dumping) -> None:
    child.ask()
    child.write(HEAD)
    child.advance(0.1)
    child.ask()
    child.write(REST)
    child.advance(QUIET_S + 0.15)
    assert (child.dumps, child.signals) == ([WHOLE, WHOLE], [signal.SIGUSR1])


def test_a_pending_request_is_answered_on_close() -> None:
    child = Dumping()
    child.ask()
    child.write(HEAD)
    child.stacks.close()
    child.advance(0.1)
    assert child.dumps == [HEAD.decode()]
    assert child.loop.timers == []


def test_a_callback_may_ask_again(child: Dumping) -> None:
    def again(_stacks: str) -> None:
        child.ask()

    child.stacks.ask(child.signals.append, again)
    child.write(b"first\n")
    child.advance(QUIET_S + 0.15)
    child.write(b"second\n")
    child.advance(QUIET_S + 0.15)
    assert child.dumps == ["second"]
