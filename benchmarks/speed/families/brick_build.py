"""BrickBuild: which of 5,600 placements are legal, and the stability of what was built."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode

from benchmarks.speed.families import Target
from benchmarks.speed.measure import Row, Spread, in_turns, lap_of, row
from genenvs.tasks.brick_build import layers, stability

ENV = "genenvs/BrickBuild-v0"
FLOOR = "the mask of all 5,600 placements"
WHY = (
    "Whether a finished build stands is worked out build by build; the mask is made a second time "
    "for what ended; the layers around the hand are unpacked to be seen."
)
TARGETS = (Target(ENV, 64, "torch", 5, "sync"), Target(ENV, 1_024, "floor", 39_000))
COUNTS = (1, 10, 30, 60, 120)  # bricks
JUDGED = 2  # episodes at a time


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """What may be placed where."""
    return lambda: layers.legal(state.built, state.below)


def rows(device: str) -> Iterator[Row]:
    """The linear programme by the number of bricks, and episodes of the reference judged."""
    if device != "cpu":
        return
    envs: Any = gym.make_vec(
        ENV, num_envs=64, split="validation", output="torch", autoreset_mode=AutoresetMode.DISABLED
    )
    envs.reset(seed=0)
    task: Any = envs.unwrapped.task
    state = envs.unwrapped.state.clone()
    going = torch.ones(64, dtype=torch.bool)
    while going.any():
        result = task.transition(state.clone(), task.reference_action(state))
        state = state.where(~going, result.state)
        going = going & ~result.terminated
    codes = [task.codes(state, k) for k in range(64)]
    for count in COUNTS:
        # The first bricks of a build that has more: a build itself, and a count that is exact.
        some = cycle([c[:count] for c in codes if len(c) >= count][:5])
        laps = {"lp": lap_of(lambda some=some: stability.scores(next(some)), 1)}  # type: ignore[misc]
        spent = [1e3 / rate for rate in in_turns(laps)["lp"]]
        yield row(f"stability of {count} bricks", 1, Spread.of(spent), unit="ms")
    pick = state.rows(torch.arange(JUDGED))
    laps = {"judge": lap_of(lambda: task.judge(pick.clone()), JUDGED)}
    yield row("episodes judged", JUDGED, Spread.of(in_turns(laps)["judge"]), "about 50")
