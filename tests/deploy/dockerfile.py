"""Runs a Dockerfile's steps in bare Debian roots, where no container engine is at hand.

Only what `deploy/container/Dockerfile` uses: FROM … AS, WORKDIR, COPY (--from), RUN, ENV, USER, and the exec forms of
HEALTHCHECK, ENTRYPOINT and CMD. Anything else is an error, so that the file cannot outgrow its test unseen.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Image:
    """One stage: its root, and what the metadata instructions said."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH})
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    stop_signal: str = ""


def instructions(text: str) -> list[tuple[str, str]]:
    """(KEYWORD, the rest) for each, comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = []
    for line in joined.split("\n"):
        word, _, rest = line.strip().partition(" ")
        if word:
            found.append((word.upper(), rest.strip()))
    return found


class Builder:
    """Builds all stages of a Dockerfile from one Debian root."""

    def __init__(self, debian: Path, context: Path, folder: Path, environment: dict[str, str]) -> None:
        self._debian = debian
        self._context = context
        self._folder = folder
        self._build_environment = environment
        self._stages: dict[str, Image] = {}
        self._image: Image | None = None

    def build(self, dockerfile: Path) -> Image:
        """Run every step; the last stage."""
        for word, rest in instructions(dockerfile.read_text()):
            getattr(self, f"_do_{word.lower()}")(rest)
        assert self._image is not None
        return self._image

    def run(self, image: Image, argv: list[str], *, user: str = "0:0") -> subprocess.CompletedProcess[str]:
        """Run a command inside an image."""
        return subprocess.run(inside(image, argv, user=user), capture_output=True, text=True, timeout=300, check=False)

    @property
    def _now(self) -> Image:
        assert self._image is not None, "FROM comes first"
        return self._image

    def _do_from(self, rest: str) -> None:
        _, _, name = rest.partition(" AS ")
        root = self._folder / f"stage{len(self._stages)}"
        subprocess.run(["cp", "-a", "--reflink=auto", str(self._debian), str(root)], check=True)
        self._image = self._stages[name or str(len(self._stages))] = Image(root)

    def _do_workdir(self, rest: str) -> None:
        self._now.folder = rest
        self._at(self._now, rest).mkdir(parents=True, exist_ok=True)

    def _do_copy(self, rest: str) -> None:
        words = shlex.split(rest)
        source = self._context
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).partition("=")[2]].root
        *names, target = words
        place = self._at(self._now, target)
        for name in names:
            found = source / name.lstrip("/")
            if found.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True, ignore=ignore)
            else:
                into = place / found.name if target.endswith("/") or place.is_dir() else place
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _do_run(self, rest: str) -> None:
        image = self._now
        environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in self._build_environment.items())
        script = f"cd {shlex.quote(image.folder)} && export {environment} && {rest}"
        done = self.run(image, ["/bin/sh", "-c", script])
        assert done.returncode == 0, f"RUN {rest}\n{done.stdout}\n{done.stderr}"

    def _do_env(self, rest: str) -> None:
        for word in shlex.split(rest):
            name, _, value = word.partition("=")
            self._now.environment[name] = value

    def _do_user(self, rest: str) -> None:
        self._now.user = rest

    def _do_stopsignal(self, rest: str) -> None:
        self._now.stop_signal = rest

    def _do_healthcheck(self, rest: str) -> None:
        self._now.health = json.loads(rest.partition("CMD ")[2])

    def _do_entrypoint(self, rest: str) -> None:
        self._now.entrypoint = json.loads(rest)

    def _do_cmd(self, rest: str) -> None:
        self._now.command = json.loads(rest)

    def _at(self, image: Image, path: str) -> Path:
        absolute = path if path.startswith("/") else f"{image.folder}/{path}"
        return image.root / absolute.lstrip("/")


def inside(image: Image, argv: list[str], *, user: str) -> list[str]:
    """The command line that runs ``argv`` inside the image as ``user``, with its environment and nothing else."""
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    return [
        "chroot",
        f"--userspec={user}",
        str(image.root),
        "/usr/bin/env",
        "-i",
        "-C",
        image.folder,
        *variables,
        *argv,
    ]
