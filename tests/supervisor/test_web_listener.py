from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from gearpool.supervisor.web_listener import WebListener
from tests.processes import accepts, free_port


def test_tcp_listens_at_once_and_until_it_is_closed() -> None:
    port = free_port()
    listener = WebListener(f"127.0.0.1:{port}")
    assert accepts(port)
    assert len(listener.fds) == 1
    listener.close()
    assert not accepts(port)


def test_a_name_with_two_addresses_gets_a_socket_for_each() -> None:
    port = free_port()
    listener = WebListener(f"localhost:{port}")
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", port, 0, socket.SOCK_STREAM)}
    assert len(listener.fds) == len(addresses)
    listener.close()


def test_an_address_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{port} \(http.listen\): .*another program"):
            WebListener(f"127.0.0.1:{port}")


def test_a_unix_socket_is_for_user_and_group_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "web"
    listener = WebListener(f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "web"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    listener = WebListener(f"unix:{path}")
    with pytest.raises(OSError, match="another program listens there"):
        WebListener(f"unix:{path}")
    assert path.exists()
    listener.close()


def test_a_file_in_its_place_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "web"
    path.write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        WebListener(f"unix:{path}")
    assert path.read_text() == "precious"


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="longer than 107 bytes"):
        WebListener(f"unix:{tmp_path / ('x' * 120)}")


def test_the_socket_of_another_that_took_the_path_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "web"
    listener = WebListener(f"unix:{path}")
    path.unlink()
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(path))
    listener.close()
    assert path.exists()
    other.close()


def test_a_directory_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        WebListener(f"unix:{tmp_path / 'no' / 'web'}")


def test_descriptors_are_not_inherited_by_other_children() -> None:
    listener = WebListener(f"127.0.0.1:{free_port()}")
    assert not any(os.get_inheritable(fd) for fd in listener.fds)
    listener.close()
