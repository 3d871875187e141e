"""MO-Gymnasium: reward terms as a vector, by its convention.

MO-Gymnasium asks of an environment that `step` returns a float32 array instead of a number, all of
it to be made large, and that `unwrapped` has the `reward_space` and `reward_dim`. Its wrappers and
algorithms then work on the environments of genenvs; nothing here imports it.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper

from genenvs.core.env import TaskEnv
from genenvs.core.info import step_terms
from genenvs.core.vector import TaskVectorEnv


class _Objectives:
    """Which terms make the vector, and with which sign."""

    terms: tuple[str, ...]
    weights: np.ndarray
    reward_space: spaces.Box

    def _choose(self, base: Any, batch: TaskVectorEnv, terms: Sequence[str] | None) -> None:
        known = batch.weights
        self.terms = tuple(known if terms is None else terms)
        if isinstance(terms, str) or not self.terms or set(self.terms) - set(known):
            raise ValueError(f"terms must name some of {', '.join(known)}; got {terms!r}")
        weights = np.array([known[name] for name in self.terms], np.float32)
        self._signs = np.where(weights < 0, np.float32(-1), np.float32(1))
        self.weights = weights * self._signs
        size = (len(self.terms),)
        self.reward_space = spaces.Box(-np.inf, np.inf, size, np.float32)
        # MO-Gymnasium looks for these at `unwrapped`.
        base.reward_space, base.reward_dim = self.reward_space, size[0]


class TermRewards(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs, _Objectives):
    """A single environment whose reward is the vector of its terms.

    A term whose weight is negative, a price, changes its sign, so that more is better in all.

    Attributes:
        terms: names, in the order of the vector.
        weights: float32 [D], never negative: their dot product with the vector is the scalar
            reward, if all terms are in it (`mo_gymnasium.wrappers.LinearReward(env, env.weights)`).
        reward_space: `Box` [D].
    """

    def __init__(self, env: gym.Env[Any, Any], terms: Sequence[str] | None = None) -> None:
        """Wrap an environment.

        Args:
            env: of genenvs; wrappers that change its reward have no say.
            terms: names; default: all.

        Raises:
            TypeError: no environment of genenvs.
            ValueError: no such term, or none at all.
        """
        gym.utils.RecordConstructorArgs.__init__(self, terms=terms)
        gym.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, TaskEnv):
            raise TypeError(f"TermRewards wraps environments of genenvs; got {env.unwrapped}")
        self._choose(env.unwrapped, env.unwrapped.batch, terms)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.env.step(action)
        paid = np.array([info["terms"][name] for name in self.terms], np.float32)
        return observation, paid * self._signs, terminated, truncated, info


class VectorTermRewards(VectorWrapper, _Objectives):
    """A native vector environment whose reward is [B, D]; see `TermRewards`.

    Of numpy output it is an array; of torch output a tensor on the device. Works in all autoreset
    modes; the step of NEXT_STEP that only resets a row pays zeros.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], terms: Sequence[str] | None = None) -> None:
        """Wrap a vector environment.

        Args:
            env: a `TaskVectorEnv`, maybe wrapped.
            terms: names; default: all.

        Raises:
            TypeError: no native vector environment of genenvs.
            ValueError: no such term, or none at all.
        """
        super().__init__(env)
        if not isinstance(env.unwrapped, TaskVectorEnv):
            raise TypeError(f"VectorTermRewards wraps a TaskVectorEnv; got {env.unwrapped}")
        self._choose(env.unwrapped, env.unwrapped, terms)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.env.step(actions)
        terms = step_terms(info)
        paid = [terms[name] for name in self.terms]
        vector: Any
        if isinstance(paid[0], torch.Tensor):
            vector = torch.stack(paid, 1) * torch.from_numpy(self._signs).to(paid[0].device)
        else:
            vector = np.stack(paid, 1).astype(np.float32) * self._signs
        return observation, vector, terminated, truncated, info
