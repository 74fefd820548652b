"""Sends the jobs and requests of a `Client` over its connections. Floor 3.

Jobs are sent, asked about and sent again here, for whichever thread needs it. Futures hold a reference to this and not
to the client, and it lives as long as one of them. Nothing here waits for a job.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from gearpool.client.connection_pool import ConnectionPool
from gearpool.client.defaults import CLOSED, ClientSettings
from gearpool.client.dispatching import Dispatching, Kinds, first_known
from gearpool.client.futures import JobFuture
from gearpool.client.orders import Order
from gearpool.client.payloads import Codec
from gearpool.client.results import JobStatus, status_of
from gearpool.client.session import Call
from gearpool.client.submission import resubmission_pause
from gearpool.client.waiting import Question
from gearpool.errors import ConnectionLost, GearpoolError, NoServersAvailable, TimedOut, UsageError
from gearpool.protocol.codec import request
from gearpool.protocol.names import wire
from gearpool.protocol.packets import PacketType
from gearpool.timing import Backoff, Deadline, Duration


class Dispatch(Dispatching):
    """Sends and asks, over a pool of connections.

    Args:
        settings: the options of the client.
        withdraw: takes a waiting job, named ``server/handle``, out of its server's queue.
    """

    def __init__(
        self,
        settings: ClientSettings,
        withdraw: Callable[[str], object],
    ) -> None:
        super().__init__(settings)
        self._withdraw = withdraw
        me = weakref.ref(self)  # the pool's threads must not keep an abandoned client alive

        def on_end(server: str, reason: str, calls: list[Call]) -> None:
            dispatch = me()
            if dispatch is not None:
                dispatch._on_end(server, reason, calls)

        self.pool: ConnectionPool = ConnectionPool(settings, on_end)
        self._finalizer = weakref.finalize(self, self.pool.close)
        self._begin()

    def close(self) -> None:
        """Close all connections; calls that still wait fail."""
        self.after_fork()
        self.pool.close()

    def after_fork(self) -> None:
        """In a forked child: leave the parent its connections and start with new ones."""
        if self._pid != os.getpid():
            inherited = self.pool.forked()
            self._begin()
            for call in inherited:
                call._lost(self.names[0], "this process was forked: the job is its parent's")

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
        """It is no longer waited for."""
        if future.handle is not None:
            for connection in self.pool.of(future.server):
                connection.session.abandon(wire(future.handle), future)

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
        """Check that the calling thread may wait for a server's answer.

        Raises:
            UsageError: it is the thread that reads the answers.
        """
        if self.reads_here:
            raise UsageError(
                "a callback runs in the thread that reads for its client: waiting there for a job or an answer would "
                "keep all others waiting; do it in a thread of your own"
            )

    def withdraw(self, future: JobFuture[Any]) -> None:
        """Remove a job that is no longer waited for from its server's queue, if it is still there and the server answers."""
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
        if len(self.names) == 1 or not futures[0]._route[1]:
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

    def first_known(self, names: list[str], key: bytes, deadline: Deadline, kinds: Kinds) -> JobStatus:
        """The status from the first of these servers that knows the job. Raises as `dispatching.first_known`."""
        answers: list[JobStatus | GearpoolError] = []
        for index, name in enumerate(names):
            try:
                # One that hangs must leave time for the next.
                status = status_of(self.ask(name, *kinds, key, deadline.share(len(names) - index)), name)
            except (NoServersAvailable, TimedOut) as error:
                answers.append(error)
            else:
                answers.append(status)
                if status.is_known:
                    break
        return first_known(answers)

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
        again: list[JobFuture[Any]] = []
        for call in calls:
            # One whose caller has been told that it is unknown is not sent any more.
            if isinstance(call, JobFuture) and call.retries > 0 and not call._over and not self.pool.closed:
                again.append(call)
            else:
                call._lost(server, reason)
        if again:
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
