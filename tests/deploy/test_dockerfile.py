from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import PROJECT
from tests.deploy.container import Buildah, Container, Image, bound, tmpfs
from tests.deploy.documents import DEPLOY
from tests.processes import wait_for

DOCKERFILE = DEPLOY / "container" / "Dockerfile"
BASE = "docker.io/library/python:3.12-slim-bookworm"


@pytest.fixture(scope="module")
def image(debian: Path, wheels: Path) -> Iterator[Image]:
    """The image of the shipped Dockerfile, built on a minimal Debian."""
    buildah = Buildah()
    try:
        buildah.import_image(debian, BASE)
        yield buildah.build(DOCKERFILE, PROJECT, wheels)
    finally:
        buildah.close()


TOKENS = {"GEARPOOL_TOKEN": "one", "GEARPOOL_READ_TOKEN": "two"}


def configured(sample: Path, folder: Path) -> Path:
    """Return a folder with the sample as workers.yaml, on a job server of its own."""
    text, count = re.subn(r"(?m)^servers:.*$", "servers: embedded", sample.read_text())
    assert count == 1
    (folder / "workers.yaml").write_text(text)
    (folder / "workers.yaml").chmod(0o644)
    folder.chmod(0o755)
    return folder


def as_composed(folder: Path) -> dict[str, Any]:
    """Return the container options of deploy/container/compose.yaml."""
    service = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())["services"]["gearpool"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    mounts = []
    for entry in service["tmpfs"]:
        place, _, options = entry.partition(":")
        mounts.append(tmpfs(place, *options.split(",")) if options else tmpfs(place))
    (volume,) = service["volumes"]
    source, target, _ = volume.split(":")
    sample = (DEPLOY / "container" / source).resolve()
    mounts.append(bound(str(Path(target).parent), configured(sample, folder)))
    given = {name: value for name, value in service["environment"].items() if name != "GEARPOOL_SERVERS"} | TOKENS
    return {"mounts": mounts, "environment": [f"{name}={value}" for name, value in given.items()]}


def as_a_pod(folder: Path) -> dict[str, Any]:
    """Return the container options of deploy/kubernetes/gearpool.yaml, with volumes as the kubelet creates them."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "gearpool.yaml").read_text()))
    spec = documents[0]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = []
    for mount in container["volumeMounts"]:
        if "configMap" in volumes[mount["name"]]:
            sample = DEPLOY / "kubernetes" / "workers.yaml"
            mounts.append(bound(mount["mountPath"], configured(sample, folder)))
        else:
            mounts.append(tmpfs(mount["mountPath"], "mode=2777", f"gid={spec['securityContext']['fsGroup']}"))
    given = {one["name"]: one.get("value") or TOKENS[one["name"]] for one in container["env"]}
    environment = [f"{name}={value}" for name, value in given.items()]
    return {"mounts": mounts, "environment": environment, "arguments": container["args"]}


def fetching(url: str) -> list[str]:
    """Return a command that fetches the address; it exits with 0 if the answer is 200."""
    return ["python3", "-c", f"from urllib.request import urlopen; urlopen({url!r}, timeout=4)"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["compose", "kubernetes"])
def test_the_image_serves_read_only_answers_its_health_check_and_stops_cleanly(
    how: str, image: Image, tmp_path: Path
) -> None:
    container = Container(image, **(as_composed(tmp_path) if how == "compose" else as_a_pod(tmp_path)))
    process = container.start()
    try:

        def healthy() -> bool:
            return process.poll() is not None or container.run(*image.health).returncode == 0

        wait_for(healthy, "good health", 60.0)
        assert process.poll() is None, process.communicate()[1].decode()
        assert container.run("id", "-u").stdout.strip() == "10001"
        assert container.run("touch", "/app/x").returncode != 0

        # The health check passes while the job server and workers are still starting.
        def serves() -> bool:
            return container.run("gearpool", "submit", "reverse", "hello").stdout.strip() == "olleh"

        wait_for(serves, "an answer to a job", 60.0)

        def is_ready() -> bool:
            return container.run(*fetching("http://127.0.0.1:8730/readyz")).returncode == 0

        wait_for(is_ready, "readiness over HTTP", 60.0)
        for path in ("startupz", "livez"):
            assert container.run(*fetching(f"http://127.0.0.1:8730/{path}")).returncode == 0, path
        assert container.run("gearpool", "reload").returncode == 0
        container.terminate()
        assert process.wait(30) == 0
    finally:
        container.close()


@pytest.mark.timeout(900)
def test_the_image_is_also_the_exporter_with_the_health_check_of_the_compose_file(image: Image) -> None:
    service = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())["services"]["exporter"]
    container = Container(image, [tmpfs("/tmp")], arguments=service["command"])
    process = container.start()
    try:
        check = service["healthcheck"]["test"][1:]
        wait_for(lambda: process.poll() is not None or container.run(*check).returncode == 0, "good health", 60.0)
        assert process.poll() is None, process.communicate()[1].decode()
        assert container.run(*fetching("http://127.0.0.1:9418/metrics")).returncode == 0
        container.terminate()
        assert process.wait(30) == 0
    finally:
        container.close()


@pytest.mark.timeout(900)
def test_without_a_writable_folder_for_its_socket_the_container_reports_what_to_do(image: Image) -> None:
    container = Container(image, [tmpfs("/tmp")])
    process = container.start()
    try:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 73
        assert "Read-only file system" in told.decode()
        assert "in a container with a read-only root: a tmpfs owned by that user" in told.decode()
    finally:
        container.close()
