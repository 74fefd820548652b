"""Limits the unexpected packets of one server. Floor 3; pure.

A connection whose server sends more of them than a correct server ever would is closed, because the worker would spend all
its time reading them.
"""

from __future__ import annotations

from gearpool.errors import RemoteProtocolError

BURST = 1000
"""The number of unexpected packets that a server may send at once."""
MAX_EXPLAINED = 100 * BURST
PER_S = 50
PACKET_BYTES = 1024
"""Each this many bytes of an unexpected packet count as another packet."""


class UnexpectedPackets:
    """A token bucket of one connection."""

    def __init__(self) -> None:
        self._allowed = float(BURST)
        self._explained = 0
        """The number of sent packets for which `_allowed` was already raised."""

    def refill(self, seconds: float) -> None:
        """``seconds`` have passed in which the connection was read."""
        self._allowed = max(self._allowed, min(BURST, self._allowed + PER_S * seconds))

    def count(self, packets: int, answerable: int) -> None:
        """Count unexpected packets.

        Args:
            packets: how many were received.
            answerable: how many packets were sent in total that the server may answer with an error.

        Raises:
            RemoteProtocolError: there were too many.
        """
        self._allowed -= packets
        if self._allowed < 0:
            self._allowed += min(answerable - self._explained, MAX_EXPLAINED)
            self._explained = answerable
            if self._allowed < 0:
                raise RemoteProtocolError("the server sends too many unexpected packets")
