"""Wrappers for `output="torch"` that stay on the device: no copy to the host, no synchronisation.

Gymnasium's own wrappers of these names work in numpy, on `output="numpy"`. These keep their
statistics as tensors where the environment lives, and work in all three autoreset modes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from torch import Tensor


class Moments:
    """Running mean and variance of rows, per element, on a device.

    Batches are merged by Chan, Golub and LeVeque (1979), as Gymnasium's and Stable-Baselines3's
    `RunningMeanStd` do, with the same start: mean 0, variance 1, worth 1e-4 rows. Kept in float64
    (float32 on `mps`, which has no other).

    Attributes:
        mean: [...], of all rows so far.
        var: [...], their population variance.
        count: [], how many.
    """

    def __init__(self, shape: Sequence[int], device: torch.device, start: float = 1e-4) -> None:
        """Start with nothing seen.

        Args:
            shape: of one row.
            device: where the rows will be.
            start: rows that the initial mean 0 and variance 1 are worth.
        """
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.mean = torch.zeros(tuple(shape), dtype=dtype, device=device)
        self.var = torch.ones(tuple(shape), dtype=dtype, device=device)
        self.count = torch.full((), start, dtype=dtype, device=device)

    def update(self, value: Tensor, rows: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            value: float [B, ...].
            rows: bool [B], which of them; default all. None of them is no change.
        """
        value = value.to(_working(value.dtype))
        number: int | Tensor
        if rows is None:
            number = len(value)
            var, mean = torch.var_mean(value, 0, correction=0)
        else:
            weight = _wide(rows, value).to(value.dtype)
            number = rows.sum().to(self.count.dtype)
            at_least_one = number.clamp(min=1).to(value.dtype)
            mean = (value * weight).sum(0) / at_least_one
            var = ((value - mean).square() * weight).sum(0) / at_least_one

        total = self.count + number
        share = number / total.clamp(min=1e-30)
        delta = mean.to(self.mean.dtype) - self.mean
        self.mean = self.mean + delta * share
        self.var = (
            self.var * (1 - share)
            + var.to(self.var.dtype) * share
            + delta.square() * (share * (1 - share))
        )
        self.count = total

    def tensors(self) -> dict[str, Tensor]:
        """`mean`, `var` and `count`."""
        return {"mean": self.mean, "var": self.var, "count": self.count}


