from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from unittest.mock import Mock

import pytest

from gearpool import logs
from gearpool.jobs import Job
from gearpool.log_lines import MAX_FIELD
from gearpool.settings import LogSettings
from tests.processes import unmeasured

log = logging.getLogger("gearpool.tests.logs")


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logs.unconfigure()
    root.handlers[:] = handlers
    root.setLevel(level)


def written(kind: str, level: str = "debug") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(LogSettings(level=level, format=kind), stream)  # type: ignore[arg-type] # parametrised words
    return stream


def test_json_line_has_the_fields_in_their_order_and_the_pid() -> None:
    stream = written("json")
    logs.emit(log, logging.INFO, "job.done", "it ran", outcome="complete", shard=7, function="f", handle="H:x:1")
    line = json.loads(stream.getvalue())
    assert list(line) == ["ts", "level", "event", "message", "function", "handle", "outcome", "shard", "pid"]
    assert line["event"] == "job.done"
    assert line["pid"] == os.getpid()


def test_fields_that_are_none_are_left_out() -> None:
    stream = written("json")
    logs.emit(log, logging.INFO, "x", unique=None)
    assert "unique" not in json.loads(stream.getvalue())


@pytest.mark.parametrize("kind", ["text", "json", "logfmt"])
@pytest.mark.parametrize(
    "hostile", ["a\nb", "a\r\nb", "\x1b[31m", "\x85", "\u2028", "\udcff", "\udcfe\ud800", b"\xff\n\x00", 'q"=\\']
)
def test_a_hostile_value_stays_on_one_printable_line(kind: str, hostile: str | bytes) -> None:
    stream = written(kind)
    logs.emit(log, logging.INFO, "x", str(hostile), unique=hostile)
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    text.encode("utf-8")


def test_bytes_that_are_not_utf8_are_shown_as_escapes() -> None:
    stream = written("json")
    logs.emit(log, logging.INFO, "x", unique=b"a\xff")
    assert json.loads(stream.getvalue())["unique"] == "a\\xff"


def test_logfmt_quotes_only_where_it_must() -> None:
    stream = written("logfmt")
    logs.emit(log, logging.INFO, "x", "two words", function="plain", flag=True, empty="")
    assert 'message="two words" function=plain flag=true empty=""' in stream.getvalue()


def test_text_has_no_colour_when_it_is_not_a_terminal() -> None:
    stream = written("text")
    logs.emit(log, logging.ERROR, "x", "bad")
    assert "\x1b" not in stream.getvalue()


def test_auto_is_json_when_it_is_not_a_terminal() -> None:
    stream = written("auto")
    logs.emit(log, logging.INFO, "x")
    assert json.loads(stream.getvalue())["event"] == "x"


def on_a_terminal(**environment: str) -> bytes:
    leader, follower = pty.openpty()
    code = (
        "import logging; from gearpool import logs; from gearpool.settings import LogSettings;"
        "logs.configure(LogSettings()); logs.emit(logging.getLogger(), logging.ERROR, 'x', 'bad')"
    )
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    subprocess.run([sys.executable, "-c", code], stderr=follower, env={**clean, **environment}, check=True)
    os.close(follower)
    try:
        return os.read(leader, 4096)
    finally:
        os.close(leader)


def test_auto_is_coloured_text_on_a_terminal() -> None:
    assert b"\x1b[31m" in on_a_terminal()


def test_no_color_is_respected() -> None:
    line = on_a_terminal(NO_COLOR="1")
    assert b"ERROR" in line
    assert b"\x1b" not in line


def test_a_traceback_is_one_field() -> None:
    stream = written("json")
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        logs.emit(log, logging.ERROR, "job.failed", exc_info=error)
    line = json.loads(stream.getvalue())
    assert line["traceback"].startswith("Traceback")
    assert stream.getvalue().count("\n") == 1


def test_a_record_of_another_library_keeps_its_extra_fields() -> None:
    stream = written("json")
    logging.getLogger("their.library").warning("saw %d", 3, extra={"handle": "H:x:9"})
    line = json.loads(stream.getvalue())
    assert (line["event"], line["message"], line["handle"], line["logger"]) == (
        "log",
        "saw 3",
        "H:x:9",
        "their.library",
    )


