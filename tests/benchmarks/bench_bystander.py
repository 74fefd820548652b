"""How long an idle connection waits for its ECHO while other connections overload the server, ours and gearmand.

The server has one core, the attackers and the bystander the other. The bystander asks every few milliseconds for as long
as the attack lasts, and a little longer; the goal is its longest wait. The machine's other work is taken off as far as
/proc/PID/schedstat tells it: a wait counts as the CPU time that the server used meanwhile, or as what is left of the wait
without the time in which server or bystander waited for a CPU, whichever is more. The detail has the clock's time, too.
``python -m tests.benchmarks bystander``.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple

from gearpool.protocol.codec import request
from gearpool.protocol.packets import PacketType
from tests.benchmarks.bench_embedded import Place, embedded, gearmand
from tests.benchmarks.machine import Row

T = PacketType
GOAL_MS = 100.0
AT_LEAST_S = 3.0
AT_MOST_S = 20.0
PAUSE_S = 0.003
DESCRIPTORS = 600
"""The servers' limit of open files while idle connections are opened: low enough to be exhausted."""


class Waits(NamedTuple):
    """Of all ECHOs of one bystander, in milliseconds; infinite when one was never answered.

    Attributes:
        worst: the longest, without the machine's other work.
        middle: the median, likewise.
        clock: the longest by the clock.
    """

    worst: float
    middle: float
    clock: float

    def __str__(self) -> str:
        """All three."""
        if self.worst == float("inf"):
            return f"more than {AT_MOST_S:g} s/{self.middle:.1f} ms"
        return f"{self.worst:.0f}/{self.middle:.1f} ms ({self.clock:.0f} by the clock)"


def rows() -> Iterator[Row]:
    """Return one row for each attack."""
    for name, attack in ATTACKS.items():
        options = () if attack is not idle_connections else ("--file-descriptors", str(DESCRIPTORS))
        with embedded(*options) as place:
            ours = under(attack, place)
        with gearmand(*options) as place:
            theirs = under(attack, place)
        detail = f"worst/median: {ours}, gearmand's {theirs}"
        yield Row(f"bystander's ECHO under {name}, ms", ours.worst, f"<= {GOAL_MS:g}", detail)


def under(attack: Callable[[int], None], place: Place) -> Waits:
    """Attack from a separate process, and measure meanwhile."""
    attacker = get_context("spawn").Process(target=_attack, args=(attack.__name__, place.port))
    ask = _ask_on_new_connections if attack is idle_connections else _ask
    attacker.start()
    waits = [*ask(place, time.monotonic() + AT_LEAST_S, attacker.is_alive)]
    attacker.kill()
    attacker.join()
    # Cleaning up after the attackers' disconnect is work for the server, too.
    waits += ask(place, time.monotonic() + 1.0, lambda: False)
    own = [each.own for each in waits]
    return Waits(max(own), median(own), max(each.clock for each in waits))


class Wait(NamedTuple):
    """One wait in milliseconds: without and with the machine's other work."""

    own: float
    clock: float


NEVER = Wait(float("inf"), float("inf"))


class Watch:
    """Measures one wait, starting now."""

    def __init__(self, pid: int) -> None:
        self._server = [*Path(f"/proc/{pid}/task").glob("*/schedstat")]
        self._used, self._delayed = self._times()
        self._begun = time.monotonic()

    def _times(self) -> tuple[float, float]:
        """Return the server's CPU time, and how long it and this thread have waited for a CPU, in milliseconds."""
        server = [[int(each) for each in file.read_text().split()] for file in self._server]
        mine = int(Path("/proc/thread-self/schedstat").read_text().split()[1])
        return sum(each[0] for each in server) / 1e6, (sum(each[1] for each in server) + mine) / 1e6

    def read(self) -> Wait:
        """Return the time waited so far."""
        clock = (time.monotonic() - self._begun) * 1000
        used, delayed = self._times()
        return Wait(min(clock, max(used - self._used, clock - (delayed - self._delayed))), clock)


