from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from gearpool.errors import ConfigurationError, NoServersAvailable
from gearpool.settings import ControlSettings
from gearpool.supervisor import control_client, paths
from tests.supervisor.conftest import Factory
from tests.supervisor.daemons import plain_settings

STRANGER = 54321


def test_a_daemon_is_found_by_its_configuration_file(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    assert control_client.find(None, str(daemon.path), daemon.environment) == daemon.socket()


def test_a_daemon_with_a_custom_socket_path_is_found_by_its_file(daemons: Factory) -> None:
    daemon = daemons()
    place = daemon.folder / "own.sock"
    daemon.configure(plain_settings(control=ControlSettings(socket=str(place))))
    daemon.start().until_ready()
    found = control_client.find(None, str(daemon.path), daemon.environment)
    assert found != place
    assert control_client.call(found, "ping")["pid"] == control_client.call(place, "ping")["pid"]


def test_the_only_running_daemon_is_found_without_options(daemons: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "SYSTEM", daemons().runtime)  # nobody else's daemons on this machine
    daemon = daemons().start().until_ready()
    environment = {"RUNTIME_DIRECTORY": str(daemon.runtime)}
    assert control_client.find(None, None, environment) == daemon.socket()


def test_several_running_daemons_are_an_error(daemons: Factory) -> None:
    first = daemons().start().until_ready()
    second = daemons(RUNTIME_DIRECTORY=str(first.runtime)).start().until_ready()
    assert second.path != first.path
    with pytest.raises(ConfigurationError, match="several"):
        control_client.find(None, None, {"RUNTIME_DIRECTORY": str(first.runtime)})


def test_asking_a_daemon_that_does_not_run_says_so(daemons: Factory) -> None:
    with pytest.raises(NoServersAvailable):
        control_client.call(daemons().socket(), "ping")


def test_a_daemon_is_found_by_another_name_of_its_file(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    (daemon.folder / "link").symlink_to(daemon.folder)
    assert (
        control_client.find(None, str(daemon.folder / "link" / "workers.yaml"), daemon.environment) == daemon.socket()
    )


def test_running_daemons_of_other_files_are_named_in_the_error(daemons: Factory) -> None:
    daemon = daemons().start().until_ready()
    other = daemon.folder / "other.yaml"
    other.touch()
    with pytest.raises(control_client.NoDaemonError, match=f"runs {daemon.path}"):
        control_client.find(None, str(other), daemon.environment)


@contextlib.contextmanager
def as_user(number: int, *groups: int) -> Iterator[None]:
    """With another user's rights, as far as files are concerned."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
@pytest.mark.parametrize("named", [True, False])
def test_another_user_learns_who_owns_the_daemon_and_how_to_reach_it(
    named: bool, daemons: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = daemons().start().until_ready()
    monkeypatch.setattr(paths, "SYSTEM", daemon.runtime)
    with as_user(STRANGER), pytest.raises(control_client.NoDaemonError) as refused:
        control_client.find(None, str(daemon.path) if named else None, {})
    text = str(refused.value)
    assert text.startswith(str(daemon.runtime))
    assert "permission denied: it belongs to root; run the command as that user: sudo -u root" in text
    assert "control: {group: NAME}" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_group_members_have_access_and_others_are_told_of_the_group(
    daemons: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = daemons(plain_settings(control=ControlSettings(group="4711"))).start().until_ready()
    monkeypatch.setattr(paths, "SYSTEM", daemon.runtime)
    with as_user(STRANGER, 4711):
        assert control_client.call(control_client.find(None, None, {}), "ping")["state"] == "running"
    with as_user(STRANGER), pytest.raises(control_client.NoDaemonError, match="as a member of group 4711"):
        control_client.find(None, None, {})
