"""`gearpool completion`: the scripts in the shells they are for."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gearpool.cli.completion import describe
from gearpool.cli.main import COMMANDS
from tests.cli.commands import gearpool
from tests.processes import need

_TRY = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_gearpool
((${#COMPREPLY[@]})) && printf '%s\\n' "${COMPREPLY[@]}"
complete -p gearpool >&2
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script for each shell, and a few files to complete."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        (folder / f"script.{shell}").write_bytes(gearpool("completion", shell).out)
    (folder / "my workers.yaml").touch()
    (folder / "letters.jsonl").touch()
    return folder


def bash(scripts: Path, *words: str) -> list[str]:
    argv = [need("bash"), "--norc", "-c", _TRY, "bash", str(scripts / "script.bash"), "gearpool", *words]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=scripts, timeout=60, check=True)
    assert done.stderr == "complete -F _gearpool gearpool\n"
    return sorted(done.stdout.splitlines())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_good_in_its_shell(scripts: Path, shell: str) -> None:
    done = subprocess.run(
        [need(shell), "-n", str(scripts / f"script.{shell}")], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_every_command_and_every_option_of_each(scripts: Path) -> None:
    assert bash(scripts, "") == sorted(COMMANDS)
    for command in describe().all():
        names = sorted(name for option in command.options for name in option.names)
        assert "--help" in names
        assert bash(scripts, *command.words, "-") == names


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["subm"], ["submit"]),
        (["admin", ""], [
            "cancel", "create", "drop", "jobs", "maxqueue", "pid", "priority-status", "status", "unique-jobs", "verbose",
            "version", "workers",
        ]),
        (["admin", "canc"], ["cancel"]),
        (["admin", "cancel", "--js"], ["--json"]),
        (["submit", "-p", ""], ["high", "low", "normal"]),
        (["submit", "f", "--priority", "=", "h"], ["high"]),
        (["submit", "f", "--priority", "="], ["high", "low", "normal"]),
        (["submit", "-u", ""], []),
        (["log-level", "d"], ["debug"]),
        (["log-level", "debug", ""], []),
        (["queues", "--watch", "--ea"], ["--each"]),
        (["-c", "m"], ["my workers.yaml"]),
        (["check", "--config", "=", "my"], ["my workers.yaml"]),
        (["-c", "my workers.yaml", ""], []),
        (["-c", "my workers.yaml", "--log-level", "w"], ["warning"]),
        (["dead", "l"], ["list"]),
        (["dead", "--function", "x", "list", "l"], ["letters.jsonl"]),
        (["completion", "z"], ["zsh"]),
    ],
)  # fmt: skip
def test_bash_completes(scripts: Path, words: list[str], completed: list[str]) -> None:
    assert bash(scripts, *words) == completed


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("subm", ["submit"]),
        ("admin canc", ["cancel"]),
        ("admin cancel --js", ["--json"]),
        ("submit -p ", ["high", "low", "normal"]),
        ("submit --priority ", ["high", "low", "normal"]),
        ("submit f --backg", ["--background"]),
        ("log-level d", ["debug"]),
        ("log-level debug ", []),
        ("-c le", ["letters.jsonl"]),
        ("dead li", ["list"]),
        ("dead list le", ["letters.jsonl"]),
        ("completion z", ["zsh"]),
    ],
)
def test_fish_completes(scripts: Path, line: str, completed: list[str]) -> None:
    program = f"source {scripts / 'script.fish'}; complete -C 'gearpool {line}'"
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", program],
        capture_output=True, text=True, cwd=scripts, timeout=60, check=False,
        env={**os.environ, "HOME": str(scripts), "XDG_CONFIG_HOME": str(scripts / "config")},
    )  # fmt: skip
    assert done.stderr == ""
    assert sorted(row.partition("\t")[0] for row in done.stdout.splitlines()) == completed


def test_fish_completes_every_command(scripts: Path) -> None:
    program = f"source {scripts / 'script.fish'}; complete -C 'gearpool '"
    done = subprocess.run([need("fish"), "--no-config", "-c", program], capture_output=True, text=True, check=True)
    assert sorted(row.partition("\t")[0] for row in done.stdout.splitlines()) == sorted(COMMANDS)


class Zsh:
    """zsh at a terminal, where ``gearpool`` is a function that shows its arguments."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def type(self, keys: str, until: bytes) -> bytes:
        """What has come when ``until`` has."""
        os.write(self._descriptor, keys.encode())
        seen, end = b"", time.monotonic() + 30
        while until not in seen:
            assert time.monotonic() < end, seen
            if select.select([self._descriptor], [], [], 1)[0]:
                seen += os.read(self._descriptor, 4096)
        return seen

    def arguments(self, keys: str) -> str:
        """The arguments that ``gearpool`` gets when these keys are typed, tabs too."""
        seen = self.type(f"gearpool {keys}\n", b">>\r\n")
        return seen.partition(b"<<")[2].partition(b">>")[0].decode()


@contextlib.contextmanager
def zsh(scripts: Path) -> Iterator[Zsh]:
    program = need("zsh")
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [program, "-f", "-i"], stdin=terminal, stdout=terminal, stderr=terminal, cwd=scripts, start_new_session=True,
        env={**os.environ, "TERM": "dumb", "PS1": "", "HOME": str(scripts)},
    )  # fmt: skip
    os.close(terminal)
    try:
        shell = Zsh(controller)
        setup = f"autoload -Uz compinit; compinit -u -D; source {scripts / 'script.zsh'}; "
        shell.type(setup + "gearpool() { print -r -- \"<<$*>>\" }; print rea''dy\n", b"ready")
        yield shell
    finally:
        process.kill()
        process.wait(10)
        os.close(controller)


def test_zsh_completes(scripts: Path) -> None:
    with zsh(scripts) as shell:
        assert shell.arguments("subm\t") == "submit"
        assert shell.arguments("admin canc\t") == "admin cancel"
        assert shell.arguments("admin cancel --js\t") == "admin cancel --json"
        assert shell.arguments("submit --prio\thi\t") == "submit --priority=high"
        assert shell.arguments("submit f --backg\t") == "submit f --background"
        assert shell.arguments("log-level de\t") == "log-level debug"
        assert shell.arguments("dead sh\tle\t") == "dead show letters.jsonl"
        assert shell.arguments("-c le\t--log-l\tdeb\t") == "-c letters.jsonl --log-level=debug"


def test_an_unknown_shell_is_wrong_usage() -> None:
    assert "powershell" in gearpool("completion", "powershell", code=64).err
