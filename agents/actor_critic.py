"""`actor_critic`: synchronous advantage actor-critic (A2C) with generalised advantages.

Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning", ICML 2016, played synchronously
in one batch; advantages of Schulman et al., ICLR 2016. One gradient step on every rollout:

    loss = - mean(log pi(a|s) A) + value_coef mean((V(s) - R)^2) - entropy_coef mean(H(pi(.|s)))
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor

from .networks import ActorCritic
from .play import Player, Rollout
from .returns import gae
from .run import Run
from .torch_agent import TorchAgent, TorchConfig


@dataclass
class ActorCriticConfig(TorchConfig):
    """Defaults are those of Stable-Baselines3's A2C."""

    num_envs: Annotated[int, Ge(1)] = 8
    """Rows of the batch."""
    n_steps: Annotated[int, Ge(1)] = 5
    """Steps that each row plays between two updates."""
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"
    gae_lambda: Annotated[float, Ge(0), Le(1)] = 1.0
    """Of generalised advantages; 1: n-step returns."""
    value_coef: Annotated[float, Gt(0)] = 0.5
    normalize_advantage: bool = False
    """Give the advantages of a rollout mean 0 and standard deviation 1."""


class ActorCriticAgent(TorchAgent):
    """Synchronous advantage actor-critic (Mnih et al. 2016, played synchronously)."""

    Config = ActorCriticConfig

    def learn(self, run: Run) -> None:
        """Alternate: play a rollout, take one step on it."""
        config = self.config
        player = Player(self.problem, config.num_envs, reward_scale=config.reward_scale)
        run.attach(player)
        while run.going():
            rollout = player.collect(self.model, config.n_steps)
            run.advance(rollout.steps)
            loss, parts = a2c_loss(self.model, rollout, config)
            self.descend(run, loss, **parts)


def a2c_loss(model: ActorCritic, rollout: Rollout, config: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a rollout, and its parts: `policy_loss`, `value_loss`, `entropy`."""
    advantage = gae(
        rollout.reward,
        rollout.value,
        rollout.next_value,
        rollout.terminated,
        rollout.ended,
        config.gamma,
        config.gae_lambda,
    )
    target = (advantage + rollout.value).flatten()
    advantage = advantage.flatten()
    if config.normalize_advantage:
        advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    observation, mask, action = rollout.flat()
    policy, value = model(observation, mask)
    parts = {
        "policy_loss": -(policy.log_prob(action) * advantage).mean(),
        "value_loss": (value - target).square().mean(),
        "entropy": policy.entropy().mean(),
    }
    loss = (
        parts["policy_loss"]
        + config.value_coef * parts["value_loss"]
        - config.entropy_coef * parts["entropy"]
    )
    return loss, parts
