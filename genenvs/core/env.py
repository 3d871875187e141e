"""The single face of a task: a batch of one, as numpy and Python numbers."""

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.core import info as infos
from genenvs.core.instances import is_whole
from genenvs.core.options import read_options
from genenvs.core.vector import TaskVectorEnv


class TaskEnv(gym.Env[Any, Any]):
    """One environment: `TaskVectorEnv` with one row, without autoreset.

    `reset(options=...)` takes `episode` (where in the seed's sequence to start) and `instance`
    (an id within the split).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}

    def __init__(self, task: str, **arguments: Any) -> None:
        """Make a batch of one; the arguments are those of `TaskVectorEnv` less its own.

        Args:
            task: `module:Class` of a `Task`.
            **arguments: `split`, `instances`, `reward_weights`, `horizon`, `device`, `dtype`,
                `render_mode`, and the task's own.

        Raises:
            ValueError: an argument is wrong; says what was expected and what came.
            TypeError: unknown keyword; lists the known ones.
        """
        mine = {"num_envs", "output", "autoreset_mode", "validate", "max_episode_steps"}
        if wrong := sorted(mine & set(arguments)):
            raise TypeError(f"{', '.join(wrong)}: only the vector face takes this (gym.make_vec)")
        self._arguments = arguments | {"task": task}
        self.batch = TaskVectorEnv(
            task, output="torch", autoreset_mode=AutoresetMode.DISABLED, **arguments
        )
        self.task = self.batch.task
        self.observation_space = self.batch.single_observation_space
        self.action_space = self.batch.single_action_space
        self.render_mode = self.batch.render_mode

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode: the first of `seed`, or the next of the sequence."""
        super().reset(seed=seed)
        options = read_options(options)
        if "instance" in options:
            instance = options.pop("instance")
            if not is_whole(instance, 0):
                raise ValueError(f"options['instance'] must be an integer >= 0; got {instance!r}")
            options["instances"] = [int(instance)]
        step = self.batch.reset_tensors(None if seed is None else [seed], options)
        return _first(infos.observation(step, "numpy")), infos.single(step)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action; see `TaskVectorEnv.step`."""
        action = action[None] if isinstance(action, Tensor) else np.asarray(action)[None]
        step = self.batch.step_tensors(action)
        return (
            _first(infos.observation(step, "numpy")),
            float(step.reward),
            bool(step.terminated),
            bool(step.truncated),
            infos.single(step),
        )

    def render(self) -> np.ndarray | None:
        """A picture uint8 [H, W, 3]; None without a render mode."""
        frames = self.batch.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        """Let go of the state."""
        self.batch.close()

    def action_masks(self) -> np.ndarray:
        """Mask bool [n] in sb3-contrib's flat layout, True where an action is legal now."""
        return self.batch.action_masks()[0].cpu().numpy()

    def reference_action(self) -> Any:
        """The scripted baseline's action, or None where the task has none."""
        action = self.batch.reference_action()
        return None if action is None else _first(action.cpu().numpy())

    def random_action(self) -> Any:
        """What chance plays, where the task says; None: uniform over legal actions."""
        action = self.batch.random_action()
        return None if action is None else _first(action.cpu().numpy())

    def artefact(self) -> Any:
        """What the episode has made so far, as a user would keep it."""
        return self.batch.artefact(0)

    def branch(self, k: int, noise: Literal["fresh", "shared"] = "fresh") -> TaskVectorEnv:
        """A vector environment of `k` continuations of this episode."""
        return self.batch.branch(k, noise)

    def get_state(self) -> dict[str, Tensor]:
        """Everything the next step depends on."""
        return self.batch.get_state()

    def set_state(self, snapshot: Mapping[str, Tensor]) -> None:
        """Go back to what `get_state` returned."""
        self.batch.set_state(snapshot)

    def save_state(self, path: Any) -> None:
        """Write `get_state` to a safetensors file, whole or not at all."""
        self.batch.save_state(path)

    def load_state(self, path: Any) -> None:
        """Go back to what `save_state` wrote."""
        self.batch.load_state(path)

    def __getstate__(self) -> dict[str, Any]:
        """Arguments and tensors travel; weights come from the cache."""
        state = self.batch.get_state() if self.batch._state is not None else None
        return {"arguments": self._arguments, "spec": self.spec, "state": state,
                "np_random": (self._np_random, self._np_random_seed)}  # fmt: skip

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Rebuild from the arguments."""
        self.__init__(**kept["arguments"])  # type: ignore[misc]
        self.spec = kept["spec"]
        self._np_random, self._np_random_seed = kept["np_random"]
        if kept["state"] is not None:
            self.batch.set_state(kept["state"])


def _first(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _first(item) for name, item in value.items()}
    value = value[0]
    return np.int64(value) if isinstance(value, int | np.integer) else value
