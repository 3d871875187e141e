"""Environments to time, and plays of recorded actions."""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode

import genenvs  # noqa: F401  (registers the ids)


def native(env: str, num_envs: int, device: str = "cpu", output: str = "torch") -> Any:
    """A native batch."""
    return gym.make_vec(
        env, num_envs=num_envs, device=device, output=output, autoreset_mode=AutoresetMode.SAME_STEP
    )


def sync(env: str, num_envs: int) -> Any:
    """The same in Gymnasium's SyncVectorEnv, over single environments."""
    options = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gym.make_vec(env, num_envs=num_envs, vectorization_mode="sync", vector_kwargs=options)


def replay(envs: Any, actions: Any) -> Callable[[], Any]:
    """A function that takes the next step of a recorded play from seed 0, over and over.

    Args:
        envs: where to play.
        actions: of every step, for the whole batch.
    """
    rounds = cycle(range(len(actions)))

    def step() -> None:
        if (k := next(rounds)) == 0:
            envs.reset(seed=0)
        envs.step(actions[k])

    return step
