"""Which servers to ask about a job, from the arguments of both clients. Floor 3; pure."""

from __future__ import annotations

from collections.abc import Sequence

from gearpool.client.results import JobHandle
from gearpool.errors import InvalidArgument
from gearpool.protocol.names import handle_name


def known_server(server: str | None, names: Sequence[str]) -> str:
    """The named one of a client's servers; the first if none is named.

    Raises:
        InvalidArgument: it is none of them.
    """
    if server is None:
        return names[0]
    if server not in names:
        raise InvalidArgument(f"{server} is not one of this client's servers {', '.join(names)}")
    return server


def whom_to_ask(job: JobHandle | str, names: Sequence[str]) -> tuple[list[str], bytes]:
    """The servers that may know a job, and its handle there.

    Args:
        job: what a submission returned, its ``server/handle``, or a bare handle, which any of the servers may know.
        names: the client's servers.

    Raises:
        InvalidArgument: its server is none of them, or that is no handle.
    """
    if isinstance(job, JobHandle):
        server, handle = job.server, job.handle
    else:
        server, _, handle = str(job).rpartition("/")
        if not server:
            return list(names), handle_name(handle)
    return [known_server(server, names)], handle_name(handle)


def one_server(job: object, names: Sequence[str]) -> tuple[str, bytes]:
    """The server that has a job, and its handle there.

    Raises:
        InvalidArgument: as `whom_to_ask`, or a bare handle, and there are several servers.
    """
    servers, handle = whom_to_ask(str(job), names)
    if len(servers) > 1:
        raise InvalidArgument(f"{job}: with several servers a job is named server/handle")
    return servers[0], handle


def one_of(job: object, unique: object) -> None:
    """A job or a unique id is given, not both.

    Raises:
        InvalidArgument: both are, or none.
    """
    if (job is None) == (unique is None):
        raise InvalidArgument("give a job or a unique id")