def test_arguments_that_do_not_fit_the_message_do_not_raise() -> None:
    stream = written("json")
    log.log(logging.ERROR, "%d and %d", *["one"])
    assert "%d and %d" in json.loads(stream.getvalue())["message"]


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_value_that_cannot_be_shown_spoils_no_other() -> None:
    stream = written("json")
    logs.emit(log, logging.INFO, "x", thing=Hostile(), function="f")
    line = json.loads(stream.getvalue())
    assert (line["function"], line["thing"]) == ("f", "<Hostile that cannot be shown: RuntimeError>")


WHAT_APPLICATIONS_DO = {
    "dictConfig": "logging.config.dictConfig({'version': 1})",
    "dictConfig with a root handler": (
        "logging.config.dictConfig({'version': 1, 'handlers': {'h': {'class': 'logging.NullHandler'}},"
        " 'root': {'level': 'CRITICAL', 'handlers': ['h']}})"
    ),
    "fileConfig": (
        "logging.config.fileConfig(io.StringIO('[loggers]\\nkeys=root\\n[handlers]\\nkeys=\\n[formatters]\\nkeys=\\n'"
        "'[logger_root]\\nlevel=CRITICAL\\nhandlers=\\n'))"
    ),
    "basicConfig": "logging.basicConfig(force=True, handlers=[logging.NullHandler()], level='CRITICAL')",
    "its own root handlers": "logging.getLogger().handlers[:] = [logging.NullHandler()]",
    "disable": "logging.disable(logging.CRITICAL)",
    "disabled loggers": "logging.getLogger('gearpool').disabled = log.disabled = True",
    "levels": "logging.getLogger('gearpool').setLevel('CRITICAL'); log.setLevel('CRITICAL')",
    "propagate": "logging.getLogger('gearpool').propagate = log.propagate = False",
    "a filter": "log.addFilter(lambda _: False); logging.getLogger().handlers[0].addFilter(lambda _: False)",
    "shutdown": "logging.shutdown()",
    "a logger class": "logging.setLoggerClass(type('Mine', (logging.Logger,), {'handle': lambda *_: None}))",
    "a record factory": "logging.setLogRecordFactory(lambda *_, **__: 1 / 0)",
    "captureWarnings": "logging.captureWarnings(True)",
}


