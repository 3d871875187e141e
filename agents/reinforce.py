"""`reinforce`: the smallest policy gradient, for reading first (Williams, Machine Learning 1992).

Play whole episodes, then make what was done in good ones more probable:

    loss = - mean(log pi(a|s) (G - b))        G: discounted return from the step on; b: mean of G

Nothing else: no value network, no bootstrap, no clipping of ratios. What a truncation cuts off
counts as nothing.
"""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

from .play import Player
from .returns import discounted
from .run import Run
from .torch_agent import TorchAgent, TorchConfig


@dataclass
class ReinforceConfig(TorchConfig):
    """The length of a rollout, and what all agents share."""

    num_envs: Annotated[int, Ge(1)] = 16
    """Rows of the batch."""
    n_steps: Annotated[int, Ge(1)] = 256
    """Steps of a rollout in each row; only episodes that end within it are learned from."""
    learning_rate: Annotated[float, Gt(0)] = 3e-3


class Reinforce(TorchAgent):
    """REINFORCE with the mean return as its baseline (Williams 1992)."""

    Config = ReinforceConfig

    def learn(self, run: Run) -> None:
        """Play, sum up, step."""
        config = self.config
        player = Player(self.problem, config.num_envs, reward_scale=config.reward_scale)
        run.attach(player)
        while run.going():
            rollout = player.collect(self.model, config.n_steps)
            run.advance(rollout.steps)
            complete = rollout.ended.flip(0).cumsum(0).flip(0) > 0  # an end is still to come
            weight = complete / complete.sum().clamp(min=1)  # [T, B], sums to 1
            returns = discounted(rollout.reward, rollout.ended, config.gamma)
            advantage = returns - (returns * weight).sum()

            observation, mask, action = rollout.flat()
            policy = self.model.policy(observation, mask)
            policy_loss = -(policy.log_prob(action) * (advantage * weight).flatten()).sum()
            entropy = (policy.entropy() * weight.flatten()).sum()
            loss = policy_loss - config.entropy_coef * entropy
            self.descend(run, loss, policy_loss=policy_loss, entropy=entropy)
