"""Every exception class of the package survives what applications do with exceptions."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import gearpool
from gearpool import errors, jobs
from gearpool.errors import GearpoolError, JobException, JobFailed, UsageError
from gearpool.handlers import HandlerError
from gearpool.protocol.packets import PacketType

TREE: dict[type[BaseException], BaseException] = {
    type(error): error
    for error in (
        GearpoolError("text"),
        errors.ConfigurationError("a.yaml:1: one", "a.yaml:2: two"),
        errors.InvalidArgument("text"),
        errors.UsageError("text"),
        errors.ProtocolError("text"),
        errors.LocalProtocolError("text"),
        errors.RemoteProtocolError("text", [(PacketType.NOOP, [])]),
        errors.ServerError("QUEUE_ERROR", "Job queue is full"),
        errors.ConnectFailed("s:1", "refused"),
        errors.NoServersAvailable({"s:1": "refused", "s:2": "no answer"}),
        errors.ConnectionLost("s:1", "closed"),
        errors.SubmitUnknown("s:1", "no answer"),
        errors.TimedOut("text"),
        errors.JobTimedOut("text", "H:1", function="f", server="s:1"),
        errors.JobCancelled("text", handle="H:1", function="f", server="s:1"),
        errors.EventsDropped(3, 1000),
        errors.UndecodableResult("json", "Expecting value", b"\xff"),
        errors.JobError("text", handle="H:1", function="f", server="s:1"),
        errors.JobFailed("text", handle="H:1", function="f", server="s:1"),
        errors.JobException("text", b"why\0\xff", handle="H:1", function="f", server="s:1"),
        jobs.Skip(b"result"),
        jobs.Abort("reason"),
        jobs.Retry(2.5),
        jobs.Interrupt("text"),
        jobs.JobTimeout("text"),
        jobs.Draining("text"),
        jobs.Killed("text"),
    )
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "pickle, the oldest protocol": lambda error: pickle.loads(pickle.dumps(error, 0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def _classes() -> list[type[BaseException]]:
    found: list[type[BaseException]] = []
    for module in pkgutil.walk_packages(gearpool.__path__, "gearpool."):
        if not module.name.endswith("__main__") and not module.name.startswith("gearpool.contrib"):
            members = vars(importlib.import_module(module.name)).values()
            found += [each for each in members if isinstance(each, type) and issubclass(each, BaseException)]
    return sorted(
        {each for each in found if each.__module__.startswith("gearpool")}, key=lambda each: each.__qualname__
    )


def _same(one: BaseException, other: BaseException) -> None:
    assert type(other) is type(one)
    assert str(other) == str(one)
    assert other.args == one.args
    assert other.__dict__ == one.__dict__


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_with_its_text_and_its_attributes(kind: type[BaseException], way: str) -> None:
    error = TREE[kind]
    if isinstance(error, GearpoolError):
        error.add_note("a note")
    _same(error, WAYS[way](error))


def test_no_class_that_users_may_meet_is_missing_here() -> None:
    public = [kind for kind in _classes() if kind.__module__ in ("gearpool.errors", "gearpool.jobs")]
    assert set(public) == set(TREE)


def test_every_other_class_that_derives_from_the_root_inherits_it() -> None:
    for kind in _classes():
        if issubclass(kind, GearpoolError):
            assert kind.__reduce__ is GearpoolError.__reduce__


def test_an_error_of_a_subclass_with_a_constructor_of_its_own_comes_back() -> None:
    error = HandlerError("functions.f.handler: it does not import")
    for way in WAYS.values():
        _same(error, way(error))


@pytest.mark.parametrize("kind", [JobFailed, JobException])
def test_a_copy_can_be_retried_and_what_was_pickled_says_that_it_cannot(kind: type[errors.JobError]) -> None:
    failure = kind("text")
    failure.again = lambda timeout: b"again"
    for way in (copy.copy, copy.deepcopy):
        assert way(failure).retry() == b"again"
    with pytest.raises(UsageError, match="this process"):
        pickle.loads(pickle.dumps(failure)).retry()


def _raise() -> None:
    raise errors.NoServersAvailable({"s:1": "refused"})


def test_a_process_pool_passes_an_error_on() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        with pytest.raises(errors.NoServersAvailable) as raised:
            pool.submit(_raise).result(60)
        assert raised.value.reasons == {"s:1": "refused"}
        assert pool.submit(Path.exists, Path("/")).result(60)  # the pool is not broken
