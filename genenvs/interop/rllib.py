"""Ray RLlib: every id under its own name, stepped as the native batch on each env runner."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from genenvs.core.optional import require
from genenvs.core.registry import ids

require("ray.tune", "rllib")
from ray.tune.registry import register_env  # noqa: E402

# RLlib knows this mode alone: the step after an end resets, and it leaves that step out.
_MODE = AutoresetMode.NEXT_STEP


def register() -> None:
    """Register every id with Ray, so that `PPOConfig().environment("genenvs/...")` finds it.

    What `env_config` holds goes to the environment: `split`, `reward_weights`, `device` and so on.
    Ray hands the registration to the processes of a cluster, where genenvs must be installed.
    """
    for env_id in ids():
        register_env(env_id, partial(make, env_id))


def make(env_id: str, context: Mapping[str, Any]) -> gym.Env[Any, Any] | VectorEnv[Any, Any, Any]:
    """Make an environment as an env runner asks for it.

    Args:
        env_id: a genenvs id.
        context: the arguments of the environment. With `num_envs`, which RLlib adds under
            `gym_env_vectorize_mode="vector_entry_point"`, the native batch; else one environment.

    Raises:
        ValueError: an autoreset mode other than NEXT_STEP, or torch output, was asked for.
    """
    arguments = dict(context)
    if "num_envs" not in arguments:
        worker = getattr(context, "worker_index", None) or 0  # None: the driver's own runner
        return _Single(gym.make(env_id, **arguments), worker)
    arguments.setdefault("autoreset_mode", _MODE.name)
    envs = gym.make_vec(env_id, **arguments)
    if envs.metadata["autoreset_mode"] is not _MODE or arguments.get("output") == "torch":
        raise ValueError(f"RLlib takes autoreset_mode {_MODE.name} and numpy; got {arguments}")
    return _Batch(envs)


def _far(*numbers: int) -> int:
    """A seed far from those of neighbouring numbers.

    RLlib seeds env runner w with `seed + w`, and row i of a batch seeded s is the single
    environment seeded s + i: as they are, neighbouring runners would play the same episodes.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 2)


class _Batch(VectorWrapper):
    """The native batch of one env runner."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=None if seed is None else _far(seed), options=options)


class _Single(gym.Wrapper[Any, Any, Any, Any]):
    """One environment of an env runner; its rows have their own seeds already."""

    def __init__(self, env: gym.Env[Any, Any], worker: int) -> None:
        super().__init__(env)
        self.worker = worker

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        far = None if seed is None else _far(seed, self.worker)
        return self.env.reset(seed=far, options=options)
