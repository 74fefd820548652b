"""How many unexpected packets a server may send."""

from __future__ import annotations

import pytest

from gearpool.errors import RemoteProtocolError
from gearpool.worker.unexpected import BURST, MAX_EXPLAINED, PER_S, UnexpectedPackets


def test_a_burst_is_allowed_and_one_more_packet_is_not() -> None:
    packets = UnexpectedPackets()
    packets.count(BURST, 0)
    with pytest.raises(RemoteProtocolError, match="too many unexpected packets"):
        packets.count(1, 0)


def test_the_allowance_is_refilled_with_time_up_to_a_burst() -> None:
    packets = UnexpectedPackets()
    packets.count(BURST, 0)
    packets.refill(2.0)
    packets.count(2 * PER_S, 0)
    packets.refill(1e6)
    packets.count(BURST, 0)
    with pytest.raises(RemoteProtocolError):
        packets.count(1, 0)


def test_each_packet_that_may_be_answered_with_an_error_explains_one_unexpected_packet() -> None:
    packets = UnexpectedPackets()
    packets.count(BURST + 500, 500)
    with pytest.raises(RemoteProtocolError):
        packets.count(1, 500)


def test_the_number_of_explained_packets_is_bounded() -> None:
    packets = UnexpectedPackets()
    with pytest.raises(RemoteProtocolError):
        packets.count(BURST + MAX_EXPLAINED + 1, 10 * MAX_EXPLAINED)
