"""Commands that need no job server: check, schema, run. Each in a process of its own, for they patch and import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.commands import environment
from tests.processes import Gearmand

HANDLERS = """
import gevent
from gearpool import Skip

print("printed while it is imported")

def reverse(arg):
    return arg[::-1]

def talk(arg, job):
    job.data(b"part,")
    job.warning("careful")
    job.progress(1, 2)
    return b"end"

def fail(arg):
    raise ValueError("bad payload")

def skip(arg):
    raise Skip("enough")

def hang(arg):
    gevent.sleep(60)

def spin(arg):
    while True:
        pass

def pool(arg):
    import multiprocessing
    with multiprocessing.Pool(1) as workers:
        return str(workers.map(abs, [1]))

def leave_a_thread(arg):
    import threading
    threading.Thread(target=gevent.sleep, args=(600,)).start()
    gevent.sleep(600)
"""

FILE = """servers: {server}
functions:
  reverse: {{handler: shop.reverse, timeout: 20s}}
  talk: shop.talk
  fail: shop.fail
  skip: shop.skip
  hang: {{handler: shop.hang, timeout: 100ms}}
  spin: {{handler: shop.spin, timeout: 100ms}}
  pool: {{handler: shop.pool, timeout: 2s, timeout_grace: 100ms}}
  leave_a_thread: {{handler: shop.leave_a_thread, timeout: 100ms, timeout_grace: 100ms}}
  add: {{handler: operator.neg, payload: json}}
