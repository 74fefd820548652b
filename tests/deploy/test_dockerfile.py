from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.dockerfile import Builder, Image, inside, instructions
from tests.processes import need, wait_for

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"


def test_the_commands_are_in_exec_form() -> None:
    written = instructions(DOCKERFILE.read_text())
    for word in ("ENTRYPOINT", "CMD"):
        assert next(rest for found, rest in written if found == word).startswith("[")


def test_it_does_not_run_as_root() -> None:
    assert ("USER", "10001:10001") in instructions(DOCKERFILE.read_text())


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare Debian with Python; GEARPOOL_DEBIAN_ROOT names one that is there already."""
    given = os.environ.get("GEARPOOL_DEBIAN_ROOT")
    if given:
        yield Path(given)
        return
    if not os.environ.get("CI"):
        pytest.skip("takes minutes; runs in CI, or with GEARPOOL_DEBIAN_ROOT=FOLDER made by debootstrap")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("debian") / "root"
    packages = "--include=python3,python3-venv,passwd"
    subprocess.run([need("debootstrap"), "--variant=minbase", packages, "bookworm", str(root)], check=True)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def image(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, its packages taken from a folder filled by this machine's pip."""
    folder = tmp_path_factory.mktemp("build")
    wheels = debian / "wheels"
    wheels.mkdir(exist_ok=True)
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    version = ["--python-version", "3.11", "--only-binary=:all:"]
    pip = [sys.executable, "-m", "pip", "download", "-q", *version, "-d", str(wheels)]
    subprocess.run([*pip, *metadata["build-system"]["requires"], *metadata["project"]["dependencies"]], check=True)
    environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    yield Builder(debian, ROOT, folder, environment).build(DOCKERFILE)
    shutil.rmtree(folder)


@pytest.mark.timeout(900)
def test_the_image_serves_answers_its_health_check_and_stops_cleanly(image: Image) -> None:
    for name in ("tmp", "run/gearpool"):
        assert (image.root / name).is_dir()
    assert (image.root / "run" / "gearpool").stat().st_uid == 10001
    root = image.root
    start = shlex.join(inside(image, [*image.entrypoint, *image.command], user=image.user))
    # Its own network, so that the sample's port is free, and its own mounts, so that /proc and the read-only root end
    # with it.
    steps = (
        "ip link set lo up",
        f"mount --bind {root} {root}",
        f"mount -t tmpfs -o uid=10001,gid=10001,mode=0700 tmpfs {root}/run/gearpool",
        f"mount -t tmpfs tmpfs {root}/tmp",
        f"mount -t proc proc {root}/proc",
        f"mount -o remount,ro,bind {root}",
        f"exec {start}",
    )
    script = " && ".join(steps)
    daemon = subprocess.Popen(["unshare", "--net", "--mount", "/bin/sh", "-c", script], stderr=subprocess.PIPE)
    enter = ["nsenter", "--target", str(daemon.pid), "--net", "--mount"]

    def inside_it(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*enter, *inside(image, list(argv), user=image.user)], capture_output=True, text=True, check=False
        )

    try:
        wait_for(lambda: daemon.poll() is not None or inside_it(*image.health).returncode == 0, "good health", 60.0)
        assert daemon.poll() is None, daemon.communicate()[1].decode()

        # Healthy is alive: it answers while its job server and workers still start.
        def serves() -> bool:
            answer = inside_it("gearpool", "submit", "reverse", "hello", "--servers", "127.0.0.1:4730")
            return answer.stdout.strip() == "olleh"

        wait_for(serves, "an answer to a job", 60.0)
        daemon.terminate()
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.communicate()
