from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gearpool.errors import ConfigurationError
from gearpool.supervisor import paths

SERVICE_USER = 12345


@pytest.fixture
def service_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as an unprivileged service user."""
    monkeypatch.setattr(os, "geteuid", lambda: SERVICE_USER)


def test_a_file_that_is_a_link_keeps_its_socket_when_the_link_changes(tmp_path: Path) -> None:
    file = tmp_path / "workers.yaml"
    file.symlink_to(tmp_path / "one")
    before = paths.socket_name(str(file))
    file.unlink()
    file.symlink_to(tmp_path / "two")
    assert paths.socket_name(str(file)) == before


def test_a_file_below_a_link_keeps_its_socket_when_the_link_changes(tmp_path: Path) -> None:
    link = tmp_path / "current"
    names = []
    for release in ("r1", "r2"):
        (tmp_path / release).mkdir()
        link.unlink(missing_ok=True)
        link.symlink_to(release)
        names.append(paths.socket_name(str(link / "workers.yaml")))
    assert names[0] == names[1]


def test_a_relative_path_keeps_the_symlinks_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r1").mkdir()
    (tmp_path / "current").symlink_to("r1")
    monkeypatch.chdir(tmp_path / "current")
    environment = {"PWD": str(tmp_path / "current")}
    assert paths.absolute("workers.yaml", environment) == str(tmp_path / "current" / "workers.yaml")
    assert paths.absolute("../x/./w.yaml", environment) == str(tmp_path / "x" / "w.yaml")


@pytest.mark.parametrize("stale", ["", "relative", "/", "/nowhere/at/all", "{}/../{}"])
def test_a_wrong_pwd_is_ignored(stale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"PWD": stale.format(tmp_path, tmp_path.name)}
    assert paths.absolute("workers.yaml", environment) == str(tmp_path.resolve() / "workers.yaml")


def test_two_files_of_one_name_have_two_sockets(tmp_path: Path) -> None:
    assert paths.socket_name(str(tmp_path / "a" / "w.yaml")) != paths.socket_name(str(tmp_path / "b" / "w.yaml"))


def test_a_non_ascii_name_has_the_same_socket_in_any_locale() -> None:
    name = "/etc/gearpool/größe.yaml"
    as_latin_1 = os.fsencode(name).decode("latin-1")
    assert paths.socket_name(name).startswith("gr--e-")
    assert paths.socket_name(as_latin_1).isascii()


def test_the_directory_that_the_service_manager_names_comes_first(service_user: None) -> None:
    environment = {"RUNTIME_DIRECTORY": "/run/gearpool:/run/two", "XDG_RUNTIME_DIR": "/run/user/1"}
    assert paths.own_directory(environment) == Path("/run/gearpool")


def test_the_system_directory_is_used_by_the_user_that_owns_it(
    service_user: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid)
    assert paths.own_directory({}) == tmp_path
    monkeypatch.setattr(os, "geteuid", lambda: SERVICE_USER)
    assert paths.own_directory({}) == Path(f"/tmp/gearpool-{SERVICE_USER}")


def test_a_users_runtime_directory_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid or SERVICE_USER)
    if tmp_path.stat().st_uid == 0:
        os.chown(tmp_path, SERVICE_USER, -1)
    assert paths.own_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "gearpool"


@pytest.mark.parametrize("left", ["/proc", "/nowhere"])
def test_a_runtime_directory_of_another_user_is_not_used(left: str, service_user: None) -> None:
    """`su` keeps the previous user's XDG_RUNTIME_DIR; in cron and containers it may not exist."""
    assert paths.own_directory({"XDG_RUNTIME_DIR": left}) == Path(f"/tmp/gearpool-{SERVICE_USER}")


def test_every_user_searches_the_system_directory(service_user: None) -> None:
    assert Path("/run/gearpool") in paths.runtime_directories({"XDG_RUNTIME_DIR": "/run/user/12345"})


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


@pytest.mark.parametrize(("other", "mode"), [(0, 0o750), (1, 0o755)])
def test_a_group_gets_only_the_permissions_it_needs(other: int, mode: int, tmp_path: Path) -> None:
    place = tmp_path / "run"
    place.mkdir(0o700)
    paths.open_to_group(place, place.stat().st_gid + other)
    assert stat.S_IMODE(place.stat().st_mode) == mode


def test_the_directory_that_keeps_a_group_out_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "run").mkdir(parents=True)
    closed.chmod(0o700)
    assert paths.closed_to_group(closed / "run" / "x.sock", closed.stat().st_gid + 1) == closed


def test_a_group_is_known_by_name_or_number() -> None:
    assert paths.group_id("root") == 0
    assert paths.group_id("4711") == 4711
    with pytest.raises(ConfigurationError, match="no group nobody-is-in-it"):
        paths.group_id("nobody-is-in-it")
