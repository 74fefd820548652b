"""Containers without a registry and without a daemon: buildah builds an image from a Dockerfile, crun runs it.

A minimal Debian stands in for the base image that the Dockerfile names. An image is run as orchestrators run it: a
read-only root, the image's user, no capabilities, no new privileges, and only the given mounts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import need

START = """
mount --make-rprivate /
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
exec "$CRUN" --cgroup-manager=disabled --root "$STATE" run --bundle "$BUNDLE" it
"""


@dataclass
class Image:
    """An image's root and its configuration."""

    root: Path
    environment: list[str]
    folder: str
    user: str
    argv: list[str]
    health: list[str]


class Buildah:
    """Builds images in a temporary storage."""

    def __init__(self) -> None:
        self._program = need("buildah")
        self._place = Path(tempfile.mkdtemp(prefix="buildah-"))

    def close(self) -> None:
        """Remove the storage."""
        self._run("rm", "--all")
        shutil.rmtree(self._place, ignore_errors=True)

    def import_image(self, debian: Path, name: str) -> None:
        """Import a folder that contains a root file system as the image ``name``."""
        container = self._run("from", "scratch")
        mounted = self._run("mount", container)
        subprocess.run(["cp", "-a", f"{debian}/.", mounted], check=True)
        self._run("umount", container)
        self._run("commit", "--quiet", "--rm", container, name)

    def build(self, dockerfile: Path, context: Path, wheels: Path) -> Image:
        """Build a Dockerfile; its pip finds packages in ``wheels`` only."""
        pip = self._place / "pip.conf"
        pip.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        options = ["--format=docker", "--pull-never", "--isolation=chroot"]
        volumes = [f"--volume={wheels}:/wheels:ro", f"--volume={pip}:/etc/pip.conf:ro"]
        self._run("bud", *options, *volumes, f"--file={dockerfile}", "--tag=built", str(context))
        found: dict[str, Any] = json.loads(self._run("inspect", "--type=image", "built"))["Docker"]["config"]
        return Image(
            root=Path(self._run("mount", self._run("from", "--pull-never", "built"))),
            environment=found["Env"],
            folder=found["WorkingDir"],
            user=found["User"],
            argv=[*found["Entrypoint"], *found["Cmd"]],
            health=found["Healthcheck"]["Test"][1:],
        )

    def _run(self, *argv: str) -> str:
        places = [f"--root={self._place / 'root'}", f"--runroot={self._place / 'run'}", "--storage-driver=overlay"]
        done = subprocess.run([self._program, *places, *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {argv}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@dataclass
class Container:
    """One running container, read-only, as the image's user; ``mounts`` as the OCI runtime specification has them."""

    image: Image
    mounts: list[dict[str, Any]]
    environment: Sequence[str] = ()
    arguments: Sequence[str] = ()
    _place: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="crun-")))

    def start(self) -> subprocess.Popen[bytes]:
        """Start the container; its standard error is that of the returned process."""
        subprocess.run([need("crun"), "spec"], cwd=self._place, check=True)
        file = self._place / "config.json"
        spec = json.loads(file.read_text())
        user, _, group = self.image.user.partition(":")
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": int(user), "gid": int(group)},
            "args": [self.image.argv[0], *self.arguments] if self.arguments else self.image.argv,
            "env": [*self.image.environment, *self.environment],
            "cwd": self.image.folder,
            "capabilities": {},
            "noNewPrivileges": True,
        }
        spec["root"] = {"path": str(self.image.root), "readonly": True}
        usual = [mount for mount in spec["mounts"] if mount["type"] not in {"cgroup", "sysfs"}]
        spec["mounts"] = [*usual, *self.mounts]
        # It shares our network namespace, which has only loopback.
        spec["linux"] = {"namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount")]}
        file.write_text(json.dumps(spec))
        variables = {"CRUN": need("crun"), "STATE": str(self._place / "state"), "BUNDLE": str(self._place)}
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--fork", "--kill-child", "/bin/sh", "-c", START],
            stderr=subprocess.PIPE, env={**os.environ, **variables},
        )  # fmt: skip
        return self.process

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the image's user."""
        return self._crun("exec", f"--user={self.image.user}", "it", *argv)

    def terminate(self) -> None:
        """Send SIGTERM to the container's first process."""
        self._crun("kill", "it", "TERM")

    def close(self) -> None:
        """Kill the container and remove its files."""
        if self.process.poll() is None:
            self._crun("kill", "it", "KILL")
            self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def _crun(self, *argv: str) -> subprocess.CompletedProcess[str]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children:
            return subprocess.CompletedProcess(argv, 255, "", "it does not run")
        enter = ["nsenter", f"--target={children[0]}", "--mount", "--net"]
        crun = [need("crun"), "--cgroup-manager=disabled", f"--root={self._place / 'state'}"]
        return subprocess.run([*enter, *crun, *argv], capture_output=True, text=True, timeout=60, check=False)


def tmpfs(place: str, *options: str) -> dict[str, Any]:
    """Return a tmpfs mount."""
    return {"destination": place, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", *options]}


def bound(place: str, source: Path) -> dict[str, Any]:
    """Return a read-only bind mount of a folder."""
    return {"destination": place, "type": "bind", "source": str(source), "options": ["rbind", "ro"]}
