"""For the tests of people who use gearpool, and for our own: real servers inside the test process. Floor 5."""

from gearpool.testing.servers import ThreadedJobServer, job_server

__all__ = ["ThreadedJobServer", "job_server"]