class _DeviceWrapper(VectorWrapper):  # Gymnasium 1.2 has no type parameters here
    """What the three share: the device, the autoreset mode, and which rows a reset resets."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        name = type(self).__name__
        if getattr(env.unwrapped, "output", None) != "torch":
            raise ValueError(
                f'genenvs.wrappers.{name} works on output="torch"; for numpy there is'
                f" gymnasium.wrappers.vector.{name}"
            )
        self.device: torch.device = env.unwrapped.device  # type: ignore[attr-defined]
        self.mode: AutoresetMode = env.metadata["autoreset_mode"]

    def _reset_rows(self, options: Mapping[str, Any] | None) -> Tensor | None:
        """The mask of a partial reset, bool [B]; None: all rows."""
        mask = (options or {}).get("reset_mask")
        return None if mask is None else torch.as_tensor(mask, device=self.device)


class _PerEpisode(_DeviceWrapper):
    """Keeps [B] tensors that a new episode sets back to zero."""

    _running: tuple[str, ...] = ()  # names of these attributes

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        for name in self._running:
            setattr(self, name, torch.zeros(env.num_envs, device=self.device))
        # Rows whose next step only resets them; none but under NEXT_STEP.
        self._over = torch.zeros(env.num_envs, dtype=torch.bool, device=self.device)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        result = self.env.reset(seed=seed, options=options)
        rows = self._reset_rows(options)
        self._begin(torch.ones_like(self._over) if rows is None else rows)
        return result

    def _begin(self, rows: Tensor) -> None:
        for name in self._running:
            setattr(self, name, getattr(self, name).masked_fill(rows, 0.0))
        self._over = self._over & ~rows

    def _counts(self) -> Tensor:
        """Rows whose coming step belongs to an episode, bool [B]."""
        return ~self._over

    def _end(self, ended: Tensor) -> None:
        """After a step: what ended begins anew, at once or with the next step."""
        for name in self._running:
            setattr(self, name, getattr(self, name).masked_fill(ended, 0.0))
        if self.mode is AutoresetMode.NEXT_STEP:
            self._over = ended


class RecordEpisodeStatistics(_PerEpisode):
    """Return and length of every episode, in `info` and over the whole run.

    `info["episode"]` is `{"r": float32 [B], "l": int64 [B]}`, zero but where `info["_episode"]`
    (bool [B]) is True: rows whose episode ended in this step. Unlike Gymnasium's, the keys are
    there at every step (whether any row ended is known on the device alone), there is no elapsed
    time `t` and no queue: `summary()` gives the run's statistics with one copy to the host.
    """

    _running = ("_return", "_length")
    _return: Tensor
    _length: Tensor

    def __init__(self, env: VectorEnv[Any, Any, Any], stats_key: str = "episode") -> None:
        """Wrap an environment.

        Args:
            env: of torch output.
            stats_key: the key in `info`.

        Raises:
            ValueError: numpy output.
        """
        super().__init__(env)
        self._key = stats_key
        self.clear()

    def clear(self) -> None:
        """Forget the episodes that `summary` would speak of; running ones go on."""
        self._moments = Moments((2,), self.device, start=0.0)
        infinite = torch.full((2,), torch.inf, dtype=torch.float32, device=self.device)
        self._least, self._most = infinite, -infinite

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(actions)
        counts = self._counts()
        self._return = self._return + reward * counts
        self._length = self._length + counts
        ended = (terminated | truncated) & counts
        info[self._key] = {"r": self._return * ended, "l": (self._length * ended).to(torch.int64)}
        info[f"_{self._key}"] = ended

        both = torch.stack([self._return, self._length], 1)  # [B, 2]
        self._moments.update(both.to(self._moments.mean.dtype), ended)
        skipped = ~ended[:, None]
        self._least = self._least.minimum(both.masked_fill(skipped, torch.inf).amin(0))
        self._most = self._most.maximum(both.masked_fill(skipped, -torch.inf).amax(0))
        self._end(ended)
        return observation, reward, terminated, truncated, info

    def summary(self) -> dict[str, float]:
        """Of all episodes that ended since the start, or since `clear`; one copy to the host.

        Returns:
            `episodes`, and `return_mean`, `return_std` (population), `return_min`, `return_max`,
            and the same of `length`; only `episodes` where there was none.
        """
        moments = self._moments
        parts = (moments.mean, moments.var.sqrt(), self._least, self._most)
        table = torch.stack([part.to(moments.mean.dtype) for part in parts], 1)  # [2, 4]
        count, *numbers = torch.cat([moments.count[None], table.flatten()]).tolist()
        names = [f"{of}_{what}" for of in ("return", "length")
                 for what in ("mean", "std", "min", "max")]  # fmt: skip
        found = dict(zip(names, numbers, strict=True)) if count else {}
        return {"episodes": int(count), **found}

    def state_dict(self) -> dict[str, Tensor]:
        """Return and length so far of the episodes that are running, copied."""
        return {name.removeprefix("_"): getattr(self, name).clone() for name in self._running}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave; the statistics of ended episodes stay as they are.

        Raises:
            ValueError: other names or shapes; nothing has changed.
        """
        own = self.state_dict()
        shapes = {name: list(value.shape) for name, value in state.items()}
        if shapes != {name: list(value.shape) for name, value in own.items()}:
            raise ValueError(f"expected {sorted(own)} of [{self.num_envs}]; got {shapes}")
        for name, value in state.items():
            setattr(self, f"_{name}", value.to(own[name]))


