"""Stable-Baselines3: its `VecEnv` over the native vector environment."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from genenvs.core.info import Step, convert, observation
from genenvs.core.optional import require
from genenvs.core.vector import TaskVectorEnv

require("stable_baselines3", "sb3")
from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env import VecEnv  # noqa: E402

_MASKS = "action_masks"
_ROW_METHODS = (_MASKS, "reference_action", "artefact", "render")
_ROW_OPTIONS = {"episode": "episode", "instance": "instances"}  # of one row -> of the batch


def make_sb3(id: str, num_envs: int = 1, **kwargs: Any) -> "SB3VecEnv":
    """Make a native vector environment, as `gym.make_vec` does, for Stable-Baselines3.

    Args:
        id: a genenvs id.
        num_envs: rows of the batch.
        **kwargs: what `TaskVectorEnv` takes; `autoreset_mode` is SAME_STEP.

    Raises:
        ValueError: another autoreset mode was asked for.
        TypeError: the id, or a `vectorization_mode`, gives no native vector environment.
    """
    if "vectorization_mode" in kwargs:
        raise TypeError(
            "make_sb3 makes the native vector environment: it has no vectorization_mode"
        )
    kwargs.setdefault("autoreset_mode", AutoresetMode.SAME_STEP.name)
    return SB3VecEnv(gym.make_vec(id, num_envs=num_envs, **kwargs))


class SB3VecEnv(VecEnv):
    """A `TaskVectorEnv` as Stable-Baselines3 and sb3-contrib want it.

    `info` is an empty dict but for rows whose episode ended. These hold `terminal_observation`,
    `TimeLimit.truncated`, `episode` (return `r`, length `l`, seconds since the start `t`: no
    `Monitor` or `VecMonitor` is needed), and of the episode that ended its `seed` and
    `episode_index`, the reward `terms` of its last step and its `metrics`, as Python numbers; an
    episode that `max_episode_steps` cut off has no metrics of kind `end`.

    Every discrete action space has `action_masks`, all True where the task has no mask, so that
    MaskablePPO runs on each. Masks are those of the last `reset` or `step` of this object.

    What is returned is never written into again. With `device="cuda"` every step copies
    observations, rewards and flags to the host: Stable-Baselines3 works in numpy.
    """

    def __init__(self, envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        """Wrap a native vector environment.

        Args:
            envs: a `TaskVectorEnv` made with `autoreset_mode="SAME_STEP"`; numpy or torch output.

        Raises:
            TypeError: no bare `TaskVectorEnv`; a wrapper, a single or a foreign environment.
            ValueError: another autoreset mode, or actions that do not start at 0.
        """
        self.envs = envs = _checked(envs)
        self.spec = envs.spec
        self._start = time.time()
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, dtype=np.int64)
        self._actions: Any = None
        self._masks: Tensor | None = None
        self._batch_options: dict[str, Any] = {}
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    # --- reset and step ---

    def reset(self) -> Any:
        """Start an episode in every row, with the seeds and options given since the last one.

        Returns:
            Observations [B, ...] or a dict of them; infos are in `reset_infos`.
        """
        seeds = self._seeds if any(seed is not None for seed in self._seeds) else None
        step = self.envs.reset_tensors(seeds, self._batch_options)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        self._masks = step.action_mask
        self._name_episodes(step, None)
        return observation(step, "numpy")

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions [B, ...] for `step_wait`."""
        if isinstance(self.action_space, spaces.MultiBinary):
            actions = _bits(actions)
        self._actions = actions

    def step_wait(self) -> Any:
        """Take the actions.

        Returns:
            Observations [B, ...], in rows that ended already those of the next episode; rewards
            float32 [B]; dones bool [B]; infos, one dict a row.

        Raises:
            ValueError: an action is outside the action space; nothing has changed.
            RuntimeError: nothing was reset yet.
        """
        step = self.envs.step_tensors(self._actions)
        assert step.ended is not None
        rewards = convert(step.reward, "numpy")
        self._returns += rewards
        self._lengths += 1
        self._masks = step.action_mask
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if step.rows is not None:
            self._describe(step, infos)
        return observation(step, "numpy"), rewards, convert(step.ended, "numpy"), infos

    def _describe(self, step: Step, infos: list[dict[str, Any]]) -> None:
        """Fill the infos of the rows that ended, and start their statistics anew."""
        assert step.rows is not None and step.final is not None
        assert step.terms is not None and step.metrics is not None and step.settled is not None
        rows = step.rows.tolist()
        final = step.final.observation
        arrays = (
            {name: convert(value, "numpy") for name, value in final.items()}
            if isinstance(final, dict)
            else convert(final, "numpy")
        )
        # One copy to the host for all numbers, and one for all integers.
        table = torch.stack([*step.terms.values(), *step.metrics.values()])[:, step.rows]
        values = table.T.tolist()
        cut = step.truncated & ~step.terminated
        whole = torch.stack([cut.long(), step.final.seed, step.final.episode, step.settled.long()])
        integers = whole[:, step.rows].T.tolist()
        elapsed = round(time.time() - self._start, 6)
        returns, lengths = self._returns[rows].tolist(), self._lengths[rows].tolist()
        terms, metrics = list(step.terms), list(step.metrics)
        for k, row in enumerate(rows):
            measured = zip(metrics, values[k][len(terms) :], strict=True)
            infos[row].update({
                "terminal_observation": (
                    {name: value[k] for name, value in arrays.items()}
                    if isinstance(arrays, dict)
                    else arrays[k]
                ),
                "TimeLimit.truncated": bool(integers[k][0]),
                "episode": {"r": returns[k], "l": lengths[k], "t": elapsed},
                "terms": dict(zip(terms, values[k][: len(terms)], strict=True)),
                "metrics": {
                    name: value
                    for name, value in measured
                    if integers[k][3] or name not in step.end_metrics
                },
                "seed": integers[k][1],
                "episode_index": integers[k][2],
            })  # fmt: skip
        self._returns[rows] = 0.0
        self._lengths[rows] = 0
        self._name_episodes(step, step.rows)

    def _name_episodes(self, step: Step, rows: Tensor | None) -> None:
        """Put the identity of the episodes that begin into `reset_infos`."""
        index = torch.arange(self.num_envs, device=step.seed.device) if rows is None else rows
        names = torch.stack([index, step.seed[index], step.episode[index]]).T.tolist()
        for row, seed, episode in names:
            self.reset_infos[row] = {"seed": seed, "episode_index": episode}

    def set_options(
        self, options: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None
    ) -> None:
        """Options for the next `reset`.

        Args:
            options: what `TaskVectorEnv.reset` takes (`episode`, `instances`, `repeats`, `noise`),
                or what the single environment takes (`episode`, `instance`): one dict for all rows
                or a list of one each.

        Raises:
            ValueError: the list has another length, or its dicts name different options.
        """
        if options is None or isinstance(options, Mapping):
            batch = dict(options or {})
            if "instance" in batch:
                batch["instances"] = [batch.pop("instance")] * self.num_envs
        else:
            names = set(options[0]) if options else set()
            if len(options) != self.num_envs or any(set(row) != names for row in options):
                raise ValueError(
                    f"options must be one dict, or {self.num_envs} dicts that name the same options"
                )
            if unknown := names - set(_ROW_OPTIONS):
                raise ValueError(
                    f"a row knows no option {sorted(unknown)}; known are {', '.join(_ROW_OPTIONS)}"
                )
            batch = {_ROW_OPTIONS[name]: [row[name] for row in options] for name in names}
        self._batch_options = batch

    def _reset_options(self) -> None:
        super()._reset_options()
        self._batch_options = {}

    def get_state(self) -> dict[str, Tensor]:
        """Everything the next step depends on, and the statistics of the episodes that run."""
        own = {
            "sb3.return": torch.from_numpy(self._returns.copy()),
            "sb3.length": torch.from_numpy(self._lengths.copy()),
        }
        return self.envs.get_state() | own

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `get_state` returned; the observation of that moment is the caller's.

        Raises:
            KeyError: it is not from `get_state` of this class.
            ValueError: it is of another task or batch size; nothing has changed.
        """
        returns, lengths = state["sb3.return"], state["sb3.length"]
        self.envs.set_state({k: v for k, v in state.items() if not k.startswith("sb3.")})
        self._returns[:], self._lengths[:] = returns.cpu().numpy(), lengths.cpu().numpy()
        self._masks = None
        names = zip(state["env.seed"].tolist(), state["env.episode"].tolist(), strict=True)
        self.reset_infos = [{"seed": seed, "episode_index": episode} for seed, episode in names]

    # --- what Stable-Baselines3 asks of the environments behind ---

    def action_masks(self) -> np.ndarray:
        """Which actions are legal now: bool [B, n] in sb3-contrib's flat layout.

        Raises:
            TypeError: the action space is continuous.
        """
        if self._masks is None:
            self._masks = self.envs.action_masks()
        return convert(self._masks, "numpy")

    def has_attr(self, attr_name: str) -> bool:
        """Whether `get_attr` finds it."""
        if attr_name == _MASKS:
            return not isinstance(self.action_space, spaces.Box)
        return attr_name in _ROW_METHODS or hasattr(self.envs, attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, once for each row asked for: the rows share it.

        Raises:
            AttributeError: there is none.
        """
        rows = list(self._get_indices(indices))
        if not self.has_attr(attr_name):
            raise AttributeError(f"{self.envs} has no attribute {attr_name!r}")
        if attr_name in _ROW_METHODS:
            return [partial(self._call_row, attr_name, row) for row in rows]
        single = {"observation_space": self.observation_space, "action_space": self.action_space}
        value = single[attr_name] if attr_name in single else getattr(self.envs, attr_name)
        return [value] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all rows.

        Raises:
            ValueError: `indices` leaves rows out: the rows share their attributes.
        """
        if set(self._get_indices(indices)) != set(range(self.num_envs)):
            raise ValueError("the rows share their attributes: set_attr takes all rows or none")
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the single environments: one result for each row asked for.

        Args:
            method_name: `action_masks`, `reference_action`, `artefact` or `render`.
            *method_args: they take none.
            indices: rows; default all.
            **method_kwargs: they take none.

        Raises:
            AttributeError: another method; the batch's own are those of `.envs`.
            TypeError: arguments were given.
        """
        if method_name not in _ROW_METHODS or not self.has_attr(method_name):
            raise AttributeError(
                f"a row has no method {method_name!r}, only {', '.join(_ROW_METHODS)};"
                " the methods of the whole batch are those of `.envs`"
            )
        if method_args or method_kwargs:
            raise TypeError(f"{method_name} takes no arguments")
        rows = list(self._get_indices(indices))
        if method_name == "artefact":
            return [self.envs.artefact(row) for row in rows]
        whole = self._call(method_name)
        return [None if whole is None else whole[row] for row in rows]

    def _call(self, method_name: str) -> Any:
        """A row method for all rows at once; None where there is nothing to give."""
        if method_name == _MASKS:
            return self.action_masks()
        if method_name == "render":
            return self.envs.render()
        action = self.envs.reference_action()
        return None if action is None else convert(action, "numpy")

    def _call_row(self, method_name: str, row: int) -> Any:
        return self.env_method(method_name, indices=[row])[0]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """True for `Monitor`, whose `info["episode"]` is there; no other wrapper is."""
        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture uint8 [H, W, 3] of every row, None each without a render mode."""
        images = None if self.envs.render_mode is None else self.envs.render()
        return images or [None] * self.num_envs

    def close(self) -> None:
        """Close the environment behind."""
        self.envs.close()


def _checked(envs: Any) -> TaskVectorEnv:
    """A bare native vector environment as it is; says what to do about anything else."""
    how = 'make it with make_sb3(id, num_envs), or gym.make_vec(id, autoreset_mode="SAME_STEP")'
    if isinstance(envs, gym.vector.VectorWrapper | gym.Wrapper) and isinstance(
        envs.unwrapped, TaskVectorEnv
    ):
        raise TypeError(
            f"SB3VecEnv takes the bare TaskVectorEnv; got it wrapped in {type(envs).__name__}. Use"
            " Stable-Baselines3's own wrappers around SB3VecEnv (VecNormalize, VecFrameStack ...),"
            " and max_episode_steps= in place of TimeLimit"
        )
    if not isinstance(envs, TaskVectorEnv):
        raise TypeError(f"SB3VecEnv takes a genenvs TaskVectorEnv; got {envs!r}: {how}")
    if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
        raise ValueError(
            f"Stable-Baselines3 resets in the step that ends an episode: SAME_STEP;"
            f" got {envs.autoreset_mode.name}: {how}"
        )
    start = getattr(envs.single_action_space, "start", 0)
    if np.any(np.asarray(start) != 0):
        raise ValueError(f"Stable-Baselines3's actions start at 0; got {envs.single_action_space}")
    return envs


def _bits(actions: Any) -> Any:
    """Whole-numbered floats as int8: SB3's Bernoulli distribution samples 0.0 and 1.0."""
    actions = np.asarray(actions)
    if actions.dtype.kind == "f" and np.isin(actions, (0.0, 1.0)).all():
        return actions.astype(np.int8)
    return actions
