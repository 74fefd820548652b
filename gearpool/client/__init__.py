"""The client library: `Client` and what it returns. Floor 3.

`session` is the protocol's client side, pure; `connection`, `pool` and `client` are its shell for threads and
greenlets.
"""

from gearpool.client.admin import Admin, Replies
from gearpool.client.client import Client
from gearpool.client.futures import JobFuture
from gearpool.client.results import Data, Event, JobHandle, JobStatus, Progress, Warned

__all__ = ["Admin", "Client", "Data", "Event", "JobFuture", "JobHandle", "JobStatus", "Progress", "Replies", "Warned"]
