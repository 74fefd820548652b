"""What stands between the calls of a `Client` and its connections. Floor 3.

Law: jobs are sent, asked about and sent again here, for whatever thread wants it; futures hold on to this and not to the
client, and it lives as long as one of them. Nothing here waits for a job.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gearpool.client.defaults import CLOSED
from gearpool.client.futures import JobFuture
from gearpool.client.orders import Order
from gearpool.client.payloads import Codec
from gearpool.client.pool import Pool
from gearpool.client.results import JobStatus, status_of
from gearpool.client.session import Call
from gearpool.client.submission import UNSET, resubmission_pause
from gearpool.client.waiting import Question
from gearpool.errors import (
    ConnectionLost,
    GearpoolError,
    NoServersAvailable,
    TimedOut,
    UsageError,
)
from gearpool.net.modules import Modules
from gearpool.protocol.codec import request
from gearpool.protocol.names import wire
from gearpool.protocol.packets import PacketType
from gearpool.settings import ServerSettings
from gearpool.timing import Backoff, Deadline, Duration


class Dispatch:
    """Sends and asks, over a pool of connections.

    Args:
        servers: whom to use.
        exceptions: have WORK_EXCEPTION passed on.
        connect_timeout: seconds for one server to be reached.
        request_timeout: seconds for a request to be answered.
        job_timeout: seconds a result is waited for when a call does not say; None for ever.
        max_packet: largest packet taken from a server, bytes.
        modules: where sockets come from.
        withdraw: takes a waiting job, named ``server/handle``, out of its server's queue.
    """

    def __init__(
        self,
        servers: Sequence[ServerSettings],
        *,
        exceptions: bool,
        connect_timeout: float,
        request_timeout: float,
        job_timeout: float | None,
        max_packet: int,
        modules: Modules,
        withdraw: Callable[[str], object],
    ) -> None:
        self._withdraw = withdraw
        self.request_timeout = request_timeout
        self.job_timeout = job_timeout
        me = weakref.ref(self)  # the pool's threads must not keep an abandoned client alive

        def on_end(server: str, reason: str, calls: list[Call]) -> None:
            dispatch = me()
            if dispatch is not None:
                dispatch._on_end(server, reason, calls)

        self.pool: Pool = Pool(
            servers,
            modules=modules,
            connect_timeout=connect_timeout,
            options=[b"exceptions"] if exceptions else [],
            request_timeout=request_timeout,
            max_packet=max_packet,
            on_end=on_end,
        )
        self._finalizer = weakref.finalize(self, self.pool.close)
        self._name_uniques()

    def close(self) -> None:
        """Close all connections; whoever still waits is told."""
        self.after_fork()
        self.pool.close()

    def after_fork(self) -> None:
        """In a forked child: leave the parent its connections and begin anew."""
        if self._pid != os.getpid():
            inherited = self.pool.forked()
            self._name_uniques()
            self._tell(inherited, self.names()[0], "this process was forked: the job is its parent's")

    def again(self, order: Order, unique: bytes, data: bytes, codec: Codec, timeout: Duration | None) -> Any:
        """Submit the same job once more and wait; what ``JobFailed.retry`` does."""
        self.check_open()
        self.check_may_wait()
        future: JobFuture[Any] = JobFuture(
            self, order, unique, data, self.job_deadline(timeout), codec, verify=bool(unique)
        )
        self.send([future])
        return future.result()

    def distrust(self, future: JobFuture[Any]) -> None:
        """Its answer is missing, and answers come in order: ask nothing more over the connection in use."""
        connection = self.pool.current(future.server)
        if connection is not None:
            connection.retired = True

    def forget(self, future: JobFuture[Any]) -> None:
        """Nobody waits for it any more."""
        if future.handle is not None:
            for connection in self.pool.of(future.server):
                connection.abandon_job(wire(future.handle), future)

    def names(self) -> list[str]:
        """The servers, in the order given."""
        return list(self.pool.servers)

    def _name_uniques(self) -> None:
        self._pid = os.getpid()
        self._prefix = os.urandom(12).hex().encode()
        self._count = itertools.count()

    def fresh_unique(self) -> bytes:
        """A unique id that nobody else has."""
        # Random once a client, then counted: as unique as a random id each time, at a tenth of the cost.
        return self._prefix + b"-%x" % next(self._count)

    def job_deadline(self, timeout: Duration | None) -> Deadline:
        """Until when a job is waited for, given what its caller said."""
        return Deadline.allowed(self.job_timeout if timeout is UNSET else timeout)

    def request_deadline(self, timeout: Duration | None) -> Deadline:
        """Until when an answer is waited for, given what its caller said."""
        return Deadline.allowed(self.request_timeout if timeout is UNSET else timeout)

    def check_open(self) -> None:
        """The client may be used; also in a forked child.

        Raises:
            UsageError: it is closed.
        """
        self.after_fork()
        if self.pool.closed:
            raise UsageError(CLOSED)

    @property
    def reads_here(self) -> bool:
        """The calling thread is one that reads for this client: it runs a callback of the user's."""
        return self.pool.reads_here

    def check_may_wait(self) -> None:
        """Whether the calling thread may wait for what a server says.

        Raises:
            UsageError: it is the one that reads what servers say.
        """
        if self.reads_here:
            raise UsageError(
                "a callback runs in the thread that reads for its client: waiting there for a job or an answer would "
                "keep all others waiting; do it in a thread of your own"
            )

    def withdraw(self, future: JobFuture[Any]) -> None:
        """Take a job that nobody waits for out of its server's queue, if it still waits there and that server answers."""
        if future.handle is not None:
            with contextlib.suppress(GearpoolError):
                self._withdraw(f"{future.server}/{future.handle}")

    def send(self, futures: list[JobFuture[Any]]) -> None:
        """Send these, in one write for each server.

        Raises:
            NoServersAvailable: some were not sent, because no server could be reached.
        """
        self.after_fork()
        deadline = futures[0]._deadline.earlier(Deadline.after(self.request_timeout))
        if len(self.pool.servers) == 1 or not futures[0]._route[1]:
            # Without a unique id any server will do: each time another, so that all get their share.
            self._send_together(futures, futures[0]._route[0], os.urandom(8), deadline)
            return
        by_server: dict[str, list[JobFuture[Any]]] = {}
        for future in futures:
            connection = self.pool.choose(*future._route, deadline)
            by_server.setdefault(connection.server, []).append(future)
        for group in by_server.values():
            self._send_together(group, *group[0]._route, deadline)

    def send_or_settle(self, futures: list[JobFuture[Any]]) -> None:
        """Send these, but for those that have ended already; those that cannot be sent end with the error."""
        futures = [future for future in futures if not future._over]
        if not futures:
            return
        try:
            self.send(futures)
        except GearpoolError as error:
            for future in futures:
                if not future.sent:
                    future._settle(error)

    def _send_together(self, futures: list[JobFuture[Any]], function: bytes, key: bytes, deadline: Deadline) -> None:
        while True:
            connection = self.pool.choose(function, key, deadline)
            name = connection.server
            now = time.monotonic()
            data = b"".join([future._departs(name, now) for future in futures])
            if connection.call(futures, data, deadline):
                for future in futures:
                    future.sent = True
                return

    def first_known(self, names: list[str], key: bytes, deadline: Deadline, *, by_unique: bool) -> JobStatus:
        """The status from the first of these servers that knows the job.

        Raises:
            NoServersAvailable: none knows it, and one could not be asked.
            TimedOut: none knows it, and one did not answer.
        """
        answer: JobStatus | None = None
        reasons: dict[str, str] = {}
        late: TimedOut | None = None
        for index, name in enumerate(names):
            # One that hangs must leave time for the next.
            try:
                status = self.status(name, key, deadline.share(len(names) - index), by_unique=by_unique)
            except NoServersAvailable as error:
                reasons.update(error.reasons)
            except TimedOut as error:
                late = error
            else:
                if status.is_known:
                    return status
                answer = answer or status
        # A server that cannot be asked may be the one that knows it.
        if late is not None:
            raise late
        if answer is None or reasons:
            raise NoServersAvailable(reasons)
        return answer

    def status(self, name: str, key: bytes, deadline: Deadline, *, by_unique: bool) -> JobStatus:
        """What one server knows of a handle or unique id."""
        if by_unique:
            kinds = PacketType.GET_STATUS_UNIQUE, PacketType.STATUS_RES_UNIQUE
        else:
            kinds = PacketType.GET_STATUS, PacketType.STATUS_RES
        return status_of(self.ask(name, *kinds, key, deadline), name)

    def ask(
        self, name: str, question: PacketType, answer: PacketType, argument: bytes, deadline: Deadline
    ) -> list[bytes]:
        """One request, one answer: its arguments.

        Raises:
            NoServersAvailable: the server cannot be reached.
            TimedOut: it does not answer; the connection is given nothing new then.
            ConnectionLost: the connection broke first.
        """
        self.after_fork()
        self.check_may_wait()
        call = Question(answer)
        while True:
            connection = self.pool.to(name, deadline)
            if connection.call([call], request(question, argument), deadline):
                break
        result = call.ask(deadline)
        if result is None:
            connection.retired = True
            raise TimedOut(f"{name} did not answer {question.name} in time")
        return result

    def _on_end(self, server: str, reason: str, calls: list[Call]) -> None:
        # One whose caller has been told that it is unknown is not sent any more.
        calls = [call for call in calls if not (isinstance(call, JobFuture) and call._over)]
        again = [call for call in calls if isinstance(call, JobFuture) and call.retries > 0]
        if not again or self.pool.closed:
            self._tell(calls, server, reason)
            return
        self._tell([call for call in calls if not (isinstance(call, JobFuture) and call.retries > 0)], server, reason)
        threading.Thread(
            target=self._resubmit, args=(again, server, reason), name="gearpool-resubmit", daemon=True
        ).start()

    def _resubmit(self, futures: list[JobFuture[Any]], server: str, reason: str) -> None:
        """Submit again what a lost connection left open; the server recognises by unique id what it still has."""
        backoff = Backoff(0.1, 5.0)
        failure: GearpoolError = ConnectionLost(server, reason)
        tries = max(future._tries for future in futures)
        time.sleep(resubmission_pause(tries))
        while futures:
            left: list[JobFuture[Any]] = []
            down = False
            for future in futures:
                if future.retries <= 0 or future._deadline.expired() or self.pool.closed:
                    future._settle(failure)
                    continue
                future.retries -= 1
                if not down:
                    try:
                        self.send([future])
                        continue
                    except GearpoolError as error:
                        # No server is left: asking again for each of thousands would take for ever.
                        failure, down = error, True
                left.append(future)
            futures = left
            if futures:
                time.sleep(backoff.next())

    @staticmethod
    def _tell(calls: Iterable[Call], server: str, reason: str) -> None:
        for call in calls:
            if isinstance(call, JobFuture | Question):
                call._lost(server, reason)
