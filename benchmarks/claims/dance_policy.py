"""An actor-critic that stays near what it was taught: for the claim on Dance.

The loss of `actor_critic` and, as in fine-tuning language models (Ziegler et al., 2019), a price on
how far the policy goes from the clone that learning began with:

    loss + anchor_coef mean(KL(pi(.|s) || pi_clone(.|s)))

What it was taught is a distribution, a prior of dances: so it plays samples, not what is most
probable, which for the clone is to stand and sway.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from agents import checkpoint
from agents.actor_critic import ActorCriticAgent, ActorCriticConfig, a2c_loss
from agents.play import Player
from agents.problem import Problem
from agents.run import Run


@dataclass
class DancerConfig(ActorCriticConfig):
    """Those of `actor_critic`, and one more."""

    anchor_coef: Annotated[float, Ge(0)] = 0.1
    """Price of a nat between the policy and the clone."""


class Dancer(ActorCriticAgent):
    """`actor_critic`, anchored to the policy that learning begins with."""

    Config = DancerConfig

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__(problem, config, state)
        self.anchor = copy.deepcopy(self.model)
        if state is not None:
            self.anchor.load_state_dict(checkpoint.part(state, "anchor"))

    def imitate(self, teach: Any) -> None:
        super().imitate(teach)
        self.anchor.load_state_dict(self.model.state_dict())

    def learn(self, run: Run) -> None:
        """As `actor_critic` does, with the price."""
        config = self.config
        player = Player(self.problem, config.num_envs, reward_scale=config.reward_scale)
        run.attach(player)
        while run.going():
            rollout = player.collect(self.model, config.n_steps)
            run.advance(rollout.steps)
            loss, parts = a2c_loss(self.model, rollout, config)
            observation, mask, _ = rollout.flat()
            with torch.no_grad():
                clone = self.anchor.policy(observation, mask)
            parts["away"] = self.model.policy(observation, mask).kl(clone).mean()
            self.descend(run, loss + config.anchor_coef * parts["away"], **parts)

    @torch.no_grad()
    def act(self, observation: Any, info: dict[str, Any]) -> Tensor:
        """Samples of the policy."""
        policy = self.model.policy(observation, info.get("action_mask"))
        return self.model.actions.to_env(policy.sample())

    def state(self) -> dict[str, Tensor]:
        return super().state() | checkpoint.under("anchor", self.anchor.state_dict())
