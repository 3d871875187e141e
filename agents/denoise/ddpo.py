"""`ddpo`: denoising diffusion policy optimisation (Black et al., 2024, arXiv 2305.13301).

Importance-sampled policy gradient on chains of denoising steps, rewards normalised by the late
rewards of the same prompt. The authors' clip of 1e-4 per dimension is for D = 16,384.

Differs from the authors' code: gradients of all steps of a chain are one batch (theirs are
accumulated step by step, which is the same sum), and steps without noise are left out, in the
mean too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from .. import checkpoint
from ..problem import Problem
from .checks import flat_prompts, tell_if_flat
from .losses import PromptStatistics
from .rollout import Chains
from .trainer import PolicyGradient, PolicyGradientConfig


@dataclass
class DDPOConfig(PolicyGradientConfig):
    """A batch is `num_prompts` x `group_size` chains."""

    num_prompts: Annotated[int, Ge(1)] = 64
    group_size: Annotated[int, Ge(1)] = 4
    statistics: Annotated[int, Ge(1)] = 32
    """Late rewards of a prompt that normalise the next ones."""
    least: Annotated[int, Ge(1)] = 16
    """A prompt with fewer is normalised by the whole batch: most of the pictures are, where a run
    has fewer than that for each prompt."""


class DDPO(PolicyGradient):
    """Denoising diffusion policy optimisation (Black et al. 2024)."""

    Config = DDPOConfig

    def __init__(
        self, problem: Problem, config: DDPOConfig, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """See `PolicyGradient`.

        Raises:
            ValueError: a batch of one picture, which nothing could be compared with.
        """
        if config.num_prompts * config.group_size < 2:
            raise ValueError(
                "num_prompts * group_size must be at least 2: a picture alone in its batch has"
                " advantage 0"
            )
        super().__init__(problem, config, state)
        prompts = len(self.task.texts)
        self.known = {
            name: PromptStatistics(prompts, config.statistics, config.least)
            for name in self.weights
        }
        if state is not None:
            for name, known in self.known.items():
                kept = checkpoint.part(state, self.place(name))
                known.kept, known.count = kept["kept"].clone(), kept["count"].clone()

    def advantage(self, chains: Chains) -> tuple[Tensor, dict[str, Any]]:
        """By the statistics of each prompt, of each reward where that is asked for."""
        total = torch.zeros_like(chains.reward)
        rewards = self.rewards(chains)
        tell_if_flat(self, rewards)
        flat = flat_prompts(rewards, chains.prompt)
        for name, reward in rewards.items():
            total += self.weights[name] * self.known[name].advantage(chains.prompt, reward)
        bound = self.config.advantage_bound
        return total.clamp(-bound, bound), {} if flat is None else {"flat_groups": flat}

    def state(self) -> dict[str, Tensor]:
        """With the statistics."""
        found = super().state()
        for name, known in self.known.items():
            own = {"kept": known.kept, "count": known.count}
            found |= checkpoint.under(self.place(name), own)
        return found

    def place(self, name: str) -> str:
        """Where a checkpoint keeps the statistics of a reward."""
        return "statistics" if self.config.advantages == "sum" else f"statistics/{name}"
