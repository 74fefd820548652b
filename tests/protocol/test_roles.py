from __future__ import annotations

import pytest

from gearpool.client.session import Session
from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import response
from gearpool.protocol.packets import SPECS, PacketType
from gearpool.protocol.roles import ANSWERS, ENDS, PROGRESS, RECEIVED, Role, refusal


def test_every_packet_but_the_unused_one_is_received_by_somebody() -> None:
    assert frozenset(PacketType) - frozenset().union(*RECEIVED.values()) == {PacketType.UNUSED}


def test_reports_go_from_the_worker_through_the_server_to_the_client() -> None:
    for kind in ENDS | PROGRESS:
        assert kind in RECEIVED[Role.SERVER]
        assert kind in RECEIVED[Role.CLIENT]
        assert kind not in RECEIVED[Role.WORKER]


def test_what_a_client_receives_is_an_answer_or_a_report_and_never_both() -> None:
    assert RECEIVED[Role.CLIENT] == ANSWERS | ENDS | PROGRESS
    assert not ANSWERS & (ENDS | PROGRESS)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", PacketType)
def test_a_refusal_tells_whose_packet_it_is_not(kind: PacketType, role: Role) -> None:
    known = kind in RECEIVED[role]
    assert str(refusal(kind, role)) == (
        f"{kind.name} answers nothing that was asked" if known else f"{kind.name} is not for a {role.value}"
    )


@pytest.mark.parametrize("kind", sorted(set(PacketType) - RECEIVED[Role.CLIENT]))
def test_a_client_refuses_what_is_not_for_a_client(kind: PacketType) -> None:
    arguments = [b"x"] * len(SPECS[kind].arguments)
    with pytest.raises(RemoteProtocolError, match=f"{kind.name} is not for a client"):
        Session().feed(response(kind, *arguments))


@pytest.mark.parametrize("kind", sorted(ANSWERS))
def test_a_client_refuses_an_answer_that_nothing_asked_for(kind: PacketType) -> None:
    arguments = [b"1"] * len(SPECS[kind].arguments)
    with pytest.raises(RemoteProtocolError, match=f"{kind.name} answers nothing that was asked"):
        Session().feed(response(kind, *arguments))
