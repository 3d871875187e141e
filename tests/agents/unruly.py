"""Small environments that worker processes import by name: one to learn, others that misbehave."""

import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

ACTIONS = 4


class Cue(gym.Env):
    """Do what the cue says, eight times; the action after it is illegal, and raises if taken.

    With `folder`, every start of a batch leaves a file there, named after the seed.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (ACTIONS,), np.float32)
        self.action_space = spaces.Discrete(ACTIONS)
        self.folder = folder

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None and self.folder is not None:
            (Path(self.folder) / str(seed)).touch(exist_ok=False)
        self.steps = 0
        return self._show()

    def step(self, action: int) -> Any:
        if action == (self.cue + 1) % ACTIONS:
            raise ValueError(f"action {action} is illegal after cue {self.cue}")
        right = float(action == self.cue)
        self.steps += 1
        observation, info = self._show()
        return observation, right, self.steps == 8, False, info

    def _show(self) -> Any:
        self.cue = int(self.np_random.integers(ACTIONS))
        mask = np.ones(ACTIONS, dtype=bool)
        mask[(self.cue + 1) % ACTIONS] = False
        return np.eye(ACTIONS, dtype=np.float32)[self.cue], {"action_mask": mask}


class Fails(Cue):
    """Raises in its 40th step."""

    def step(self, action: int) -> Any:
        self.age = getattr(self, "age", 0) + 1
        if self.age == 40:
            raise OSError("the kiln is cold")
        return super().step(action)


class Poisons(Cue):
    """Pays NaN from its 40th step on."""

    def step(self, action: int) -> Any:
        self.age = getattr(self, "age", 0) + 1
        observation, reward, *rest = super().step(action)
        return observation, reward if self.age < 40 else float("nan"), *rest


class Hangs(Cue):
    """Never comes back from its 40th step; says so in `folder`."""

    def step(self, action: int) -> Any:
        self.age = getattr(self, "age", 0) + 1
        if self.age == 40:
            (Path(str(self.folder)) / "hangs").touch()
            time.sleep(600)
        return super().step(action)


for _kind in (Cue, Fails, Poisons, Hangs):
    # Lambdas do not pickle: workers must find the environment by its name.
    gym.register(f"{_kind.__name__}-v0", entry_point=lambda kind=_kind, **given: kind(**given))
