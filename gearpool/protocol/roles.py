"""The meaning of packets for each side: which side may receive which, and which packets report on a job. Floor 0; pure.

Derived from the one table in `packets`, for the three places that interpret packets: the client's session, the worker's
session and the server's core. What each does with a packet is its own; what is no packet for it is decided here.
"""

from __future__ import annotations

import enum

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.packets import TABLE, PacketType


class Role(enum.Enum):
    """A side of a connection."""

    CLIENT = "client"
    WORKER = "worker"
    SERVER = "server"


RECEIVED: dict[Role, frozenset[PacketType]] = {
    Role.CLIENT: frozenset(spec.kind for spec in TABLE if "C" in spec.response),
    Role.WORKER: frozenset(spec.kind for spec in TABLE if "W" in spec.response),
    Role.SERVER: frozenset(spec.kind for spec in TABLE if spec.request),
}
"""The packets that each side may receive."""

ENDS = frozenset({PacketType.WORK_COMPLETE, PacketType.WORK_FAIL, PacketType.WORK_EXCEPTION})
"""The reports after which nothing more comes of a job."""

PROGRESS = frozenset({PacketType.WORK_DATA, PacketType.WORK_WARNING, PacketType.WORK_STATUS})
"""The reports while a job runs."""

ANSWERS = RECEIVED[Role.CLIENT] - ENDS - PROGRESS
"""The answers to a client's requests. They come strictly in the order of the requests; reports come between them."""


def refusal(kind: PacketType, role: Role) -> RemoteProtocolError:
    """The error for a packet that ``role`` did not expect: of the other side's, or one that nothing asked for."""
    if kind not in RECEIVED[role]:
        return RemoteProtocolError(f"{kind.name} is not for a {role.value}")
    return RemoteProtocolError(f"{kind.name} answers nothing that was asked")
