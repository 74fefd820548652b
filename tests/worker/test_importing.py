"""An import in a handler is never interrupted, whatever interrupts the job."""

from __future__ import annotations

import importlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import getcurrent

from gearpool import Client, JobFailed, JobTimeout
from gearpool.jobs import End
from gearpool.worker import snapshots
from gearpool.worker.importing import is_importing
from gearpool.worker.interrupts import is_protected
from gearpool.worker.loading import make_function
from gearpool.worker.run_once import run_once
from tests.processes import wait_for
from tests.worker.serving import Serving, function, serving

_numbers = itertools.count()
"""Python keeps a lock for a module whose import never ended, so each test has its own modules."""

REGISTRY = """
taken = set()
begun = []

def register(name):
    if name in taken:
        raise ValueError(f"duplicated series: {name}")
    taken.add(name)
"""
WAITING = """
import gevent, REGISTRY as lazy_registry
lazy_registry.register("waiting")
lazy_registry.begun.append("waiting")
while not hasattr(lazy_registry, "go_on"):
    gevent.sleep(0.005)
value = b"whole"
"""
LOOKING = """
import sys, REGISTRY
REGISTRY.found = REGISTRY.look(sys._getframe())
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module with which the lazily imported ones register; it refuses a second registration."""
    number = next(_numbers)
    names = [f"lazy_{kind}_{number}" for kind in ("registry", "waiting", "looking")]
    for name, source in zip(names, (REGISTRY, WAITING, LOOKING), strict=True):
        (tmp_path / f"{name}.py").write_text(source.replace("REGISTRY", names[0]))
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module(names[0])
    made.waiting, made.looking = names[1:]  # type: ignore[attr-defined]
    yield made
    for name in names:
        sys.modules.pop(name, None)


def test_an_import_is_detected_in_all_frames_inside_it(registry: Any) -> None:
    registry.look = lambda frame: (is_importing(frame), is_importing(sys._getframe()), is_protected(frame))
    importlib.import_module(registry.looking)
    assert registry.found == (True, True, True)


def test_a_function_defined_by_an_import_may_be_interrupted_when_it_is_called_later(registry: Any) -> None:
    def here() -> FrameType:
        return sys._getframe()

    assert not is_importing(here())
    assert not is_protected(here())
    assert not is_importing(None)


def test_an_import_is_detected_in_a_suspended_greenlet(registry: Any) -> None:
    waiting = gevent.spawn(importlib.import_module, registry.waiting)
    while not registry.begun:
        gevent.sleep(0)
    assert is_importing(waiting.gr_frame)
    registry.go_on = True
    waiting.join()
    assert not is_importing(waiting.gr_frame)


def use(arg: bytes) -> bytes:
    """Import the module called ``arg``."""
    result: bytes = importlib.import_module(arg.decode()).value
    return result


def use_and_wait(arg: bytes) -> bytes:
    use(arg)
    gevent.sleep(60)
    return b"never"


def until_importing(registry: Any) -> None:
    wait_for(lambda: registry.begun, "the import to begin")


def handles(running: Serving) -> list[str]:
    return [row["handle"] for row in running.call(snapshots.jobs)]


def kill_it(running: Serving) -> None:
    (handle,) = handles(running)
    assert running.call(lambda pool: pool.kill(handle))


def let_it_time_out(running: Serving) -> None:
    """Wait until its limit of 50 ms has passed."""
    wait_for(lambda: running.call(lambda pool: bool(pool.limits.deferred)), "its time limit")


@pytest.mark.parametrize("interrupt", [let_it_time_out, kill_it])
def test_an_interrupt_is_deferred_until_the_import_ends(
    registry: Any, server: str, client: Client, interrupt: Callable[[Serving], None]
) -> None:
    timeout_s = 0.05 if interrupt is let_it_time_out else None
    both = [
        function("first", use_and_wait, timeout_s=timeout_s, timeout_grace_s=60.0),
        function("later", use),
    ]
    with serving(both, server) as running:
        future = client.submit("first", registry.waiting)
        until_importing(registry)
        interrupt(running)
        registry.go_on = True
        with pytest.raises(JobFailed):
            future.result(20)
        assert client.submit_job("later", registry.waiting, timeout=20) == b"whole"
        assert running.call(lambda pool: pool.limits.deferred) == {}


