"""`denoiser_ppo`: Stable-Baselines3's PPO, its actor the environment's own denoiser."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import stable_baselines3 as sb3
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ..problem import Problem
from ..sb3 import SB3Agent
from .rollout import ChainPlayer
from .sb3_policy import DenoiserActor
from .trainer import SPACES


@dataclass
class DenoiserPPOConfig:
    """Names are SB3's; a rollout is `num_envs` chains where `n_steps` is the horizon."""

    num_envs: Annotated[int, Ge(1)] = 128
    """Rows of the batch."""
    n_steps: Annotated[int, Ge(1)] = 10
    """Steps that each row plays between two updates."""
    batch_size: Annotated[int, Ge(2)] = 320
    n_epochs: Annotated[int, Ge(1)] = 1
    learning_rate: Annotated[float, Gt(0)] = 3e-4
    anneal: bool = False
    """Lower the learning rate linearly to zero."""
    clip_range: Annotated[float, Gt(0)] = 1e-3
    """Per dimension; see `ddpo`."""
    gamma: Annotated[float, Ge(0), Le(1)] = 1.0
    """Discount."""
    gae_lambda: Annotated[float, Ge(0), Le(1)] = 1.0
    """Of generalised advantages."""
    normalize_advantage: bool = True
    """Give the advantages of a minibatch mean 0 and standard deviation 1."""
    vf_coef: Annotated[float, Gt(0)] = 0.5
    """Weight of the value's error in the loss."""
    max_grad_norm: Annotated[float, Gt(0)] = 1.0
    reward_scale: Annotated[float, Gt(0)] = 1.0
    """Factor on rewards while learning; reported returns are without."""
    rule: str | None = None
    """How a step adds noise; None: the environment's."""
    level: float | None = None
    """The noise level of the rule; None: the environment's."""
    guidance: float | None = None
    """Guidance scale of the policy; None: the environment's."""
    lora_rank: Annotated[int, Ge(0)] = 0
    """Train adapters of this rank in place of the whole network."""


class DenoiserPPO(SB3Agent):
    """PPO with the denoiser as actor (Stable-Baselines3)."""

    Config = DenoiserPPOConfig
    spaces, actions = SPACES, "Box"
    algorithm = sb3.PPO
    policies = DenoiserActor, DenoiserActor
    policy_arguments = "rule", "level", "guidance", "lora_rank"

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the model around the environment's generator.

        Raises:
            TypeError: another environment.
        """
        self.task = ChainPlayer(problem, 1).task
        super().__init__(problem, config, state)

    def policy_settings(self) -> dict[str, Any]:
        """The task, whose generator is copied."""
        return {"task": self.task}

    @torch.no_grad()
    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """The next latents by the deterministic sampler."""
        actor = self.model.policy.actor
        step = self.task.step_of(observation["time"])
        mean, _ = actor.gaussian(
            observation["latent"], step, observation["prompt"], actor.network, 0.0
        )
        return self.task.steer(observation, mean)