def _attack(name: str, port: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    globals()[name](port)


def _ask(place: Place, until: float, lasts: Callable[[], bool]) -> Iterator[Wait]:
    packet = request(T.ECHO_REQ, b"bystander")
    limit = time.monotonic() + AT_MOST_S
    with socket.create_connection(("127.0.0.1", place.port), AT_MOST_S) as sock:
        while time.monotonic() < until or (lasts() and time.monotonic() < limit):
            watch = Watch(place.pid)
            try:
                sock.sendall(packet)
                got = 0
                while got < len(packet):
                    data = sock.recv(100)
                    if not data:
                        raise ConnectionError
                    got += len(data)
            except OSError:
                yield NEVER
                return
            yield watch.read()
            time.sleep(PAUSE_S)


def _ask_on_new_connections(place: Place, until: float, lasts: Callable[[], bool]) -> Iterator[Wait]:
    packet = request(T.ECHO_REQ, b"bystander")
    while time.monotonic() < until or lasts():
        watch = Watch(place.pid)
        try:
            with socket.create_connection(("127.0.0.1", place.port), 5) as sock:
                sock.sendall(packet)
                answered = bool(sock.recv(100))
        except OSError:
            answered = False
        yield watch.read() if answered else NEVER
        time.sleep(10 * PAUSE_S)


class Attacker:
    """Connections that send as fast as the server reads."""

    def __init__(self, port: int) -> None:
        self._port = port

    def connect(self) -> socket.socket:
        """One connection."""
        return socket.create_connection(("127.0.0.1", self._port), AT_MOST_S)

    def say(self, sock: socket.socket, data: bytes, *, reads: bool = True) -> None:
        """Send all of it and, for a while, read the replies."""
        with contextlib.suppress(OSError):
            reader = threading.Thread(target=_read_all, args=(sock,), daemon=True) if reads else None
            if reader is not None:
                reader.start()
            sock.sendall(data)
            if reader is not None:
                # An ECHO cannot mark the end, as its reply could arrive in the middle of a list: wait this long instead.
                reader.join(AT_LEAST_S)

    def flood(self, data: bytes, connections: int = 1, seconds: float = AT_LEAST_S) -> None:
        """Send ``data`` repeatedly on some connections, and read the replies."""
        selector = selectors.DefaultSelector()
        for _ in range(connections):
            connection = self.connect()
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, [data, 0])
        end = time.monotonic() + seconds
        while time.monotonic() < end and selector.get_map():
            for key, events in selector.select(1.0):
                sock, state = key.fileobj, key.data
                assert isinstance(sock, socket.socket)
                try:
                    if events & selectors.EVENT_READ and not sock.recv(1024 * 1024):
                        raise ConnectionError
                    if events & selectors.EVENT_WRITE:
                        state[1] = (state[1] + sock.send(memoryview(data)[state[1] :])) % len(data)
                except BlockingIOError:
                    pass
                except OSError:
                    selector.unregister(sock)


def _read_all(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1024 * 1024):
            pass


def _submissions(count: int, kind: PacketType = T.SUBMIT_JOB, function: bytes = b"f") -> bytes:
    return b"".join(request(kind, function, b"%d" % number, b"") for number in range(count))


def nothing(port: int) -> None:
    """No attack."""


def show_jobs(port: int) -> None:
    """60 KB of ``show jobs`` while 10 000 jobs wait."""
    attacker = Attacker(port)
    attacker.say(attacker.connect(), _submissions(10_000, T.SUBMIT_JOB_BG))
    attacker.say(attacker.connect(), b"show jobs\r\n" * 6_000)


def other_lists(port: int) -> None:
    """Pipelined ``status``, ``workers``, ``prioritystatus`` while there are 4 000 functions."""
    attacker = Attacker(port)
    worker = attacker.connect()
    attacker.say(worker, b"".join(request(T.CAN_DO, b"%d" % number) for number in range(4_000)))
    attacker.say(attacker.connect(), b"status\r\nworkers\r\nprioritystatus\r\n" * 2_000)


