from __future__ import annotations

import os

from gearpool.supervisor.loop import READ, Loop


def test_a_timer_in_the_far_future_does_not_break_the_loop() -> None:
    """As for ``recycle: {age: 999999999999d}``: the system call refuses timeouts of more than a few weeks."""
    for delay_s in (1e10, 8.6e16, 1e300, float("inf")):
        loop = Loop()
        read, write = os.pipe()
        served: list[int] = []

        def serve(mask: int, loop: Loop = loop, served: list[int] = served) -> None:
            served.append(mask)
            loop.stop()

        try:
            loop.later(delay_s, lambda: None)
            loop.watch(read, READ, serve)
            os.write(write, b"x")
            loop.run()
        finally:
            loop.close()
            os.close(read)
            os.close(write)
        assert served == [READ]
