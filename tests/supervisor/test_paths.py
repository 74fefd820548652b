from __future__ import annotations

from pathlib import Path

import pytest

from gearpool.errors import ConfigurationError
from gearpool.supervisor import paths


def test_the_same_file_by_two_names_has_one_socket(tmp_path: Path) -> None:
    real = tmp_path / "workers.yaml"
    real.touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert paths.socket_name(str(real)) == paths.socket_name(str(tmp_path / "link" / "workers.yaml"))


def test_a_file_that_is_a_link_keeps_its_socket_when_the_link_changes(tmp_path: Path) -> None:
    file = tmp_path / "workers.yaml"
    file.symlink_to(tmp_path / "one")
    before = paths.socket_name(str(file))
    file.unlink()
    file.symlink_to(tmp_path / "two")
    assert paths.socket_name(str(file)) == before


def test_two_files_of_one_name_have_two_sockets(tmp_path: Path) -> None:
    assert paths.socket_name(str(tmp_path / "a" / "w.yaml")) != paths.socket_name(str(tmp_path / "b" / "w.yaml"))


def test_systemds_runtime_directory_comes_first() -> None:
    environment = {"RUNTIME_DIRECTORY": "/run/one:/run/two", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert paths.own_directory(environment) == Path("/run/one")


def test_a_users_runtime_directory_comes_next() -> None:
    assert paths.own_directory({"XDG_RUNTIME_DIR": "/run/user/1"}) == Path("/run/user/1/gearpool")


def test_a_directory_others_may_write_to_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(ConfigurationError, match="cannot write"):
        paths.private_directory(place)


def test_a_link_instead_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigurationError):
        paths.private_directory(tmp_path / "run")
