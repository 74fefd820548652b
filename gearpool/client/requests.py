"""ECHO, GET_STATUS, GET_STATUS_UNIQUE and OPTION_REQ: one request, one answer, for both clients. Floor 3; pure."""

from __future__ import annotations

from gearpool.client.session import Call
from gearpool.errors import ConnectionLost, GearpoolError, ServerError
from gearpool.protocol.names import text
from gearpool.protocol.packets import PacketType


class Request(Call):
    """A request that is no submission.

    Args:
        answer: the type of packet that answers it, beside ERROR.
    """

    def __init__(self, answer: PacketType) -> None:
        self._answer = answer
        self._reply: list[bytes] | None = None
        self._error: GearpoolError | None = None

    def _changed(self) -> None:
        """For the shell: it is settled."""

    def _answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        """Keep the answer."""
        if kind is PacketType.ERROR:
            self._error = ServerError(text(arguments[0]), text(arguments[1]))
        else:
            self._reply = arguments
        self._changed()

    def _lost(self, server: str, reason: str) -> None:
        """The connection ended before the answer."""
        self._error = ConnectionLost(server, reason)
        self._changed()

    def settled(self) -> bool:
        """There is an answer or an error."""
        return self._reply is not None or self._error is not None

    def outcome(self) -> list[bytes] | None:
        """The arguments of the answer; None if there is none yet.

        Raises:
            ServerError: the server answered ERROR.
            ConnectionLost: the connection ended first.
        """
        if self._error is not None:
            raise self._error
        return self._reply
