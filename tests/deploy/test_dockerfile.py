from __future__ import annotations

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
    """The image of the shipped Dockerfile, its base image being a bare Debian with that name."""
    buildah = Buildah()
    try:
        buildah.call_it(debian, BASE)
        yield buildah.build(DOCKERFILE, PROJECT, wheels)
    finally:
        buildah.close()


def as_composed() -> dict[str, Any]:
    """As deploy/container/compose.yaml runs it: its tmpfs, "PLACE:OPTION,OPTION" each."""
    service = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())["services"]["gearpool"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    mounts = []
    for entry in service["tmpfs"]:
        place, _, options = entry.partition(":")
        mounts.append(tmpfs(place, *options.split(",")) if options else tmpfs(place))
    return {"mounts": mounts}


def as_a_pod(folder: Path) -> dict[str, Any]:
    """As deploy/kubernetes/gearpool.yaml runs it, volumes as the kubelet makes them for its fsGroup."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "gearpool.yaml").read_text()))
    spec = documents[0]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = []
    for mount in container["volumeMounts"]:
        if "configMap" in volumes[mount["name"]]:
            mounts.append(bound(mount["mountPath"], folder))
        else:
            mounts.append(tmpfs(mount["mountPath"], "mode=2777", f"gid={spec['securityContext']['fsGroup']}"))
    environment = [f"{variable['name']}={variable['value']}" for variable in container["env"]]
    return {"mounts": mounts, "environment": environment, "arguments": container["args"]}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["compose", "kubernetes"])
def test_the_image_serves_read_only_answers_its_health_check_and_stops_cleanly(
    how: str, image: Image, tmp_path: Path
) -> None:
    (tmp_path / "workers.yaml").write_bytes((PROJECT / "config" / "workers.yaml").read_bytes())
    tmp_path.chmod(0o755)
    container = Container(image, **(as_composed() if how == "compose" else as_a_pod(tmp_path)))
    process = container.start()
    try:

        def healthy() -> bool:
            return process.poll() is not None or container.run(*image.health).returncode == 0

        wait_for(healthy, "good health", 60.0)
        assert process.poll() is None, process.communicate()[1].decode()
        assert container.run("id", "-u").stdout.strip() == "10001"
        assert container.run("touch", "/app/x").returncode != 0

        # Healthy is alive: it answers while its job server and workers still start.
        def serves() -> bool:
            return container.run("gearpool", "submit", "reverse", "hello").stdout.strip() == "olleh"

        wait_for(serves, "an answer to a job", 60.0)
        assert container.run("gearpool", "reload").returncode == 0
        container.terminate()
        assert process.wait(30) == 0
    finally:
        container.close()


@pytest.mark.timeout(900)
def test_without_a_place_for_its_socket_the_container_says_what_to_do(image: Image) -> None:
    container = Container(image, [tmpfs("/tmp")])
    process = container.start()
    try:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 73
        assert "Read-only file system" in told.decode()
        assert "in a container with a read-only root: a tmpfs of that user's" in told.decode()
    finally:
        container.close()
