"""What `check --show` prints."""

from __future__ import annotations

from pathlib import Path

import yaml

from gearpool.config import load
from gearpool.config.showing import show

FILE = """servers: [s:1, {address: t:2, tls: {ca: ca.pem}}]
defaults: {timeout: 9s, retry: {attempts: 7, delay: 2s}}
functions:
  f: {handler: a.b, retry: {attempts: 3}, on_error: {ValueError: skip}}
  g: a.b
http: {token: "${SECRET}"}
worker_id: "${ID}"
"""


def shown(folder: Path) -> str:
    path = folder / "workers.yaml"
    path.write_text(FILE)
    return show(load([path], None, {"SECRET": "hidden", "ID": "x#1,y"}))


def test_it_is_yaml_that_means_the_same_but_for_the_secrets(tmp_path: Path) -> None:
    assert yaml.safe_load(shown(tmp_path)) == {
        "servers": ["s:1", {"address": "t:2", "tls": {"ca": "ca.pem"}}],
        "functions": {
            "f": {
                "handler": "a.b", "timeout": "9s", "retry": {"attempts": 3, "delay": "2s"},
                "on_error": {"ValueError": "skip"},
            },
            "g": {"handler": "a.b", "timeout": "9s", "retry": {"attempts": 7, "delay": "2s"}},
        },
        "http": {"token": "********"},
        "worker_id": "x#1,y",
    }  # fmt: skip


def test_each_value_of_a_function_says_where_it_stands(tmp_path: Path) -> None:
    lines = shown(tmp_path).replace(f"{tmp_path}/", "").splitlines()
    function = lines[lines.index("  f:") + 1 : lines.index("  g:")]
    assert "    timeout: 9s  # workers.yaml:2:21" in function
    assert "      attempts: 3  # workers.yaml:4:39" in function
    assert "      delay: 2s  # workers.yaml:2:53" in function
    assert "      # backoff: 2  (default)" in function
    assert "    # weight: 1  (default)" in function


def test_sections_that_are_not_given_show_their_defaults(tmp_path: Path) -> None:
    assert "# log:\n#   level: info  (default)\n#   format: auto  (default)" in shown(tmp_path)


def test_the_secret_itself_is_nowhere(tmp_path: Path) -> None:
    assert "hidden" not in shown(tmp_path)
