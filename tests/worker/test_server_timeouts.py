"""When a silent server is probed and considered dead, on a fake clock."""

from __future__ import annotations

from gearpool.worker.server_timeouts import ServerTimeouts, SilenceTimer, Tick, make_tick

TIMEOUTS = ServerTimeouts()


class Clock:
    """Advances the time and ticks, as a pool does."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.silence = SilenceTimer()
        self.probed: list[float] = []

    def tick(self, elapsed_s: float = 1.0) -> Tick:
        self.now += elapsed_s
        tick = make_tick(elapsed_s, self.now, TIMEOUTS.tick_s)
        self.silence.add(tick, TIMEOUTS)
        if self.silence.should_probe(TIMEOUTS):
            self.probed.append(self.now - 1000.0)
        return tick

    def is_dead(self, tick: Tick) -> bool:
        return self.silence.exceeds(TIMEOUTS.silent_s, tick, TIMEOUTS)


def test_a_silent_server_is_probed_and_then_considered_dead() -> None:
    clock = Clock()
    dead = [clock.is_dead(clock.tick()) for _ in range(15)]
    assert dead == [False] * 14 + [True]
    assert clock.probed == [5.0, 10.0, 15.0]


def test_a_pause_of_this_process_does_not_count_as_silence_and_the_server_is_probed_once_more() -> None:
    for pause_s in (6.0, 28.0, 60.0, 3600.0):
        clock = Clock()
        for _ in range(14):
            clock.tick()
        tick = clock.tick(pause_s)
        assert not tick.in_time
        assert not clock.is_dead(tick)
        assert clock.probed[-1] == 14.0 + pause_s
        # The timer fires again right after a late tick.
        assert not clock.is_dead(clock.tick(0.0))
        answers = [clock.is_dead(clock.tick()) for _ in range(5)]
        assert answers == [False] * 4 + [True]


def test_a_process_whose_every_tick_is_late_still_detects_a_dead_server() -> None:
    clock = Clock()
    ticks = 0
    while not clock.is_dead(clock.tick(3.0)):
        ticks += 1
        assert ticks < 30


def test_received_data_resets_the_silence() -> None:
    clock = Clock()
    for _ in range(14):
        clock.tick()
    clock.silence.reset()
    assert not any(clock.is_dead(clock.tick()) for _ in range(14))
    assert clock.is_dead(clock.tick())


def test_a_tick_shows_for_how_long_the_process_was_paused() -> None:
    assert make_tick(1.1, 7.0, 1.0) == Tick(7.0, active_s=1.0, paused_s=0.0, in_time=True)
    assert make_tick(29.0, 7.0, 1.0) == Tick(7.0, active_s=1.0, paused_s=28.0, in_time=False)
    assert make_tick(0.1, 7.0, 1.0) == Tick(7.0, active_s=0.1, paused_s=0.0, in_time=False)
