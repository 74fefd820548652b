from __future__ import annotations

import dataclasses
from pathlib import Path

import gevent
import pytest

from gearpool.dead_letter_file import append
from gearpool.settings import DeadLetterSettings, FunctionSettings
from gearpool.web import letter_counts
from gearpool.web.letter_counts import LetterFiles
from tests.processes import wait_for
from tests.web.sites import plain_settings
from tests.web.test_letter_files import letter


def test_letters_are_counted_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_counts, "EVERY_S", 0.01)
    path = tmp_path / "dead"
    append(path, letter(1))
    function = FunctionSettings(name="f", handler="a.b", dead_letter=DeadLetterSettings(file=str(path)))
    settings = dataclasses.replace(plain_settings(), functions=(function,))
    files = LetterFiles(lambda: settings)
    assert files.paths == [str(path)]

    def counted(expected: int) -> bool:
        files.count_soon()
        gevent.sleep(0.01)
        rows = files.counts["files"]
        return bool(rows) and rows[0]["functions"] == {"f": expected}

    wait_for(lambda: counted(1), "the first letter to be counted")
    append(path, letter(2))
    wait_for(lambda: counted(2), "the second letter to be counted")
