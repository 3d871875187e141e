"""A policy for VoxelStroke that looks along every move alike.

The window is turned so that the move lies ahead, once for each of the six; one small network rates
all of them, so that what is learned of one direction holds for the others. It knows each move's
number and its rank by Warnsdorff's rule, and begins as that rule: legal moves are worth +20, less
3.5 for every move that the rule prefers. (Which one of equals goes first matters: always the same
one, and strokes are rows side by side; any one of them, and coverage is two thirds of that.)

    python -m agents train --env genenvs/VoxelStroke-v0 --out runs/strokes
        --agent benchmarks.claims.stroke_policy:StrokePPO
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from torch import Tensor, nn

from agents.sb3 import PPO
from agents.sb3_configs import PPOConfig
from genenvs.tasks.voxel_stroke import grids
from genenvs.tasks.voxel_stroke.grids import WINDOW

ACTIONS = 6
NEW, RANK = 20.0, 3.5  # logits
WIDE, NARROW = 96, 32
REST = 2 * NARROW + 5


def turned() -> Tensor:
    """Where each cell of a turned window stands in the window: int64 [ACTIONS, WINDOW^3].

    A turned window's x axis is the move's; rows of the table are in order of the moves.
    """
    cells = torch.tensor(list(product(range(-grids.PAD, grids.PAD + 1), repeat=3)))
    strides = torch.tensor([WINDOW**2, WINDOW, 1])
    found = []
    for ahead in grids.moves(ACTIONS):
        side = ahead.abs().roll(1)
        frame = torch.stack([ahead, side, torch.linalg.cross(ahead, side)])
        found.append(((cells @ frame + grids.PAD) * strides).sum(1))
    return torch.stack(found)


class Look(nn.Module):
    """Observations of VoxelStroke to logits and, behind them, what the value is read from.

    Attributes:
        features: 6 logits, then averages and largest values over the moves, position, progress.
    """

    features = ACTIONS + REST

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        self.rate = nn.Sequential(
            nn.Linear(2 * WINDOW**3 + 2 * ACTIONS, WIDE),
            nn.ReLU(),
            nn.Linear(WIDE, NARROW),
            nn.ReLU(),
        )
        self.head = nn.Linear(NARROW, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("turned", turned(), persistent=False)
        # The cell ahead, and the five beyond it, in a turned window.
        steps = grids.moves(ACTIONS) * torch.tensor([WINDOW**2, WINDOW, 1])
        ahead = WINDOW**3 // 2 + WINDOW**2
        self.register_buffer("beyond", ahead + steps.sum(1), persistent=False)
        self.ahead = ahead
        self.register_buffer("number", torch.eye(ACTIONS), persistent=False)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """[B, features]."""
        target, visited = observation["window"].float().flatten(2).unbind(1)  # [B, 125]
        seen = torch.stack([target * (1 - visited), target], 1)
        seen = seen[:, :, self.turned].transpose(1, 2)  # [B, 6, 2, 125]
        new = seen[:, :, 0, self.ahead]
        ways = seen[:, :, 0][:, :, self.beyond].sum(2)
        order = torch.arange(ACTIONS, device=ways.device)
        value = ways * ACTIONS + order + (1 - new) * ACTIONS**2
        rank = (value[:, None] < value[..., None]).sum(2)  # [B, 6], 0: what the rule does
        known = torch.cat([self.number.expand(len(new), -1, -1), self.number[rank]], 2)
        rated = self.rate(torch.cat([seen.flatten(2), known], 2))
        logits = new * (NEW - RANK * rank) + self.head(rated)[..., 0]
        rest = [observation["position"], observation["progress"]]
        return torch.cat([logits, rated.mean(1), rated.amax(1), *rest], 1)


class Logits(nn.Module):
    """The first of the features, which are logits already."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, 6]."""
        return features[:, :ACTIONS]


class Rest(nn.Module):
    """The features behind the logits."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, REST]."""
        return features[:, ACTIONS:]


class StrokePolicy(MultiInputActorCriticPolicy):
    """SB3's policy with `Look` in place of its dense heads."""

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_net = Logits()  # type: ignore[assignment]
        self.value_net = nn.Sequential(  # type: ignore[assignment]
            Rest(), nn.Linear(REST, 64), nn.Tanh(), nn.Linear(64, 1)
        )
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )


@dataclass
class StrokeConfig(PPOConfig):
    """PPO's, tuned for the policy on the validation split."""

    hidden: tuple[int, ...] = ()
    network: str = "benchmarks.claims.stroke_policy:Look"
    num_envs: int = 128
    n_steps: int = 128
    batch_size: int = 2048
    n_epochs: int = 4
    learning_rate: float = 1e-3
    anneal: bool = True
    gamma: float = 0.997
    gae_lambda: float = 0.97
    ent_coef: float = 0.001
    reward_scale: float = 0.05


class StrokePPO(PPO):
    """SB3's PPO with `StrokePolicy`."""

    Config = StrokeConfig
    policies = StrokePolicy, StrokePolicy  # type: ignore[assignment]
