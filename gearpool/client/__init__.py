"""The client library: `Client` and what it returns; `aio` is the same for asyncio. Floor 3.

`session` is the protocol's client side and `submission` what is known of one job, both pure; `connection` reads and writes
for a session, `pool` holds one connection a server, `dispatch` sends, asks and sends again over them, `futures` wait;
`client` and `submitting` are the public face.
"""

from gearpool.client.admin import Admin
from gearpool.client.client import Client
from gearpool.client.futures import JobFuture
from gearpool.client.replies import Replies
from gearpool.client.results import Data, Event, JobHandle, JobStatus, Progress, Warned

__all__ = ["Admin", "Client", "Data", "Event", "JobFuture", "JobHandle", "JobStatus", "Progress", "Replies", "Warned"]
