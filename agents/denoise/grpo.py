"""`flow_grpo` and `dance_grpo`: advantages within groups of pictures of one prompt.

Flow-GRPO (Liu et al., 2025, arXiv 2505.05470): the flow's ODE becomes an SDE, groups begin with
noise of their own, advantages are divided by the standard deviation of all rewards, and a
divergence holds the policy near the generator. Ours is the true divergence, with the length of the
step; the authors' leaves it out, so their 0.04 is some 4 to 28 times smaller than ours.

DanceGRPO (Xue et al., 2025, arXiv 2505.07818): a constant noise level, one and the same first noise
in a group, advantages divided by the group's own deviation and, of several rewards, added reward by
reward; 60 % of the steps, no divergence. The authors drop the last step of a chain; here it is left
out of the loss alone.

Both run on diffusion models as well, by DDIM with eta.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from genenvs.images.rewards.advantages import CONVENTIONS, advantages
from genenvs.images.rewards.reward import WeightedSum

from ..grpo import check_group
from ..problem import Problem
from .checks import tell_if_flat
from .rollout import ChainPlayer, Chains
from .trainer import PolicyGradient, PolicyGradientConfig


@dataclass
class FlowGRPOConfig(PolicyGradientConfig):
    """A batch is `num_prompts` groups of `group_size` chains."""

    group_size: Annotated[int, Ge(1)] = 16
    """At least 2: an advantage is relative to the group."""
    noise: Literal["fresh", "shared"] = "fresh"
    """Whether the members of a group begin with noise of their own."""
    spread: Literal["global", "group", "none"] = "global"
    """What advantages are divided by: the standard deviation of all rewards, or of the group; how
    it is estimated is the agent's own, see `genenvs.images.rewards.advantages.CONVENTIONS`."""
    kl_coef: Annotated[float, Ge(0)] = 0.01
    last_step: bool = True
    """Whether the last step of a chain is learned from."""
    prioritise: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of prompts that are drawn by how much their rewards varied when they were asked last,
    as levels are replayed (Jiang et al., 2021, arXiv 2010.03934); the others evenly. From a group
    that is paid alike nothing is learned, and late in a run most are. Curves then show what was
    asked, the harder prompts."""


@dataclass
class DanceGRPOConfig(FlowGRPOConfig):
    """As DanceGRPO has it."""

    noise: Literal["fresh", "shared"] = "shared"
    spread: Literal["global", "group", "none"] = "group"
    kl_coef: Annotated[float, Ge(0)] = 0.0
    advantages: Literal["sum", "each"] | None = None  # type: ignore[assignment]
    """As of the others; None: "each" where there are several rewards, as the paper adds them."""
    timestep_fraction: Annotated[float, Gt(0), Le(1)] = 0.6
    last_step: bool = False


class FlowGRPO(PolicyGradient):
    """Group-relative policy optimisation of flows (Liu et al. 2025)."""

    Config: ClassVar[type] = FlowGRPOConfig
    convention: ClassVar[str] = "flow_grpo"

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """See `PolicyGradient`.

        Raises:
            ValueError: the groups have one member, whose advantage would always be 0.
        """
        check_group(config.group_size)
        super().__init__(problem, config, state)
        # How much each prompt's rewards varied; NaN: it was not asked yet.
        self.varied = np.full(self.player.envs.unwrapped.episodes.count, np.nan)
        if state is not None and "varied" in state:
            self.varied = state["varied"].cpu().numpy().astype(np.float64)

    def play(self) -> tuple[Chains, Tensor]:
        """Ask for what is wanted, and see how much what is paid varies."""
        share = self.config.prioritise
        if share:
            self.player.wanted = wanted(self.varied, share)
        chains, before = super().play()
        if share:
            paid = chains.reward.view(-1, self.config.group_size)
            self.varied[self.player.asked] = paid.double().std(1, correction=0).cpu().numpy()
        return chains, before

    def state(self) -> dict[str, Tensor]:
        """With how much the prompts' rewards varied, where they are drawn by it."""
        own = {"varied": torch.from_numpy(self.varied)} if self.config.prioritise else {}
        return super().state() | own

    def make_player(self) -> ChainPlayer:
        """Groups of one prompt each."""
        size = self.config.group_size
        rows = self.config.num_prompts * size
        return ChainPlayer(self.problem, rows, size, self.config.noise, self.processes)

    def advantage(self, chains: Chains) -> tuple[Tensor, dict[str, Tensor]]:
        """Within the group."""
        config = self.config
        group = torch.arange(len(chains.reward), device=chains.reward.device) // config.group_size
        # "sum" gives one reward, of which it is all the same what is combined.
        rule = replace(CONVENTIONS[self.convention], combine="advantages", std=config.spread)
        rewards = self.rewards(chains)
        tell_if_flat(self, rewards)
        found = advantages(rewards, group, self.weights, rule)
        bound = config.advantage_bound
        return found.total.clamp(-bound, bound), {"flat_groups": (~found.alive).float().mean()}

    def learned_steps(self) -> Tensor:
        """Without the last one where that is asked for."""
        steps = super().learned_steps()
        return steps if self.config.last_step else steps[steps < self.task.horizon - 1]


def wanted(varied: np.ndarray, share: float) -> np.ndarray:
    """How often each prompt is to be asked, in proportion.

    Args:
        varied: float64 [M], how much their rewards varied; NaN of those that were not asked yet,
            which count as the one that varied most.
        share: of the draws that go by it.

    Returns:
        float64 [M], its sum 1.
    """
    known = varied[~np.isnan(varied)]
    most = known.max() if len(known) else 1.0
    worth = np.where(np.isnan(varied), most, varied)
    even = np.full(len(varied), 1 / len(varied))
    return share * worth / worth.sum() + (1 - share) * even if worth.any() else even


class DanceGRPO(FlowGRPO):
    """Group-relative policy optimisation with a constant noise level (Xue et al. 2025)."""

    Config: ClassVar[type] = DanceGRPOConfig
    convention: ClassVar[str] = "dance_grpo"

    def __init__(
        self, problem: Problem, config: Any, state: Mapping[str, Tensor] | None = None
    ) -> None:
        """On flows by its own rule, of several rewards each by itself, where nothing is named."""
        task = ChainPlayer(problem, 1).task
        if config.rule is None and "rule" not in problem.arguments:
            config = replace(config, rule="dance" if task.generator.kind == "flow" else None)
        if config.advantages is None:
            several = isinstance(task.reward, WeightedSum) or bool(config.set_rewards)
            config = replace(config, advantages="each" if several else "sum")
        super().__init__(problem, config, state)
