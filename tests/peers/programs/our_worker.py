"""gearpool's Worker with the functions of the peers' checks: our_worker.py HOST PORT; serves until it is killed."""

from gevent import monkey

monkey.patch_all()

import collections  # noqa: E402 - everything after patching
import sys  # noqa: E402
import threading  # noqa: E402
from collections.abc import Generator  # noqa: E402

from gearpool import Abort, Job, Worker  # noqa: E402

held: dict[bytes, threading.Event] = collections.defaultdict(threading.Event)


def stream(arg: bytes, job: Job) -> Generator[bytes, None, bytes]:
    yield b"one"
    job.progress(1, 2)
    job.warning(b"careful")
    yield b"two"
    return b"end"


def hold(arg: bytes, job: Job) -> None:
    job.progress(1, 2)
    held[arg].wait(60)


def release(arg: bytes) -> None:
    held[arg].set()


def fail(arg: bytes) -> None:
    raise Abort


def explode(arg: bytes) -> None:
    raise Abort("because")


def main() -> None:
    with Worker(f"{sys.argv[1]}:{sys.argv[2]}") as worker:
        worker.add_ability("reverse", lambda arg: arg[::-1])
        worker.add_ability("echo", lambda arg: arg)
        worker.add_ability("stream", stream)
        worker.add_ability("hold", hold)
        worker.add_ability("release", release)
        worker.add_ability("fail", fail)
        worker.add_ability("explode", explode, report="exception")
        worker.run()


main()
