from __future__ import annotations

import threading

import gevent
import pytest

from gearpool.web.threads import in_thread


def test_other_greenlets_run_meanwhile() -> None:
    go = threading.Event()
    gevent.spawn(go.set)
    assert in_thread(lambda: go.wait(20) and threading.current_thread()) is not threading.current_thread()


def test_what_is_raised_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="no"):
        in_thread(_fail, "no")
    assert capsys.readouterr().err == ""


def _fail(text: str) -> None:
    raise OSError(text)
