"""`Client`: submits jobs, waits for them, asks about them. Floor 3.

Law: every call has an end: connecting, acknowledging and asking within ``request_timeout``, a job's result within
``job_timeout``; only an explicit ``timeout=None`` waits for ever. Threads share one client freely, and so do greenlets
of a monkey-patched process.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Literal, Self, overload

from gearpool.client.admin import Admin
from gearpool.client.futures import UNSET, JobFuture
from gearpool.client.orders import Order, Payload, Priority, When, checked_unique, make_order, payload
from gearpool.client.pool import Pool
from gearpool.client.results import Event, JobHandle, JobStatus, number
from gearpool.client.session import Call
from gearpool.client.waiting import Question
from gearpool.errors import (
    ConnectionLost,
    GearpoolError,
    InvalidArgument,
    NoServersAvailable,
    SubmitUnknown,
    TimedOut,
)
from gearpool.net.addresses import ServerLike, parse_servers
from gearpool.net.dialing import Modules, standard
from gearpool.protocol.codec import DEFAULT_MAX_PACKET, request
from gearpool.protocol.names import handle_name, text, unique_id
from gearpool.protocol.packets import PacketType
from gearpool.timing import Backoff, Deadline

REQUEST_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
JOB_TIMEOUT_S = 300.0
_CHUNK = 250

UniqueOf = Callable[[Payload], str | bytes]


class Client:
    """A client of one or several job servers. Use it as a context manager, or call `close`.

    Args:
        servers: ``"host:port"``, several with commas between or as a list, or what `gearpool.net.addresses` takes.
        exceptions: ask the servers to pass WORK_EXCEPTION on (`JobException`); without it such jobs just fail.
        connect_timeout: seconds for one server to be reached.
        request_timeout: seconds for a request to be answered, connecting included.
        job_timeout: seconds a result is waited for when a call does not say; None for ever.
        max_packet: largest packet taken from a server, bytes.
        modules: other modules than the standard library's to take sockets from.

    Raises:
        InvalidArgument: a server's address is wrong. Nothing is connected before the first call.
    """

    def __init__(
        self,
        servers: ServerLike | Iterable[ServerLike] = "127.0.0.1:4730",
        *,
        exceptions: bool = True,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        request_timeout: float = REQUEST_TIMEOUT_S,
        job_timeout: float | None = JOB_TIMEOUT_S,
        max_packet: int = DEFAULT_MAX_PACKET,
        modules: Modules | None = None,
    ) -> None:
        self.servers = parse_servers(servers)
        self.request_timeout = request_timeout
        self.job_timeout = job_timeout
        modules = modules or standard()
        self.admin = Admin(self.servers, timeout=request_timeout, modules=modules)
        """The servers' text protocol: queues, workers, cancel and the like."""
        me = weakref.ref(self)  # the pool's threads must not keep an abandoned client alive

        def on_end(server: str, reason: str, calls: list[Call]) -> None:
            client = me()
            if client is not None:
                client._on_end(server, reason, calls)

        self._pool = Pool(
            self.servers,
            modules=modules,
            connect_timeout=connect_timeout,
            options=[b"exceptions"] if exceptions else [],
            max_packet=max_packet,
            on_end=on_end,
        )
        self._finalizer = weakref.finalize(self, self._pool.close)
        self._name_uniques()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Whoever still waits gets ConnectionLost. May be called again."""
        self.after_fork()
        self._pool.close()

    # Submitting

    def submit_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> bytes:
        """Submit a job and wait for its result.

        Args:
            function: its name, at most 255 bytes.
            data: the payload; a str is sent as UTF-8.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes. Jobs of one function with the same id are one job while it waits or runs.
            timeout: seconds until JobTimedOut; None for ever; the client's ``job_timeout`` if not given.
            retry: how many times it may be submitted again when the connection is lost. Needs ``unique``, under which
                the server recognises a job that it still has. A job that had ended just then runs again.
            reducer: name of the reduce function.
            on_event: called with each Data, Warned and Progress, in the reader's thread.

        Raises:
            JobFailed: WORK_FAIL. ``error.retry()`` submits it again, ``error.accept(value)`` settles for a value.
            JobException: WORK_EXCEPTION, with ``payload``.
            JobTimedOut: it did not end in time; it may still run.
            NoServersAvailable: no server could be reached.
            SubmitUnknown: it was sent and never acknowledged: it may or may not exist.
            ConnectionLost: the connection broke while it ran.
            ServerError: the server refused it.
            InvalidArgument: a value cannot be sent.
        """
        return self.submit(
            function,
            data,
            priority=priority,
            unique=unique,
            timeout=timeout,
            retry=retry,
            reducer=reducer,
            on_event=on_event,
        ).result()

    def submit(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        reducer: str | bytes | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> JobFuture:
        """Submit a job and go on; any number may be under way on one connection. See `submit_job`.

        Raises:
            NoServersAvailable: no server could be reached.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, priority=priority, reducer=reducer)
        key = checked_unique(unique)
        if retry and not key:
            raise InvalidArgument("retry needs a unique id: without one a job could run twice")
        future = JobFuture(
            self,
            order,
            key,
            payload(data),
            self._job_deadline(timeout),
            retries=retry,
            verify=bool(key),
            on_event=on_event,
        )
        self._send([future])
        return future

    def submit_background_job(
        self,
        function: str | bytes,
        data: Payload = b"",
        *,
        priority: Priority | None = None,
        unique: str | bytes | None = None,
        at: When | None = None,
        delay: float | None = None,
        reducer: str | bytes | None = None,
        timeout: float | None = UNSET,
    ) -> JobHandle:
        """Hand a job to a server and return when the server has it.

        Args:
            function: its name.
            data: the payload.
            priority: "high", "normal" or "low"; None is normal.
            unique: at most 63 bytes; a fresh one is made if none is given, for servers with a persistent queue need it.
            at: run it not before then: seconds since 1970, or an aware datetime.
            delay: likewise, in seconds from now.
            reducer: name of the reduce function.
            timeout: seconds for the server's acknowledgement; the client's ``request_timeout`` if not given.

        Raises:
            SubmitUnknown: no acknowledgement came: the job may or may not exist. Submitting it again under the same
                ``unique`` is safe while it waits or runs.
            ServerError: refused; QUEUE_ERROR means that the queue is full.
            NoServersAvailable: no server could be reached.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, background=True, priority=priority, at=at, delay=delay, reducer=reducer)
        self.after_fork()
        key = checked_unique(unique) or self._fresh_unique()
        future = JobFuture(self, order, key, payload(data), Deadline.after(self.request_timeout))
        self._send([future])
        return future.job(timeout)

    def submit_background_jobs(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
    ) -> Iterator[JobHandle]:
        """Hand many jobs to the servers, pipelined; yields their handles in order, at most ``window`` unacknowledged.

        Args:
            function: its name.
            items: payloads; may be endless.
            window: how many submissions are under way at most.
            priority: as for `submit_background_job`.
            unique: gives the unique id for a payload.

        Raises:
            As `submit_background_job`, when the turn of the job concerned has come.
        """
        futures = self.submit_many(function, items, window=window, priority=priority, unique=unique, background=True)
        for future in futures:
            yield future.job()

    def submit_many(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        background: bool = False,
        on_done: Callable[[JobFuture], None] | None = None,
    ) -> Iterator[JobFuture]:
        """One submission an item, many at once; yields the futures in the order of the items, in constant memory.

        Args:
            function: its name.
            items: payloads; may be endless, they are taken as the window moves on.
            window: how many yet unfinished jobs are submitted ahead of the one that is yielded.
            priority: as for `submit_job`.
            unique: gives the unique id for a payload.
            timeout: seconds for each job.
            retry: as for `submit_job`; needs ``unique``.
            background: background jobs, whose futures are done when they are acknowledged.
            on_done: called with each future when it is done, in the reader's thread.

        Raises:
            NoServersAvailable: no server could be reached.
            InvalidArgument: a value cannot be sent.
        """
        order = make_order(function, background=background, priority=priority)
        if retry and unique is None:
            raise InvalidArgument("retry needs unique ids: without them a job could run twice")
        self.after_fork()

        def make(item: Payload, deadline: Deadline) -> JobFuture:
            key = checked_unique(unique(item)) if unique is not None else b""
            if background and not key:
                key = self._fresh_unique()
            future = JobFuture(
                self,
                order,
                key,
                item if type(item) is bytes else payload(item),
                deadline,
                retries=retry,
                verify=unique is not None,
            )
            if on_done is not None:
                future.add_done_callback(on_done)
            return future

        return self._windowed(items, make, window, timeout)

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: Literal[False] = False,
    ) -> Iterator[bytes]: ...

    @overload
    def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: Literal[True],
    ) -> Iterator[bytes | GearpoolError]: ...

    def map(
        self,
        function: str | bytes,
        items: Iterable[Payload],
        *,
        window: int = 1000,
        priority: Priority | None = None,
        unique: UniqueOf | None = None,
        timeout: float | None = UNSET,
        retry: int = 0,
        return_exceptions: bool = False,
    ) -> Iterator[bytes | GearpoolError]:
        """One job an item, many at once; yields the results in the order of the items, in constant memory.

        Args:
            function: its name.
            items: payloads; may be endless, they are taken as the window moves on.
            window: how many jobs are under way at most.
            priority: as for `submit_job`.
            unique: gives the unique id for a payload.
            timeout: seconds for each job.
            retry: as for `submit_job`; needs ``unique``.
            return_exceptions: yield errors instead of raising the first one.

        Raises:
            As `submit_job`, when the turn of the job concerned has come.
        """
        futures = self.submit_many(
            function, items, window=window, priority=priority, unique=unique, timeout=timeout, retry=retry
        )
        for future in futures:
            if return_exceptions:
                try:
                    yield future.result()
                except GearpoolError as error:
                    yield error
            else:
                yield future.result()

    @overload
    def gather(
        self, *futures: JobFuture, timeout: float | None = UNSET, return_exceptions: Literal[False] = False
    ) -> list[bytes]: ...

    @overload
    def gather(
        self, *futures: JobFuture, timeout: float | None = UNSET, return_exceptions: Literal[True]
    ) -> list[bytes | GearpoolError]: ...

    def gather(
        self, *futures: JobFuture, timeout: float | None = UNSET, return_exceptions: bool = False
    ) -> list[bytes] | list[bytes | GearpoolError]:
        """The results of several submissions, in order.

        Args:
            futures: what `submit` returned.
            timeout: seconds for all of them together; each one's own time if not given.
            return_exceptions: put errors into the list instead of raising the first one.

        Raises:
            As `JobFuture.result`.
        """
        limit = None if timeout is UNSET else Deadline.after(timeout)
        results: list[bytes | GearpoolError] = []
        for future in futures:
            left = UNSET if limit is None else limit.timeout()
            try:
                results.append(future.result(left))
            except GearpoolError as error:
                if not return_exceptions:
                    raise
                results.append(error)
        return results

    # Asking

    def get_job_status(
        self,
        job: JobHandle | JobFuture | str | None = None,
        *,
        unique: str | bytes | None = None,
        timeout: float | None = UNSET,
    ) -> JobStatus:
        """What the servers know of a job.

        Args:
            job: what a submission returned, or its ``server/handle``, or a bare handle (all servers are asked then).
            unique: instead of a job: ask by unique id, all servers.
            timeout: seconds; the client's ``request_timeout`` if not given.

        Raises:
            NoServersAvailable: the server that made the handle cannot be reached; or, of several, none that knows it.
            TimedOut: no answer.
            ConnectionLost: the connection broke first.
            InvalidArgument: no handle.
        """
        deadline = Deadline.after(self.request_timeout if timeout is UNSET else timeout)
        if (job is None) == (unique is None):
            raise InvalidArgument("give a job or a unique id")
        if unique is not None:
            return self._first_known(self._names(), unique_id(unique), deadline, by_unique=True)
        if isinstance(job, JobFuture):
            job = job.job(deadline.timeout())
        if isinstance(job, JobHandle):
            names, handle = [job.server], job.handle
        else:
            server, _, handle = str(job).rpartition("/")
            names = [server] if server else self._names()
        for name in names:
            if name not in self._pool.servers:
                raise InvalidArgument(f"{name} is none of this client's servers {', '.join(self._names())}")
        return self._first_known(names, handle_name(handle), deadline, by_unique=False)

    def echo(self, data: Payload = b"gearpool", *, server: str | None = None, timeout: float | None = UNSET) -> bytes:
        """Send ``data`` to a server and back.

        Args:
            data: what to send.
            server: ``host:port`` of one of the client's servers; the first if not given.
            timeout: seconds; the client's ``request_timeout`` if not given.

        Raises:
            NoServersAvailable: it cannot be reached.
            TimedOut: no answer.
            ConnectionLost: the connection broke first.
        """
        deadline = Deadline.after(self.request_timeout if timeout is UNSET else timeout)
        name = server or self._names()[0]
        if name not in self._pool.servers:
            raise InvalidArgument(f"{name} is none of this client's servers {', '.join(self._names())}")
        return self._ask(name, PacketType.ECHO_REQ, PacketType.ECHO_RES, payload(data), deadline)[0]

    # For futures

    def after_fork(self) -> None:
        """In a forked child: leave the parent its connections and begin anew."""
        if self._pid != os.getpid():
            inherited = self._pool.forked()
            self._name_uniques()
            self._tell(inherited, self._names()[0], "this process was forked: the job is its parent's")

    def again(self, order: Order, unique: bytes, data: bytes, timeout: float | None) -> bytes:
        """Submit the same job once more and wait; what ``JobFailed.retry`` does."""
        future = JobFuture(self, order, unique, data, self._job_deadline(timeout), verify=bool(unique))
        self._send([future])
        return future.result()

    def silence(self, future: JobFuture) -> float:
        """Seconds until this unacknowledged submission counts as unanswered: its server has said nothing meanwhile."""
        connection = self._pool.current(future.server)
        heard = max(future.since, connection.heard_at if connection is not None else 0.0)
        return max(0.0, heard + self.request_timeout - time.monotonic())

    def check(self, future: JobFuture) -> None:
        """Someone waits for it and has heard nothing for a while: does the server answer, and still know the job?"""
        self.after_fork()
        handle, server = future.handle, future.server
        if future.done():
            return
        if handle is None:
            if self.silence(future) > 0:
                return
            connection = self._pool.current(server)
            if connection is not None:
                connection.retired = True
            future.settle(SubmitUnknown(server, "the submission was not acknowledged in time"))
            return
        try:
            known = self._status(
                server, handle_name(handle), Deadline.after(self.request_timeout), by_unique=False
            ).is_known
        except GearpoolError:
            # The connection is lost, and then the future has been told; or the server is slow, and there is a deadline.
            return
        if not known and not future.done() and future.handle == handle and future.server == server:
            self._on_end(server, "the server does not know the job any more", [future])

    # Inside

    def _names(self) -> list[str]:
        return list(self._pool.servers)

    def _name_uniques(self) -> None:
        self._pid = os.getpid()
        self._prefix = os.urandom(12).hex().encode()
        self._count = itertools.count()

    def _fresh_unique(self) -> bytes:
        # Random once a client, then counted: as unique as a random id each time, at a tenth of the cost.
        return self._prefix + b"-%x" % next(self._count)

    def _job_deadline(self, timeout: float | None) -> Deadline:
        return Deadline.after(self.job_timeout if timeout is UNSET else timeout)

    def _send(self, futures: list[JobFuture]) -> None:
        """Send these, in one write for each server."""
        self.after_fork()
        deadline = futures[0].deadline.earlier(Deadline.after(self.request_timeout))
        if len(self._pool.servers) == 1 or not futures[0].route[1]:
            # Without a unique id any server will do: each time another, so that all get their share.
            self._send_together(futures, futures[0].route[0], os.urandom(8), deadline)
            return
        by_server: dict[str, list[JobFuture]] = {}
        for future in futures:
            connection = self._pool.choose(*future.route, deadline)
            by_server.setdefault(connection.server, []).append(future)
        for group in by_server.values():
            self._send_together(group, *group[0].route, deadline)

    def _send_together(self, futures: list[JobFuture], function: bytes, key: bytes, deadline: Deadline) -> None:
        while True:
            connection = self._pool.choose(function, key, deadline)
            name = connection.server
            data = b"".join([future.departs(name) for future in futures])
            if connection.call(futures, data, deadline):
                return

    def _windowed(
        self,
        items: Iterable[Payload],
        make: Callable[[Payload, Deadline], JobFuture],
        window: int,
        timeout: float | None,
    ) -> Iterator[JobFuture]:
        if window < 1:
            raise InvalidArgument(f"the window must be at least 1, got {window}")
        source = iter(items)
        under_way: deque[JobFuture] = deque()
        low = window * 3 // 4
        more = True
        while True:
            if more and (len(under_way) <= low or not under_way[0].done()):
                while more and len(under_way) < window:
                    deadline = self._job_deadline(timeout)
                    chunk = itertools.islice(source, min(window - len(under_way), _CHUNK))
                    batch = [make(item, deadline) for item in chunk]
                    if not batch:
                        more = False
                        break
                    self._send(batch)
                    under_way.extend(batch)
            if not under_way:
                return
            yield under_way.popleft()

    def _first_known(self, names: list[str], key: bytes, deadline: Deadline, *, by_unique: bool) -> JobStatus:
        answer: JobStatus | None = None
        reasons: dict[str, str] = {}
        for name in names:
            try:
                status = self._status(name, key, deadline, by_unique=by_unique)
            except NoServersAvailable as error:
                reasons.update(error.reasons)
                continue
            if status.is_known:
                return status
            answer = answer or status
        if answer is None or reasons:
            # A server that cannot be asked may be the one that knows it.
            raise NoServersAvailable(reasons)
        return answer

    def _status(self, name: str, key: bytes, deadline: Deadline, *, by_unique: bool) -> JobStatus:
        if by_unique:
            kinds = PacketType.GET_STATUS_UNIQUE, PacketType.STATUS_RES_UNIQUE
        else:
            kinds = PacketType.GET_STATUS, PacketType.STATUS_RES
        answer = self._ask(name, *kinds, key, deadline)
        numerator, denominator = number(answer[3]), number(answer[4])
        return JobStatus(
            handle=text(answer[0]),
            is_known=number(answer[1]) != 0,
            is_running=number(answer[2]) != 0,
            progress=numerator / denominator if denominator else None,
            numerator=numerator,
            denominator=denominator,
            clients=number(answer[5]) if by_unique else None,
            server=name,
        )

    def _ask(
        self, name: str, question: PacketType, answer: PacketType, argument: bytes, deadline: Deadline
    ) -> list[bytes]:
        self.after_fork()
        call = Question(answer)
        while True:
            connection = self._pool.to(name, deadline)
            if connection.call([call], request(question, argument), deadline):
                break
        result = call.ask(deadline)
        if result is None:
            connection.retired = True
            raise TimedOut(f"{name} did not answer {question.name} in time")
        return result

    def _on_end(self, server: str, reason: str, calls: list[Call]) -> None:
        again = [call for call in calls if isinstance(call, JobFuture) and call.retries > 0]
        if not again or self._pool.closed:
            self._tell(calls, server, reason)
            return
        self._tell([call for call in calls if not (isinstance(call, JobFuture) and call.retries > 0)], server, reason)
        threading.Thread(
            target=self._resubmit, args=(again, server, reason), name="gearpool-resubmit", daemon=True
        ).start()

    def _resubmit(self, futures: list[JobFuture], server: str, reason: str) -> None:
        """Submit again what a lost connection left open; the server recognises by unique id what it still has."""
        backoff = Backoff(0.1, 5.0)
        failure: GearpoolError = ConnectionLost(server, reason)
        while futures:
            left: list[JobFuture] = []
            down = False
            for future in futures:
                if future.retries <= 0 or future.deadline.expired():
                    future.settle(failure)
                    continue
                future.retries -= 1
                if not down:
                    try:
                        self._send([future])
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
                call.lost(server, reason)
