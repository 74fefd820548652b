"""The client for asyncio: `AsyncClient` and what it returns. Floor 3.

A shell of its own over the session and the submissions that the threads' client uses: `connection` is the protocol that
feeds a session, `pool` holds one connection a server, `dispatch` sends, asks and sends again, `time_limits` end
jobs at their limits; `client` and `submitting` are the public face.
"""

from gearpool.client.aio.admin import AsyncAdmin
from gearpool.client.aio.client import AsyncClient
from gearpool.client.aio.jobs import AsyncJob
from gearpool.client.aio.windows import Iteration

__all__ = ["AsyncAdmin", "AsyncClient", "AsyncJob", "Iteration"]
