"""The client's side of one connection: bytes in, calls answered. Floor 3; pure: no socket, no thread, no clock.

A server answers requests strictly in order (JOB_CREATED, STATUS_RES, ECHO_RES, OPTION_RES, ERROR), so a queue of `Call`
objects determines what an answer means; only WORK_* packets come in between, and they carry a handle. The caller appends a
call in the order in which its bytes are sent, feeds what arrives, and at the end of the connection asks for what is
left. Both clients, for threads and for asyncio, are shells over this class.

Two foreground submissions that were coalesced on one connection share a handle, and the server sends every WORK_*
packet once for each (gearmand 1.1.20 and 2.0.0): the copies are given to them one after another.
"""

from __future__ import annotations

from collections import deque

from gearpool.errors import RemoteProtocolError
from gearpool.protocol.codec import DEFAULT_MAX_PACKET, Decoder, Packet
from gearpool.protocol.packets import RESPONSE_MAGIC, PacketType
from gearpool.protocol.roles import ANSWERS, Role, refusal

_JOB_CREATED = PacketType.JOB_CREATED
_WORK_COMPLETE = PacketType.WORK_COMPLETE
_WORK_FAIL = PacketType.WORK_FAIL
_WORK_EXCEPTION = PacketType.WORK_EXCEPTION
_WORK_DATA = PacketType.WORK_DATA
_WORK_WARNING = PacketType.WORK_WARNING
_WORK_STATUS = PacketType.WORK_STATUS


class Call:
    """A request under way. The session calls it when something happens; these methods must not block.

    Users hold calls too: a `gearpool.JobFuture` is one. So everything that only this package calls begins with an
    underscore, here and in the subclasses: a second object for each job would cost more than the naming is worth.

    Attributes:
        _follows: True for a foreground job, whose WORK_* packets come after the answer.
        _answer: the type of packet that answers it, beside ERROR.
    """

    __slots__ = ()
    _follows = False
    _answer: PacketType

    def _answered(self, kind: PacketType, arguments: list[bytes]) -> None:
        """The answer came; ERROR is one."""
        raise NotImplementedError

    def _told(self, kind: PacketType, arguments: list[bytes]) -> None:
        """WORK_DATA, WORK_WARNING or WORK_STATUS."""

    def _ended(self, kind: PacketType, payload: bytes) -> None:
        """WORK_COMPLETE, WORK_FAIL or WORK_EXCEPTION; nothing comes after it."""

    def _lost(self, server: str, reason: str) -> None:
        """The connection ended under it."""


class _Nobody(Call):
    """Replaces a job that is no longer waited for, so that copies for coalesced jobs are still counted."""

    __slots__ = ()


NOBODY = _Nobody()


class _Shared:
    """The jobs of one connection that the server coalesced into one handle."""

    __slots__ = ("count", "members")

    def __init__(self, members: list[Call]) -> None:
        self.members = members
        self.count = 0

    def next(self) -> Call:
        member = self.members[self.count % len(self.members)]
        self.count += 1
        return member


