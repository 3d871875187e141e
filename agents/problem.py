"""What an agent is asked to learn: an environment, its arguments, a run seed, a device."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

import genenvs

UNKNOWN_LENGTH = 1_000  # steps of an episode, where its id does not say
RESERVED = ("num_envs", "output", "device", "autoreset_mode", "keep_final", "render_mode")
NATIVE = "genenvs.core.vector:TaskVectorEnv"  # vector entry point of every id of ours


@dataclass(frozen=True)
class Problem:
    """An environment to train on, by name: what a run records and a worker process rebuilds.

    Attributes:
        env: an id; of genenvs, of Gymnasium, or `module:Id-v0` of anybody.
        arguments: of the environment, beside those registered.
        seed: of the run. Environment seeds are derived from it and never equal it.
        device: where the agent computes, and a native environment lives.
    """

    env: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"

    @cached_property
    def spec(self) -> Any:
        """Gymnasium's entry for the id.

        Raises:
            ValueError: no such id; names the nearest.
        """
        module, _, name = self.env.rpartition(":")
        try:
            if module:
                import_module(module)  # registers it; `gym.make` does so, `gym.spec` does not
            return gym.spec(name)
        except (gym.error.Error, ModuleNotFoundError) as error:
            known = [*genenvs.ids(), *gym.registry]
            bare = self.env.partition("/")[2] or self.env
            near = difflib.get_close_matches(self.env, known, n=3, cutoff=0.5)
            near += [i for i in known if i.partition("/")[2] == bare]
            near = list(dict.fromkeys(near))
            hint = f"; nearest: {', '.join(near)}" if near else ""
            why = "" if isinstance(error, gym.error.Error) else f" ({error})"
            raise ValueError(f"no environment {self.env!r}{why}{hint}") from error

    @property
    def native(self) -> bool:
        """Whether it is a batch of ours, with torch output, states that are saved, and branches."""
        return self.spec.vector_entry_point == NATIVE

    @cached_property
    def spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        """Observation and action space of one environment."""
        self.spec  # noqa: B018  an unknown id is told in words
        self.check_device()
        if reserved := sorted(set(RESERVED) & set(self.arguments)):
            raise ValueError(f"{', '.join(reserved)}: set by the agent, not an argument to give")
        # Ours bring models, which may not fit beside everything else into the host's memory.
        where: dict[str, Any] = {"device": self.device} if self.native else {}
        env = gym.make(self.env, **self.arguments, **where)
        try:
            return env.observation_space, env.action_space
        finally:
            env.close()

    def check_device(self) -> None:
        """Refuse a device that is not there.

        Raises:
            ValueError: CUDA is asked for, and PyTorch finds none.
        """
        kind = torch.device(self.device).type
        if kind == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {self.device!r}: PyTorch finds no CUDA device here")

    def make(
        self, num_envs: int, autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP, **more: Any
    ) -> VectorEnv[Any, Any, Any]:
        """A batch with torch output, whoever made the environment.

        Args:
            num_envs: rows.
            autoreset_mode: as Gymnasium has them.
            **more: further arguments of the environment, such as `split` or `render_mode`.
        """
        if self.native:
            return gym.make_vec(
                self.env,
                num_envs=num_envs,
                output="torch",
                device=self.device,
                autoreset_mode=autoreset_mode,
                **(dict(self.arguments) | more),
            )
        from .foreign import ToTorch

        # Not their native batches: Gymnasium's own CartPole's rows depend on the batch size.
        envs = gym.make_vec(
            self.env,
            num_envs=num_envs,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": autoreset_mode},
            **(dict(self.arguments) | more),
        )
        return ToTorch(envs, self.device)

    def spacing(self, num_envs: int) -> int:
        """Least steps between two checkpoints: other people's environments begin anew at each.

        Ten of the longest episodes in every row; 0 for ours, which are saved as they are.
        """
        longest = self.spec.max_episode_steps or UNKNOWN_LENGTH
        return 0 if self.native else 10 * longest * num_envs

    def env_seed(self, worker: int = 0, start: int = 0) -> int:
        """The seed of a batch: of each worker's, and of each fresh start, another.

        A run seed is never an environment seed: env i of seed s is env i - 1 of seed s + 1.
        """
        sequence = np.random.SeedSequence(self.seed, spawn_key=(worker, start))
        word = int(sequence.generate_state(1, np.uint64)[0])
        return word >> 2 if self.native else word >> 33  # other people's take 31 bits

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "env": self.env,
            "arguments": dict(self.arguments),
            "seed": self.seed,
            "device": self.device,
        }