def one_unique(port: int) -> None:
    """One unique id submitted 200 000 times, and its connection is closed."""
    attacker = Attacker(port)
    attacker.say(attacker.connect(), request(T.SUBMIT_JOB, b"f", b"u", b"") * 200_000)


def functions(port: int) -> None:
    """200 000 CAN_DO, then PRE_SLEEP and GRAB_JOB repeatedly."""
    attacker = Attacker(port)
    sock = attacker.connect()
    attacker.say(sock, b"".join(request(T.CAN_DO, b"%d" % number) for number in range(200_000)))
    attacker.say(sock, (request(T.PRE_SLEEP) + request(T.GRAB_JOB)) * 3_000)


def echoes(port: int) -> None:
    """ECHO from 50 connections."""
    Attacker(port).flood(request(T.ECHO_REQ, b"x") * 5_000, 50)


def statuses(port: int) -> None:
    """GET_STATUS and GET_STATUS_UNIQUE from 10 connections."""
    Attacker(port).flood((request(T.GET_STATUS, b"H:x:1") + request(T.GET_STATUS_UNIQUE, b"u")) * 2_000, 10)


def grabs(port: int) -> None:
    """Grabs without a job from 10 connections."""
    Attacker(port).flood(request(T.CAN_DO, b"f") + (request(T.GRAB_JOB_UNIQ) + request(T.PRE_SLEEP)) * 3_000, 10)


def leaving_client(port: int) -> None:
    """A client with 200 000 waiting jobs disconnects."""
    attacker = Attacker(port)
    sock = attacker.connect()
    attacker.say(sock, _submissions(200_000))
    sock.close()


def leaving_worker(port: int) -> None:
    """A worker with 100 000 jobs disconnects."""
    attacker = Attacker(port)
    attacker.say(attacker.connect(), _submissions(100_000, T.SUBMIT_JOB_BG))
    sock = attacker.connect()
    attacker.say(sock, request(T.CAN_DO, b"f") + request(T.GRAB_JOB_UNIQ) * 100_000)
    sock.close()


def slow_reader(port: int) -> None:
    """An endless stream of WORK_DATA for a client that does not read."""
    attacker = Attacker(port)
    deaf, worker = attacker.connect(), attacker.connect()
    worker.sendall(request(T.CAN_DO, b"f"))
    deaf.sendall(request(T.SUBMIT_JOB, b"f", b"u", b""))
    handle = deaf.recv(100)[12:]
    worker.sendall(request(T.GRAB_JOB))
    worker.recv(100)
    end = time.monotonic() + AT_LEAST_S
    data = request(T.WORK_DATA, handle, bytes(10_000)) * 100
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            worker.sendall(data)


def due_together(port: int) -> None:
    """100 000 jobs that are due in the same second."""
    attacker = Attacker(port)
    soon = b"%d" % (time.time() + 4)
    packets = (request(T.SUBMIT_JOB_EPOCH, b"f", b"%d" % number, soon, b"") for number in range(100_000))
    attacker.say(attacker.connect(), b"".join(packets))
    time.sleep(3)


def idle_connections(port: int) -> None:
    """More idle connections than the server allows; here the bystander reconnects each time."""
    attacker = Attacker(port)
    held = []
    end = time.monotonic() + AT_LEAST_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            held.append(attacker.connect())
        if len(held) > 2 * DESCRIPTORS:
            time.sleep(0.1)


ATTACKS: dict[str, Callable[[int], None]] = {
    "no attack": nothing,
    "pipelined show jobs": show_jobs,
    "pipelined other lists": other_lists,
    "one unique id 200 000 times": one_unique,
    "200 000 functions": functions,
    "ECHO from 50": echoes,
    "GET_STATUS from 10": statuses,
    "grabs from 10": grabs,
    "a client of 200 000 jobs that goes": leaving_client,
    "a worker of 100 000 jobs that goes": leaving_worker,
    "WORK_DATA to who does not read": slow_reader,
    "100 000 jobs due together": due_together,
    "idle connections": idle_connections,
}

if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
    sys.exit()