class Session:
    """One connection's calls. ``pending`` await their answer, ``jobs`` their end."""

    __slots__ = ("_decoder", "jobs", "pending")

    def __init__(self, max_packet: int = DEFAULT_MAX_PACKET) -> None:
        self._decoder = Decoder(RESPONSE_MAGIC, max_packet)
        self.pending: deque[Call] = deque()
        self.jobs: dict[bytes, Call | _Shared] = {}

    def feed(self, data: bytes) -> None:
        """Serve everything that ``data`` completes.

        Raises:
            RemoteProtocolError: the server broke the protocol; what was good before it has been served.
        """
        try:
            packets = self._decoder.feed(data)
        except RemoteProtocolError as error:
            self._serve([packet for packet in error.packets if isinstance(packet, tuple)])
            raise
        self._serve(packets)

    def leftovers(self) -> list[Call]:
        """Empty the session after its connection has ended: every open call, those never answered last."""
        calls: list[Call] = []
        for entry in self.jobs.values():
            calls.extend(entry.members if isinstance(entry, _Shared) else [entry])
        calls.extend(self.pending)
        self.jobs.clear()
        self.pending.clear()
        return calls

    def forget(self, handle: bytes, call: Call) -> None:
        """Nothing more will come for this call: the server does not know the job any more."""
        entry = self.jobs.get(handle)
        if entry is call or (isinstance(entry, _Shared) and call in entry.members):
            # This applies to all that share the handle.
            self.jobs.pop(handle, None)

    @property
    def busy(self) -> bool:
        """Somebody waits for a job under way."""
        return any(entry is not NOBODY for entry in list(self.jobs.values()))

    def under_way(self) -> list[tuple[bytes, list[Call]]]:
        """The acknowledged jobs: handle, and the calls that wait for it."""
        # The dictionary is copied in one step: another thread may abandon a job meanwhile.
        return [
            (handle, list(entry.members) if isinstance(entry, _Shared) else [entry])
            for handle, entry in list(self.jobs.items())
            if entry is not NOBODY
        ]

    def abandon(self, handle: bytes, call: Call) -> None:
        """This job is no longer waited for: only its handle is kept."""
        entry = self.jobs.get(handle)
        if isinstance(entry, _Shared):
            if call in entry.members:
                entry.members[entry.members.index(call)] = NOBODY
        elif entry is call:
            self.jobs[handle] = NOBODY

    def _serve(self, packets: list[Packet]) -> None:
        jobs, pending = self.jobs, self.pending
        for kind, arguments in packets:
            if kind is _WORK_COMPLETE:
                entry = jobs.pop(arguments[0], None)
                if entry is None:
                    continue  # a copy for a coalesced job that has ended, or one that is no longer waited for
                if type(entry) is _Shared:
                    self._end_shared(entry, kind, arguments[1])
                else:
                    entry._ended(kind, arguments[1])  # type: ignore[union-attr]  # mypy does not narrow by ``type() is``
            elif kind is _JOB_CREATED:
                # As `_next` does it, written out: this and WORK_COMPLETE are what a client's speed depends on.
                if not pending or pending[0]._answer is not kind:
                    self._next(kind)
                call = pending.popleft()
                handle = arguments[0]
                if call._follows:
                    # Before the call is notified: a waiter may ask about the handle at once.
                    if handle in jobs:
                        self._share(handle, call)
                    else:
                        jobs[handle] = call
                call._answered(kind, arguments)
            elif kind is _WORK_DATA or kind is _WORK_STATUS or kind is _WORK_WARNING:
                entry = jobs.get(arguments[0])
                if entry is not None:
                    (entry.next() if isinstance(entry, _Shared) else entry)._told(kind, arguments)
            elif kind is _WORK_FAIL or kind is _WORK_EXCEPTION:
                # gearmand turns a WORK_EXCEPTION into a WORK_FAIL with a NUL after the handle.
                entry = jobs.pop(arguments[0].rstrip(b"\0"), None)
                payload = arguments[1] if len(arguments) > 1 else b""
                if isinstance(entry, _Shared):
                    self._end_shared(entry, kind, payload)
                elif entry is not None:
                    entry._ended(kind, payload)
            elif kind in ANSWERS:
                self._next(kind)._answered(kind, arguments)
            else:
                raise refusal(kind, Role.CLIENT)

    def _next(self, kind: PacketType) -> Call:
        if not self.pending:
            raise refusal(kind, Role.CLIENT)
        call = self.pending[0]
        if kind is not PacketType.ERROR and kind is not call._answer:
            raise RemoteProtocolError(f"{kind.name} does not answer the oldest request")
        return self.pending.popleft()

    def _share(self, handle: bytes, call: Call) -> None:
        entry = self.jobs[handle]
        members = entry.members if isinstance(entry, _Shared) else [entry]
        # Copies come in whole rounds, so a newcomer starts a new one.
        self.jobs[handle] = _Shared([*members, call])

    @staticmethod
    def _end_shared(entry: _Shared, kind: PacketType, payload: bytes) -> None:
        # The first copy ends them all; the others then belong to no handle and are ignored.
        for member in entry.members:
            member._ended(kind, payload)