@pytest.mark.parametrize("grace_s", [60.0, 0.3])
def test_a_job_that_is_killed_while_its_timeout_is_deferred_is_not_run_again(
    registry: Any, server: str, client: Client, grace_s: float
) -> None:
    lazy = function("lazy", use_and_wait, timeout_s=0.05, timeout_grace_s=grace_s, on_timeout="retry")
    with serving([lazy], server) as running:
        running.pool.abandoned.replace = lambda reason: None
        future = client.submit("lazy", registry.waiting)
        until_importing(registry)
        let_it_time_out(running)
        kill_it(running)
        registry.go_on = grace_s > 1.0
        with pytest.raises(JobFailed):
            future.result(20)
        assert running.outcomes("lazy") == {"failed": 1}
        registry.go_on = True
        wait_for(lambda: getattr(sys.modules.get(registry.waiting), "value", None), "the import to end")


def test_a_handler_that_returns_right_after_its_import_is_complete(registry: Any, server: str, client: Client) -> None:
    with serving([function("lazy", use, timeout_s=0.05, timeout_grace_s=60.0)], server) as running:
        future = client.submit("lazy", registry.waiting)
        until_importing(registry)
        let_it_time_out(running)
        registry.go_on = True
        assert future.result(20) == b"whole"


@pytest.mark.parametrize("killed", [False, True])
def test_an_import_that_outlasts_the_grace_period_is_not_interrupted_but_its_job_is_reported_and_the_process_replaced(
    registry: Any, server: str, client: Client, killed: bool
) -> None:
    reasons: list[str] = []
    lazy = function("lazy", use, timeout_s=None if killed else 0.05, timeout_grace_s=0.1)
    with serving([lazy], server) as running:
        running.pool.abandoned.replace = reasons.append
        future = client.submit("lazy", registry.waiting)
        until_importing(registry)
        if killed:
            kill_it(running)
        with pytest.raises(JobFailed):
            future.result(20)
        assert running.outcomes("lazy") == {"failed" if killed else "timeout": 1}
        assert reasons == ["a handler of lazy cannot be ended"]
        (handle,) = handles(running)
        assert not running.call(lambda pool: pool.kill(handle)), "it was reported"
        registry.go_on = True
        wait_for(lambda: getattr(sys.modules.get(registry.waiting), "value", None), "the import to end")


@pytest.mark.parametrize(("on_drain", "ends"), [("requeue", False), ("fail", True)])
def test_a_drain_does_not_interrupt_an_import_but_hands_back_or_fails_its_job(
    registry: Any, server: str, client: Client, on_drain: Any, ends: bool
) -> None:
    with serving([function("lazy", use, on_drain=on_drain)], server) as running:
        future = client.submit("lazy", registry.waiting)
        until_importing(registry)
        assert not running.stop(0.0)
        if ends:
            with pytest.raises(JobFailed):
                future.result(20)
        else:
            with serving([function("lazy", lambda arg: b"elsewhere")], server):
                assert future.result(20) == b"elsewhere"


@pytest.mark.parametrize("grace", [60.0, 0.05])
def test_run_once_does_not_interrupt_an_import_either(registry: Any, grace: float) -> None:
    function = make_function("lazy", use, timeout=0.02, timeout_grace=grace)
    reporter: Any = SimpleNamespace(server="here")
    if grace > 1.0:
        gevent.spawn_later(0.3, setattr, registry, "go_on", True)
    outcome = run_once(function, reporter, registry.waiting.encode())
    if grace > 1.0:
        assert (outcome.end, outcome.result) == (End.RETURNED, b"whole")
    else:
        assert (outcome.end, type(outcome.error)) == (End.TIMED_OUT, JobTimeout)
        registry.go_on = True
        while not hasattr(sys.modules[registry.waiting], "value"):
            gevent.sleep(0.01)


def test_a_job_whose_handler_ignores_draining_and_is_killed_is_handed_back_and_not_failed(
    server: str, client: Client
) -> None:
    def stubborn(arg: bytes) -> bytes:
        started.append(getcurrent())
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                gevent.sleep(60)
            except Exception:
                raise
            except BaseException as error:
                if isinstance(error, gevent.GreenletExit):
                    raise
        return b""

    started: list[Any] = []
    with serving([function("stubborn", stubborn)], server) as running:
        future = client.submit("stubborn", b"")
        wait_for(lambda: started, "the job to run")
        assert not running.stop(0.0)
        with serving([function("stubborn", lambda arg: b"elsewhere")], server):
            assert future.result(20) == b"elsewhere"