http: {{token: hidden}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(HANDLERS)
    (tmp_path / "workers.yaml").write_text(FILE.format(server="127.0.0.1:1"))
    return tmp_path


def gearpool(site: Path, *words: str, data: bytes = b"", code: int = 0) -> tuple[bytes, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gearpool", *words],
        cwd=site, input=data, capture_output=True, timeout=60, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == code, done.stderr.decode()
    return done.stdout, done.stderr.decode()


def test_run_prints_the_result_and_nothing_else_on_stdout(site: Path) -> None:
    out, _ = gearpool(site, "run", "reverse", "hello", "-c", "workers.yaml")
    assert out == b"olleh"


def test_run_reads_the_payload_from_stdin(site: Path) -> None:
    out, _ = gearpool(site, "run", "reverse", "-", "-c", "workers.yaml", data=b"\x00\xff")
    assert out == b"\xff\x00"


def test_run_streams_data_and_shows_warnings_and_progress(site: Path) -> None:
    out, err = gearpool(site, "run", "talk", "-c", "workers.yaml")
    assert out == b"part,end"
    assert "warning: careful" in err
    assert "progress: 1/2" in err


def test_run_of_a_failing_handler_shows_its_traceback_and_exits_1(site: Path) -> None:
    _, err = gearpool(site, "run", "fail", "-c", "workers.yaml", code=1)
    assert 'raise ValueError("bad payload")' in err
    assert "a worker would fail it" in err


def test_run_honours_skip(site: Path) -> None:
    out, _ = gearpool(site, "run", "skip", "-c", "workers.yaml")
    assert out == b"enough"


@pytest.mark.parametrize("function", ["hang", "spin"])
def test_run_keeps_the_time_limit_even_if_the_handler_never_yields(site: Path, function: str) -> None:
    _, err = gearpool(site, "run", function, "-c", "workers.yaml", code=1)
    assert "over its time limit of 0.1 s" in err


def test_run_of_an_unknown_function_names_the_known(site: Path) -> None:
    _, err = gearpool(site, "run", "nope", "-c", "workers.yaml", code=64)
    assert "the file has reverse, talk, fail" in err


def test_run_decodes_and_encodes_as_the_file_says(site: Path) -> None:
    out, _ = gearpool(site, "run", "add", "7", "-c", "workers.yaml")
    assert out == b"-7"


def test_check_warns_and_exits_0_and_with_strict_1(site: Path) -> None:
    _, err = gearpool(site, "check", "-c", "workers.yaml")
    assert "workers.yaml:4:3: functions.talk: has no timeout" in err
    assert "127.0.0.1:1 cannot be reached now" in err
    assert err.splitlines()[-1].startswith("fine, ")
    gearpool(site, "check", "-c", "workers.yaml", "--strict", code=1)


def test_check_asks_the_server_for_its_version(site: Path, gearmand: Gearmand) -> None:
    (site / "workers.yaml").write_text(FILE.format(server=gearmand.address))
    out, _ = gearpool(site, "check", "-c", "workers.yaml", "--json")
    answer = json.loads(out)
    assert list(answer["servers"]) == [gearmand.address]
    assert any("runs gearmand" in warning["message"] for warning in answer["warnings"])


def test_a_handler_that_hangs_where_nothing_can_interrupt_it_is_still_ended(site: Path) -> None:
    _, err = gearpool(site, "run", "pool", "-c", "workers.yaml", code=1)
    assert "it cannot be interrupted; its stacks:" in err
    assert "multiprocessing" in err


def test_what_a_handler_over_its_limit_leaves_behind_does_not_keep_the_command(site: Path) -> None:
    _, err = gearpool(site, "run", "leave_a_thread", "-c", "workers.yaml", code=1)
    assert "over its time limit" in err


def test_check_warns_of_what_does_not_go_with_greenlets(site: Path, gearmand: Gearmand) -> None:
    _, err = gearpool(site, "check", "-c", "workers.yaml", "--offline")
    assert "shop uses multiprocessing.Pool, which hangs in a patched process" in err
    (site / "workers.yaml").write_text((site / "workers.yaml").read_text() + "monkey_patch: false\n")
    _, err = gearpool(site, "check", "-c", "workers.yaml", "--offline")
    assert "multiprocessing" not in err


def test_check_says_all_that_is_wrong_and_exits_78(site: Path) -> None:
    (site / "workers.yaml").write_text(
        "servers: s:1\nfunctions:\n  f: {handler: shop.nope, timeout: 30}\n  g: nowhere.f\n"
    )
    _, err = gearpool(site, "check", "-c", "workers.yaml", code=78)
    assert [line for line in err.splitlines() if line.startswith("workers.yaml")] == [
        "workers.yaml:3:16: functions.f.handler: shop has no 'nope'",
        'workers.yaml:3:36: functions.f.timeout: expected a duration such as "30s", got 30',
        "workers.yaml:4:6: functions.g.handler: there is no module 'nowhere' on import_path or among the installed packages",
    ]


def test_check_writes_annotations(site: Path) -> None:
    (site / "workers.yaml").write_text("servers: s:1\nfunctions:\n  f: {handler: shop.reverse, timeout: 30}\n")
    out, _ = gearpool(site, "check", "-c", "workers.yaml", "--format", "github", code=78)
    assert out.decode() == (
        '::error file=workers.yaml,line=3,col=39::functions.f.timeout: expected a duration such as "30s", got 30\n'
    )


def test_check_shows_every_value_with_its_origin_and_masks_secrets(site: Path) -> None:
    out, _ = gearpool(site, "check", "-c", "workers.yaml", "--show", "--offline", "--concurrency", "7")
    shown = out.decode()
    assert "timeout: 20s  # workers.yaml:3:45" in shown
    assert "concurrency: 7  # --concurrency" in shown
    assert "# drain_timeout: 30s  (default)" in shown
    assert 'token: "********"' in shown
    assert yaml.safe_load(shown)["functions"]["reverse"]["timeout"] == "20s"
    assert "hidden" not in shown


def test_schema_prints_json_schema(site: Path) -> None:
    out, _ = gearpool(site, "schema")
    assert json.loads(out)["required"] == ["servers", "functions"]
    out, _ = gearpool(site, "schema", "--part")
    assert "required" not in json.loads(out)
