from __future__ import annotations

import itertools

import pytest

from gearpool.supervisor.states import (
    CHILD,
    DAEMON,
    Event,
    IllegalTransitionError,
    Life,
    Stage,
    Turn,
    advance,
)


@pytest.mark.parametrize(("stage", "turn"), list(itertools.product(Stage, Turn)))
def test_a_child_goes_on_only_as_its_table_says(stage: Stage, turn: Turn) -> None:
    if (stage, turn) in CHILD:
        assert advance(CHILD, stage, turn) is CHILD[stage, turn]
    else:
        with pytest.raises(IllegalTransitionError):
            advance(CHILD, stage, turn)


@pytest.mark.parametrize(("life", "event"), list(itertools.product(Life, Event)))
def test_the_daemon_goes_on_only_as_its_table_says(life: Life, event: Event) -> None:
    if (life, event) in DAEMON:
        assert advance(DAEMON, life, event) is DAEMON[life, event]
    else:
        with pytest.raises(IllegalTransitionError):
            advance(DAEMON, life, event)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.GONE])
def test_every_child_may_end_at_any_moment(stage: Stage) -> None:
    assert advance(CHILD, stage, Turn.EXIT) is Stage.GONE


def test_nothing_comes_after_the_end() -> None:
    assert not [row for row in CHILD if row[0] is Stage.GONE]
    assert not [row for row in DAEMON if row[0] is Life.STOPPED]


@pytest.mark.parametrize("life", [Life.CHECKING, Life.STARTING, Life.RUNNING, Life.RELOADING])
def test_the_daemon_may_be_stopped_at_any_moment(life: Life) -> None:
    assert advance(DAEMON, life, Event.STOP) is Life.DRAINING
