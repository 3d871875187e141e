"""The environments before a Stable-Baselines3 model, and what a run keeps of them."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genenvs.core.actions import flat_actions
from genenvs.core.optional import require

from . import checkpoint
from .networks import is_image
from .play import Episodes
from .problem import Problem

require("stable_baselines3", "agents")
from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.preprocessing import is_image_space  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper  # noqa: E402

from genenvs.interop.sb3 import SB3VecEnv  # noqa: E402

WARM_UP = 1 << 15  # in place of a worker's number: the stream that random first actions come from
LIMITS = "bounded ones, discrete ones of one axis from 0"
OBSERVATIONS = (
    "Box, Discrete, MultiDiscrete, MultiBinary and Dict observations, discrete ones of one axis"
    " from 0, pictures from 0 to 255, nothing nested"
)


class Rows(VecEnvWrapper):
    """Scales rewards, counts the episodes that end, and is what a run saves (`run.Played`).

    Where its rows stand is known to the model too, which is told of every fresh start.
    """

    def __init__(self, venv: VecEnv, problem: Problem, model: Any, reward_scale: float) -> None:
        super().__init__(venv)
        self.problem, self.model, self.reward_scale = problem, model, reward_scale
        self._inner: Any = venv
        self._ended = Episodes()
        self.spacing = problem.spacing(self.num_envs)

    # --- what Stable-Baselines3 calls ---

    def reset(self) -> Any:
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        if isinstance(self.action_space, spaces.MultiBinary):
            actions = actions.astype(self.action_space.dtype)  # Bernoulli samples are floats
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        observation, rewards, dones, infos = self.venv.step_wait()
        for row in np.flatnonzero(dones):
            episode = infos[row]["episode"]
            self._ended = self._ended.plus(Episodes(1, episode["r"], episode["l"]))
        return observation, rewards * self.reward_scale, dones, infos

    # --- what a run calls ---

    def begin(self, start: int) -> None:
        """Start new episodes everywhere; `start` counts such starts and decides their seeds."""
        self._seed_warm_up(start)
        self.venv.seed(self.problem.env_seed(0, start))
        self.model._last_obs = self.model.env.reset()  # through wrappers outside of this one
        self.model._last_episode_starts = np.ones(self.num_envs, dtype=bool)
        for memory in self._memories():
            memory.zero_()

    def snapshot(self, start: int) -> dict[str, Tensor]:
        """What `restore` goes on from; other people's environments begin anew."""
        if not self.problem.native:
            self.begin(start)
            return {}
        self._seed_warm_up(start)
        last = self.model._last_obs
        named = last if isinstance(last, dict) else {"": last}
        return {
            **checkpoint.under("env", self._inner.get_state()),
            **{f"observation.{k}": torch.from_numpy(v) for k, v in named.items()},
            "episode_starts": torch.from_numpy(self.model._last_episode_starts),
            **{f"memory.{k}": memory for k, memory in enumerate(self._memories())},
        }

    def restore(self, kept: dict[str, Tensor], start: int) -> None:
        """Go on from what `snapshot` gave."""
        self.begin(start)
        if not self.problem.native:
            return
        self._inner.set_state(checkpoint.part(kept, "env"))
        named = {k: v.numpy() for k, v in checkpoint.part(kept, "observation").items()}
        self.model._last_obs = named[""] if set(named) == {""} else named
        self.model._last_episode_starts = kept["episode_starts"].numpy()
        for k, memory in enumerate(self._memories()):
            memory.copy_(kept[f"memory.{k}"])

    def episodes(self) -> Episodes:
        """Those that ended since the last call."""
        ended, self._ended = self._ended, Episodes()
        return ended

    def _seed_warm_up(self, start: int) -> None:
        seed = self.problem.env_seed(WARM_UP, start)
        self.model.action_space.seed(seed % 2**31)

    def _memories(self) -> list[Tensor]:
        """Hidden and cell states of a recurrent model."""
        states = getattr(self.model, "_last_lstm_states", None)
        return [] if states is None else [*states.pi, *states.vf]


def make_envs(problem: Problem, num_envs: int) -> VecEnv:
    """The native batch, or single environments of other people one after the other."""
    if problem.native:
        return SB3VecEnv(problem.make(num_envs))
    return DummyVecEnv(
        [lambda: Masks(Monitor(gym.make(problem.env, **problem.arguments)))] * num_envs
    )


class Masks(gym.Wrapper[Any, Any, Any, Any]):
    """Has `action_masks` as sb3-contrib asks for it, from `info["action_mask"]` where that is."""

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**arguments)
        self._mask = info.get("action_mask")
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._mask = info.get("action_mask")
        return observation, reward, terminated, truncated, info

    def action_masks(self) -> np.ndarray:
        """Which actions are legal now: bool [n] in sb3-contrib's flat layout."""
        if self.env.has_wrapper_attr("action_masks"):
            return self.env.get_wrapper_attr("action_masks")()
        if self._mask is not None:
            return np.asarray(self._mask, dtype=bool)
        return np.ones(flat_actions(self.action_space), dtype=bool)


class Spaces(gym.Env[Any, Any]):
    """Spaces alone: enough to build a model that is not trained, or not yet."""

    def __init__(self, problem: Problem) -> None:
        self.observation_space, self.action_space = problem.spaces


def check_spaces(problem: Problem, agent: str, actions: str) -> None:
    """Refuse what an algorithm does not handle.

    Raises:
        TypeError: says which spaces it does.
    """
    observation, action = problem.spaces
    kinds = {kind.__name__ for kind in type(action).__mro__}
    bounded = not isinstance(action, spaces.Box) or action.is_bounded()
    if not (kinds & set(actions.split(", ")) and bounded and _plain(action)):
        raise TypeError(f"{agent} handles {actions} actions, {LIMITS}; {problem.env} has {action}")
    parts = observation.values() if isinstance(observation, spaces.Dict) else [observation]
    if not all(_plain(part) for part in parts):
        raise TypeError(f"Stable-Baselines3 reads {OBSERVATIONS}; {problem.env} has {observation}")


def _plain(space: gym.Space[Any]) -> bool:
    """Whether Stable-Baselines3 can handle a space that is no `Dict`."""
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary) and len(space.shape) != 1:
        return False
    if is_image(space) and not is_image_space(space):
        return False
    known = spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    return isinstance(space, known) and not np.any(getattr(space, "start", 0))
