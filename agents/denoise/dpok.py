"""`dpok`: policy gradient with a value network and a divergence (Fan et al., 2023, 2305.16381).

    loss = - w clip(r, 1 - e, 1 + e) (R - V(x_t, t, prompt)) + kl_coef KL(step | frozen step)

The advantage is not normalised, unless that of each of several rewards is asked for: then each is
centred by its prompt in the batch and divided by its standard deviation there, and what the value
network expects is their weighted sum. The value network sees latents, time and the prompt's
embedding; the authors' sees the same. Differs: no replay buffer for the value network, which takes
`value_epochs` passes over each batch; the divergence is the Gaussian one, where the authors take
the squared difference of the predicted noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from genenvs.images.rewards.advantages import CONVENTIONS, advantages

from .. import checkpoint
from ..grpo import check_group
from ..problem import Problem
from ..run import Run
from .checks import flat_prompts, tell_if_flat
from .losses import dpok
from .rollout import Chains
from .trainer import PolicyGradient, PolicyGradientConfig
from .value import Value

EACH = replace(CONVENTIONS["flow_grpo"], combine="advantages", std="group")


@dataclass
class DPOKConfig(PolicyGradientConfig):
    """A batch is `num_prompts` x `group_size` chains."""

    kl_coef: Annotated[float, Ge(0)] = 0.01
    policy_weight: Annotated[float, Gt(0)] = 10.0
    """Of the policy's loss (the authors' 10)."""
    value_rate: Annotated[float, Gt(0)] = 1e-3
    """Learning rate of the value network."""
    value_epochs: Annotated[int, Ge(1)] = 4


class DPOK(PolicyGradient):
    """Diffusion policy optimisation with KL regularisation (Fan et al. 2023)."""

    Config = DPOKConfig

    def __init__(
        self, problem: Problem, config: DPOKConfig, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """With a value network.

        Raises:
            ValueError: each reward is to be compared within its prompt, and there is one picture.
        """
        if config.advantages == "each":
            check_group(config.group_size)
        super().__init__(problem, config, state)
        self.value = Value(self.task).to(problem.device)
        self.value_optimizer = torch.optim.Adam(self.value.parameters(), config.value_rate)
        self._values: Tensor | None = None
        if state is not None:
            self.value.load_state_dict(checkpoint.part(state, "value"))
            kept = checkpoint.part(state, "value_optimizer")
            checkpoint.load_optimizer(self.value_optimizer, kept)

    def advantage(self, chains: Chains) -> tuple[Tensor, dict[str, Tensor]]:
        """R, of which `step_advantage` subtracts the value of each step."""
        worth = {"reward": chains.reward}
        tell_if_flat(self, worth)
        flat = flat_prompts(worth, chains.prompt)
        return chains.reward, {} if flat is None else {"flat_groups": flat}

    def improve(self, run: Run, chains: Chains, before: Tensor) -> None:
        """As others, with an advantage for each step; and the value network."""
        chains = replace(chains, reward=self.worth(chains))
        with torch.no_grad():
            known = torch.stack([self.judge(chains, t) for t in range(self.task.horizon)])
        self._values = known
        super().improve(run, chains, before)
        for _ in range(self.config.value_epochs):
            for t in torch.randperm(self.task.horizon).tolist():
                loss = (self.judge(chains, t) - chains.reward).square().mean()
                self.value_optimizer.zero_grad()
                loss.backward()
                # All processes have all chains: what they find is the same but for rounding.
                self.processes.add_up(self.value.parameters(), 1 / self.processes.count)
                run.log(value_loss=loss)
                self.value_optimizer.step()

    def worth(self, chains: Chains) -> Tensor:
        """What the value network learns to expect, [N]: what is paid, or the sum of advantages."""
        found = self.rewards(chains)
        if self.config.advantages == "sum":
            return found["reward"]
        return advantages(found, chains.prompt, self.weights, EACH).total

    def judge(self, chains: Chains, t: int) -> Tensor:
        """Values of the latents at step `t`, [N]."""
        time = (self.task.times[t] / self.task.times[0]).expand(len(chains.prompt))
        return self.value(chains.latents[t], time, chains.prompt)

    def step_advantage(self, advantage: Tensor, n: Tensor, t: Tensor) -> Tensor:
        """Above what was expected there."""
        assert self._values is not None
        return advantage[n] - self._values[t, n]

    def surrogate(self, ratio: Tensor, advantage: Tensor) -> Tensor:
        """The paper's, weighted."""
        return self.config.policy_weight * dpok(ratio, advantage, self.clip)

    def state(self) -> dict[str, Tensor]:
        """With the value network."""
        return (
            super().state()
            | checkpoint.under("value", self.value.state_dict())
            | checkpoint.under(
                "value_optimizer", checkpoint.optimizer_tensors(self.value_optimizer)
            )
        )