@pytest.mark.parametrize("what", WHAT_APPLICATIONS_DO.values(), ids=WHAT_APPLICATIONS_DO)
def test_whatever_an_application_does_to_logging_events_stay_whole(what: str) -> None:
    code = (
        "import io, logging, logging.config; from gearpool import logs; from gearpool.settings import LogSettings\n"
        "log = logging.getLogger('gearpool.worker')\n"
        f"logs.configure(LogSettings(format='json'))\n{what}\n"
        "try: 1 / 0\n"
        "except ZeroDivisionError as error: logs.emit(log, logging.ERROR, 'x', 'bad', function='f', exc_info=error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = json.loads(done.stderr)
    assert (line["event"], line["message"], line["function"], line["level"]) == ("x", "bad", "f", "error")
    assert line["traceback"].endswith("ZeroDivisionError: division by zero")


def test_the_log_of_a_job_stays_whole_too() -> None:
    stream = written("json")
    logging.getLogger().handlers[:] = [logging.NullHandler()]
    logging.getLogger("gearpool.job").disabled = True
    try:
        Job(Mock(), "f", b"H:x:1", b"u", b"").log.info("half %s", "way", extra={"shard": 7})
    finally:
        logging.getLogger("gearpool.job").disabled = False
    line = json.loads(stream.getvalue())
    assert (line["message"], line["handle"], line["function"], line["shard"]) == ("half way", "H:x:1", "f", 7)


def test_a_reload_leaves_the_applications_handlers_alone() -> None:
    written("json")
    theirs = logging.NullHandler()
    logging.getLogger().handlers[:] = [theirs]
    stream = written("logfmt")
    assert logging.getLogger().handlers == [theirs]
    logs.emit(log, logging.INFO, "x")
    assert "event=x" in stream.getvalue()


def test_a_reload_replaces_our_own_handler() -> None:
    first = written("json")
    second = written("json")
    logging.getLogger("their.library").warning("hello")
    assert first.getvalue() == ""
    assert second.getvalue().count("hello") == 1


def test_in_a_process_of_somebody_elses_an_event_is_a_sentence_with_its_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        logs.emit(log, logging.INFO, "job.failed", "a\nb", function="f", unique=None, name="n", shard=b"7")
    (record,) = caplog.records
    assert record.getMessage() == "a\\nb [job.failed function=f name=n shard=7]"
    assert (getattr(record, "event", ""), getattr(record, "function", "")) == ("job.failed", "f")


def test_a_huge_exception_is_cut_in_the_middle_of_its_traceback() -> None:
    stream = written("json")
    try:
        raise ValueError("y" * 5_000_000 + "the end")
    except ValueError as error:
        logs.emit(log, logging.ERROR, "job.failed", str(error), exc_info=error)
    line = json.loads(stream.getvalue())
    assert all(len(str(each)) <= MAX_FIELD for each in line.values())
    assert line["message"].endswith("... (cut: it has 5000007 characters)")
    assert line["traceback"].startswith("Traceback (most recent call last):")
    assert "characters) ...yyy" in line["traceback"]
    assert line["traceback"].endswith("the end")


def test_text_has_date_and_zone_and_a_traceback_on_lines_that_no_event_can_pass_for() -> None:
    stream = written("text")
    try:
        raise ValueError("a\n2026-01-01 00:00:00.000+00:00 ERROR forged")
    except ValueError as error:
        logs.emit(log, logging.ERROR, "job.failed", "bad", function="f", exc_info=error)
    head, *below = stream.getvalue().rstrip("\n").split("\n")
    assert re.match(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d ERROR   job.failed bad function=f pid=\d+$", head
    )
    assert below[0] == "    Traceback (most recent call last):"
    assert below[-1].startswith("    2026-01-01")
    assert all(line.startswith("    ") for line in below)


def test_a_level_below_the_configured_one_is_not_written() -> None:
    stream = written("json", level="warning")
    logs.emit(log, logging.INFO, "x")
    assert stream.getvalue() == ""


def test_set_level_refuses_an_unknown_word() -> None:
    with pytest.raises(ValueError, match="loud"):
        logs.set_level("loud")


def test_lines_of_several_processes_on_one_pipe_do_not_mix() -> None:
    code = (
        "import logging; from gearpool import logs; from gearpool.settings import LogSettings;"
        "logs.configure(LogSettings(format='json')); log = logging.getLogger()\n"
        "for n in range(300): logs.emit(log, logging.INFO, 'x', 'y' * 3000, n=n)"
    )
    reading, writing = os.pipe()
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=writing) for _ in range(3)]
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as lines:
        count = sum(1 for line in lines if json.loads(line)["event"] == "x")
    for process in processes:
        assert process.wait() == 0
    assert count == 900


def test_importing_logs_loads_no_gevent_and_no_yaml() -> None:
    code = (
        "import sys, gearpool.logs, gearpool.supervisor; assert not {'gevent', 'yaml', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=unmeasured(), check=True)


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_what_was_dropped_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "FULL_MS", 10)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb", buffering=0) as reader:
        logs.configure(LogSettings(format="json"), stream)
        for number in range(200):
            logs.emit(log, logging.INFO, "x", "y" * 3000, n=number)
        logs.emit(log, logging.INFO, "big", **{f"field{number}": "y" * 8000 for number in range(12)})
        text = reader.read(1 << 20)
        logs.emit(log, logging.INFO, "x", n=200)
        text += reader.read(1 << 20)
        lines = [json.loads(line) for line in text.splitlines()]
        kept = [line["n"] for line in lines if line["event"] == "x"]
        assert kept == [*range(len(kept) - 1), 200]
        (notice,) = [line for line in lines if line["event"] == "log.dropped"]
        assert notice["lines"] == 201 - (len(kept) - 1)
        logs.configure(LogSettings(), io.StringIO())
        assert os.get_blocking(writing)


def test_a_long_line_that_was_torn_by_a_full_pipe_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FULL_MS", 10)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb", buffering=0) as reader:
        logs.configure(LogSettings(format="json"), stream)
        logs.emit(log, logging.INFO, "torn", **{f"field{number}": "y" * 8000 for number in range(100)})
        text = reader.read(1 << 20)
        logs.emit(log, logging.INFO, "whole")
        lines = (text + reader.read(1 << 20)).splitlines()
        assert [json.loads(line)["event"] for line in lines[1:]] == ["log.dropped", "whole"]
        logs.configure(LogSettings(), io.StringIO())
