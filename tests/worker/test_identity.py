"""The client id of a worker's connection."""

from __future__ import annotations

import os
import socket

from gearpool.protocol.names import MAX_CLIENT_ID
from gearpool.worker.identity import identity


def test_the_default_client_id_names_host_process_and_function() -> None:
    assert identity(None, "resize").decode() == f"{socket.gethostname()}-{os.getpid()}-resize"


def test_a_configured_client_id_is_used_for_every_function() -> None:
    assert identity("batch-host", "resize") == identity("batch-host", "echo") == b"batch-host"


def test_bytes_that_would_break_the_admin_protocol_are_replaced_and_long_ids_cut() -> None:
    assert identity("a b\tc\r\nd\0e", "f") == b"a_b_c__d_e"
    assert len(identity("x" * 1000, "f")) <= MAX_CLIENT_ID