class NormalizeObservation(_DeviceWrapper):
    """Every float part of the observation less its running mean, over its standard deviation.

    A `Box` of floats, or each such entry of a `Dict`, has statistics of its own, element by
    element; anything else (counts, indices, uint8 images) passes through. What is counted is every
    observation that an episode shows, its final one included: under SAME_STEP that of
    `info["final_obs"]`, which is normalised by the same statistics. In a partial reset only the
    rows that are reset count again. So the three autoreset modes, playing the same episodes, end
    with the same statistics; what a single step returns differs between them while these still
    move, as an ended row's final observation is seen a step earlier.

    Equal to Gymnasium's numpy wrapper where that is defined (NEXT_STEP, full resets), which keeps
    its moments in float32.

    Attributes:
        update: whether observations change the statistics; switch it off to evaluate.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        epsilon: float = 1e-8,
        update: bool = True,
        clip: float | None = None,
    ) -> None:
        """Wrap an environment.

        Args:
            env: of torch output.
            epsilon: added to the variance.
            update: whether observations change the statistics.
            clip: bound of a normalised value, by default none.

        Raises:
            ValueError: numpy output, no float in the observation, `epsilon` or `clip` not positive.
        """
        super().__init__(env)
        if epsilon <= 0 or (clip is not None and clip <= 0):
            raise ValueError(f"epsilon and clip must be positive; got {epsilon} and {clip}")
        self.epsilon, self.update, self.clip = epsilon, update, clip
        single = env.single_observation_space
        entries = dict(single.spaces) if isinstance(single, spaces.Dict) else {"": single}
        # Of each float entry by name; that of a bare Box is "".
        self._moments = {
            name: Moments(space.shape, self.device)
            for name, space in entries.items()
            if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)
        }
        if not self._moments:
            raise ValueError(f"there is no float to normalise in {single}")
        bound = np.inf if clip is None else clip
        changed: dict[str, gym.Space[Any]] = {
            name: spaces.Box(-bound, bound, entries[name].shape, np.float32)
            for name in self._moments
        }
        self.single_observation_space = (
            spaces.Dict({**entries, **changed}) if isinstance(single, spaces.Dict) else changed[""]
        )
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._see(observation, self._reset_rows(options))
        return self.normalize(observation), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(actions)
        final = info.get("final_obs")
        self._see(observation, None, final, info.get("_final_obs"))
        if final is not None:
            info["final_obs"] = self.normalize(final, info["_final_obs"])
        return self.normalize(observation), reward, terminated, truncated, info

    def normalize(self, observation: Any, rows: Tensor | None = None) -> Any:
        """By the statistics as they are.

        Args:
            observation: tensor [B, ...] or dict of them, of the environment's own space.
            rows: bool [B], where to do it; zeros elsewhere. Default everywhere.

        Returns:
            The same with float32 where there are statistics.
        """
        if not isinstance(observation, dict):
            return self._scale(observation, self._moments[""], rows)
        return {
            name: self._scale(value, self._moments[name], rows) if name in self._moments else value
            for name, value in observation.items()
        }

    def _scale(self, value: Tensor, moments: Moments, rows: Tensor | None) -> Tensor:
        dtype = _working(value.dtype)
        scale = (moments.var + self.epsilon).rsqrt().to(dtype)
        result = ((value - moments.mean.to(dtype)) * scale).to(torch.float32)
        if self.clip is not None:
            result = result.clamp(-self.clip, self.clip)
        if rows is not None:
            result = result * _wide(rows, result)
        return result

    def _see(
        self, observation: Any, rows: Tensor | None, final: Any = None, ended: Tensor | None = None
    ) -> None:
        if not self.update:
            return
        if final is not None and ended is not None:
            rows = torch.cat([torch.ones_like(ended), ended])
        for name, moments in self._moments.items():
            value = observation[name] if name else observation
            if final is not None:
                value = torch.cat([value, final[name] if name else final])
            moments.update(value, rows)

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics, copied: `mean`, `var` and `count`, of a `Dict` as `name.mean` ..."""
        return {
            f"{name}.{part}" if name else part: value.clone()
            for name, moments in self._moments.items()
            for part, value in moments.tensors().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: other names or shapes; nothing has changed.
        """
        _load(self._moments, state)


class NormalizeReward(_PerEpisode):
    """The reward over the standard deviation of the discounted return so far.

    The return of a row starts at zero with each episode, its last step included, in all autoreset
    modes; the step of NEXT_STEP that only resets a row does not count. This is what
    Stable-Baselines3's `VecNormalize` does. Gymnasium's numpy wrapper (1.4) equals it only while no
    episode ends: there a row that terminates forgets its return before the last reward is added,
    under NEXT_STEP the last return of an episode leaks into the next, and a partial reset forgets
    the returns of all rows.

    Attributes:
        update: whether rewards change the statistics; switch it off to evaluate.
    """

    _running = ("_return",)
    _return: Tensor

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        gamma: float = 0.99,
        epsilon: float = 1e-8,
        update: bool = True,
    ) -> None:
        """Wrap an environment.

        Args:
            env: of torch output.
            gamma: discount of the return, in [0, 1].
            epsilon: added to the variance.
            update: whether rewards change the statistics.

        Raises:
            ValueError: numpy output, `gamma` out of range or `epsilon` not positive.
        """
        super().__init__(env)
        if not 0 <= gamma <= 1 or epsilon <= 0:
            raise ValueError(
                f"gamma must be in [0, 1] and epsilon positive; got {gamma} and {epsilon}"
            )
        self.gamma, self.epsilon, self.update = gamma, epsilon, update
        self._moments = Moments((), self.device)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(actions)
        counts = self._counts()
        self._return = self._return * self.gamma + reward * counts
        if self.update:
            self._moments.update(self._return, counts)
        self._end((terminated | truncated) & counts)
        return observation, self.normalize(reward), terminated, truncated, info

    def normalize(self, reward: Tensor) -> Tensor:
        """By the statistics as they are: float32 of the shape given."""
        return (reward * (self._moments.var + self.epsilon).rsqrt()).to(torch.float32)

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics, copied: `mean`, `var` and `count` of the discounted return."""
        return {name: value.clone() for name, value in self._moments.tensors().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: other names or shapes; nothing has changed.
        """
        _load({"": self._moments}, state)


def _load(moments: Mapping[str, Moments], state: Mapping[str, Tensor]) -> None:
    """Overwrite the moments by tensors named as in `state_dict`, all or none."""
    expected = {
        f"{name}.{part}" if name else part: (item, part, value)
        for name, item in moments.items()
        for part, value in item.tensors().items()
    }
    shapes = {key: list(value.shape) for key, (_, _, value) in expected.items()}
    given = {key: list(value.shape) for key, value in state.items()}
    if shapes != given:
        raise ValueError(f"the statistics must have the shapes {shapes}; got {given}")
    for key, (item, part, value) in expected.items():
        setattr(item, part, state[key].to(value, copy=True))


def _working(dtype: torch.dtype) -> torch.dtype:
    """What to compute in: float32, or more where the values have more."""
    return torch.promote_types(dtype, torch.float32)


def _wide(rows: Tensor, like: Tensor) -> Tensor:
    return rows.reshape(-1, *(1,) * (like.ndim - 1))
