"""A policy for BrickBuild that knows what a placement is: the cells under a brick.

Every cell of the layer has a worth; the logit of a placement is the sum of the worths under it, a
box sum. The worth is linear in the planes and their pairwise products, one part for all bricks and
one for each. So what is learned at one place holds at all of them, and 5,602 logits take some 500
weights. When to leave a layer, and when to end, is read from averages and largest values over the
layer.

It begins as a rule, written into a few of the weights: a target cell is worth +4 and any other -4,
as the reference has it, and a target cell with no stud below is worth 2 more, times `SCALE` as
logits. Bricks that reach out from what carries them then come before those that could be placed at
any time. What the rule scores by itself, before any training, stands beside the claim.

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

ACTIONS = PLACEMENTS + 2
SCALE = 2.5  # of logits
# Of a target cell, and of the next layer, before that. At less, what is drawn differs from what is
# most probable: hundreds of bad placements add up to a likely one, and single cells are left out.
WORTH, ONWARD = 4.0, 2.0
HANGS = 2.0  # more, of a target cell with no stud below
# The planes, the first without what is built, and whether COLUMNS > 0.
LEFT, NEXT, COLUMNS, DISTANCE, BUILT, BELOW, ANY = range(7)
PAIRED = (LEFT, NEXT, COLUMNS, DISTANCE, BELOW, ANY)


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
        seen = given + len(self.first)
        self.shared = nn.Linear(seen, 1)
        self.own = nn.Linear(seen, len(ORIENTED))
        self.onward = nn.Linear(2 * seen, 2)  # next layer, end
        for head in (self.shared, self.own, self.onward):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.shared.weight[0, LEFT] = 2 * WORTH + HANGS
            held = given + list(combinations(PAIRED, 2)).index((LEFT, BELOW))
            self.shared.weight[0, held] = -HANGS
            self.shared.bias.fill_(-WORTH)
            self.onward.bias.copy_(torch.tensor([ONWARD, ONWARD + 0.8]))
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
        left = planes[:, LEFT] * (1 - planes[:, BUILT])
        above = (planes[:, COLUMNS] > 0).float()
        planes = torch.cat([left[:, None], planes[:, 1:], above[:, None]], 1)
        spread = progress[:, :, None, None].expand(-1, -1, SIZE, SIZE)
        given = torch.cat([planes, spread], 1)
        pairs = planes[:, self.first] * planes[:, self.second]
        seen = torch.cat([given, pairs], 1)
        cells = seen.permute(0, 2, 3, 1)
        worth = (self.shared(cells) + self.own(cells)).permute(0, 3, 1, 2)  # [B, 14, 20, 20]
        placements = (self.rows @ worth @ self.columns).flatten(1)
        pooled = torch.cat([seen.sum((2, 3)) / SIZE, seen.amax((2, 3))], 1)
        logits = SCALE * torch.cat([placements, self.onward(pooled)], 1)
        return torch.cat([logits, pooled], 1)


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
    n_steps: int = 64
    batch_size: int = 512
    n_epochs: int = 3
    learning_rate: float = 1e-3
    anneal: bool = True
    gamma: float = 0.97
    gae_lambda: float = 0.9
    target_kl: float | None = 0.03
    reward_scale: float = 20.0


class BrickPPO(MaskablePPO):
    """sb3-contrib's MaskablePPO with `BrickPolicy`."""

    Config = BrickConfig
    policies = BrickPolicy, BrickPolicy  # type: ignore[assignment]
