"""A policy for BrickBuild that knows what a placement is: the cells under a brick.

Every cell of the layer has a worth; the logit of a placement is the sum of the worths under it, a
box sum. The worth is linear in the planes, their pairwise products and a small convolution, one
part for all bricks and one for each. So what is learned at one place holds at all of them, and
5,602 logits take some 3,000 weights. When to leave a layer, and when to end, is read from averages
and largest values over the layer.

It begins as the reference, written into a few of the weights: a target cell is worth +5 and any
other -5. Which of the equally good placements to take is open, and learning begins there.

    python -m agents train --env genenvs/BrickBuild-v0 --out runs/bricks
        --agent benchmarks.claims.brick_policy:BrickPPO
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import gymnasium as gym
import torch
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from torch import Tensor, nn

from agents.sb3 import MaskablePPO
from agents.sb3_configs import PPOConfig
from genenvs.tasks.brick_build.bricks import ORIENTED, PLACEMENTS, SIZE

CHANNELS = 12
ACTIONS = PLACEMENTS + 2
WORTH, ONWARD = 5.0, 3.0  # logits: of a target cell, of the next layer
TARGET, NEXT, COLUMNS, DISTANCE, BUILT, BELOW, ANY = range(7)  # the planes, and whether COLUMNS > 0
PAIRED = (TARGET, NEXT, COLUMNS, DISTANCE, BELOW, ANY)


class Layer(nn.Module):
    """Observations of BrickBuild to logits and, behind them, what the value is read from.

    Attributes:
        features: 5,602 logits, then averages and largest values over the layer.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        planes, progress = (space[name].shape[0] for name in ("planes", "progress"))  # type: ignore[index]
        given = planes + 1 + progress
        self.first, self.second = zip(*combinations(PAIRED, 2), strict=True)
        self.cells = nn.Sequential(
            nn.Conv2d(given, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2),
            nn.ReLU(),
        )
        seen = given + len(self.first) + CHANNELS
        self.shared = nn.Conv2d(seen, 1, 1)
        self.own = nn.Conv2d(seen, len(ORIENTED), 1)
        self.onward = nn.Linear(2 * seen, 2)  # next layer, end
        for head in (self.shared, self.own, self.onward):
            nn.init.zeros_(head.weight)
            assert head.bias is not None
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.shared.weight[0, TARGET] = 2 * WORTH
            self.shared.bias.fill_(-WORTH)  # type: ignore[union-attr]
            self.onward.bias.copy_(torch.tensor([ONWARD, ONWARD + 2]))
            self.onward.weight[1, seen + ANY] = -4 * WORTH  # the largest: target cells lie above
        self.features = ACTIONS + 2 * seen
        # Row x of a brick's matrix has ones where it covers rows of cells from x on: with the same
        # along y on the other side, a product with both is the sum over the box.
        at = torch.arange(SIZE)
        reach = at[None] - at[:, None]  # [x, cell]
        sides = torch.tensor([[b.along_x, b.along_y] for b in ORIENTED])
        cover = (reach >= 0) & (reach < sides[..., None, None])  # [14, 2, 20, 20]
        self.register_buffer("rows", cover[:, 0].float(), persistent=False)
        self.register_buffer("columns", cover[:, 1].mT.float(), persistent=False)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """[B, features]."""
        planes, progress = observation["planes"], observation["progress"]
        planes = torch.cat([planes, (planes[:, COLUMNS : COLUMNS + 1] > 0).float()], 1)
        spread = progress[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        given = torch.cat([planes, spread], 1)
        pairs = planes[:, self.first] * planes[:, self.second]
        seen = torch.cat([given, pairs, self.cells(given)], 1)
        worth = self.shared(seen) + self.own(seen)  # [B, 14, 20, 20]
        placements = self.rows @ worth @ self.columns
        pooled = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        return torch.cat([placements.flatten(1), self.onward(pooled), pooled], 1)


class Logits(nn.Module):
    """The first of the features, which are logits already."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, 5602]."""
        return features[:, :ACTIONS]


class Rest(nn.Module):
    """The features behind the logits."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, pooled]."""
        return features[:, ACTIONS:]


class BrickPolicy(MaskableMultiInputActorCriticPolicy):
    """sb3-contrib's policy with `Layer` in place of its dense heads."""

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        pooled = self.features_dim - ACTIONS
        self.action_net = Logits()
        self.value_net = nn.Sequential(
            Rest(), nn.Linear(pooled, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(),
            nn.Linear(64, 1),
        )  # fmt: skip
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )


@dataclass
class BrickConfig(PPOConfig):
    """PPO's, tuned for the policy."""

    hidden: tuple[int, ...] = ()
    network: str = "benchmarks.claims.brick_policy:Layer"
    num_envs: int = 32
    n_steps: int = 128
    batch_size: int = 512
    n_epochs: int = 3
    learning_rate: float = 3e-3
    anneal: bool = True
    gamma: float = 0.97
    gae_lambda: float = 0.9
    reward_scale: float = 20.0


class BrickPPO(MaskablePPO):
    """sb3-contrib's MaskablePPO with `BrickPolicy`."""

    Config = BrickConfig
    policies = BrickPolicy, BrickPolicy  # type: ignore[assignment]
