"""What counts as the silence of a server, on a clock of the test's."""

from __future__ import annotations

from gearpool.worker.patience import Patience, Silence, Tick, tick

PATIENCE = Patience()


class Clock:
    """Ticks at the times that the test says, as a pool makes them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.silence = Silence()
        self.asked: list[float] = []

    def tick(self, elapsed_s: float = 1.0) -> Tick:
        self.now += elapsed_s
        look = tick(elapsed_s, self.now, PATIENCE.tick_s)
        self.silence.lasts(look, PATIENCE)
        if self.silence.must_ask(PATIENCE):
            self.asked.append(self.now - 1000.0)
        return look

    def is_dead(self, look: Tick) -> bool:
        return self.silence.is_over(PATIENCE.silent_s, look, PATIENCE)


def test_a_silent_server_is_asked_twice_and_then_taken_for_dead() -> None:
    clock = Clock()
    dead = [clock.is_dead(clock.tick()) for _ in range(15)]
    assert dead == [False] * 14 + [True]
    assert clock.asked == [5.0, 10.0, 15.0]


def test_a_pause_of_ours_is_no_silence_and_the_server_is_asked_once_more() -> None:
    for pause_s in (6.0, 28.0, 60.0, 3600.0):
        clock = Clock()
        for _ in range(14):
            clock.tick()
        look = clock.tick(pause_s)
        assert not look.in_time
        assert not clock.is_dead(look)
        assert clock.asked[-1] == 14.0 + pause_s
        # The event loop makes up for the tick that was late, at once.
        assert not clock.is_dead(clock.tick(0.0))
        answers = [clock.is_dead(clock.tick()) for _ in range(5)]
        assert answers == [False] * 4 + [True]


def test_a_process_that_is_blocked_again_and_again_still_notices_a_dead_server() -> None:
    clock = Clock()
    ticks = 0
    while not clock.is_dead(clock.tick(3.0)):
        ticks += 1
        assert ticks < 30


def test_what_is_heard_ends_the_silence() -> None:
    clock = Clock()
    for _ in range(14):
        clock.tick()
    clock.silence.broken()
    assert not any(clock.is_dead(clock.tick()) for _ in range(14))
    assert clock.is_dead(clock.tick())


def test_a_tick_tells_how_long_nobody_was_there() -> None:
    assert tick(1.1, 7.0, 1.0) == Tick(7.0, heard_s=1.0, away_s=0.0, in_time=True)
    assert tick(29.0, 7.0, 1.0) == Tick(7.0, heard_s=1.0, away_s=28.0, in_time=False)
    assert tick(0.1, 7.0, 1.0) == Tick(7.0, heard_s=0.1, away_s=0.0, in_time=False)
