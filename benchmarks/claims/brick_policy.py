"""A policy for BrickBuild that knows what a placement is: the cells under a brick.

A small convolution gives every cell of the layer a worth for each of the oriented bricks; the logit
of a placement is the sum of the worths under it, a box sum, plus one number at its corner. So what
is learned at one place of the layer holds at all of them, and 5,602 logits take some 9,000 weights.
When to leave a layer, and when to end, is read from averages over the layer.

    python -m agents train --out runs/bricks --env genenvs/BrickBuild-v0
        --agent benchmarks.claims.brick_policy:BrickPPO --imitate reference
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from torch import Tensor, nn

from agents.sb3 import MaskablePPO
from agents.sb3_configs import PPOConfig
from genenvs.tasks.brick_build.bricks import ORIENTED, PLACEMENTS, SIZE

CHANNELS = 16
ACTIONS = PLACEMENTS + 2


class Layer(nn.Module):
    """Observations of BrickBuild to logits and, behind them, what the value is read from.

    Attributes:
        features: 5,602 logits, then averages over the layer and `progress`.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        planes, progress = (space[name].shape[0] for name in ("planes", "progress"))  # type: ignore[index]
        inside = planes + progress
        self.cells = nn.Sequential(
            nn.Conv2d(inside, CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=3, dilation=3),
            nn.ReLU(),
        )
        seen = inside + CHANNELS
        self.worth = nn.Conv2d(seen, len(ORIENTED), 1)  # of each cell under a brick
        self.corner = nn.Conv2d(seen, len(ORIENTED), 1)
        self.pooled = 2 * seen
        self.onward = nn.Sequential(
            nn.Linear(self.pooled, 32), nn.Tanh(), nn.Linear(32, 2)
        )  # next layer, end
        for head in (self.worth, self.corner):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, 0.0)  # type: ignore[arg-type]
        self.features = ACTIONS + self.pooled
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
        spread = progress[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        given = torch.cat([planes, spread], 1)
        seen = torch.cat([given, self.cells(given)], 1)
        boxes = self.rows @ self.worth(seen) @ self.columns
        placements = boxes + self.corner(seen)
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
        """[B, pooled]; the value's error does not train what the policy sees."""
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
    """PPO's, with what goes with the policy."""

    hidden: tuple[int, ...] = ()
    network: str = "benchmarks.claims.brick_policy:Layer"


class BrickPPO(MaskablePPO):
    """sb3-contrib's MaskablePPO with `BrickPolicy`."""

    Config = BrickConfig
    policies = BrickPolicy, BrickPolicy  # type: ignore[assignment]
