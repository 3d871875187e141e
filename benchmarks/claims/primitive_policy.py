"""A policy for PrimitiveModel in which all cuboids, and all their faces, share their weights.

One small network rates each of the 25 changes of the cuboid whose turn it is, from what the change
adds, what lies ahead of the face that moves, and how far the model is; another rates doing nothing.

    python -m agents train --out runs/cuboids --env genenvs/PrimitiveModel-v0
        --agent benchmarks.claims.primitive_policy:PrimitivePPO --imitate reference
"""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from torch import Tensor, nn

from agents.sb3 import MaskablePPO
from agents.sb3_configs import PPOConfig
from genenvs.shapes.primitives import COUNT, SIDE
from genenvs.tasks.primitive_model.moves import AMOUNTS, EACH, FACES, PASS

CHANGES = FACES + 1
AHEAD = 8  # layers that a face sees
HIDDEN = 64
_SHARE = 4.0  # of `moves`, whose unit of 32 voxels is more than most moves add


class Turn(nn.Module):
    """Observations of PrimitiveModel to logits and, behind them, what the value is read from.

    Attributes:
        features: 757 logits, then the best and the mean of what was seen of the changes.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__()
        kinds = torch.zeros(CHANGES, 8)  # side, size and sign of the amount, axis, deletion
        for k in range(FACES):
            coordinate, amount = k // 4, AMOUNTS[k % 4]
            grows = (amount > 0) == (coordinate >= 3)
            kinds[k, 0] = 1.0 if coordinate >= 3 else -1.0
            kinds[k, 1 + 2 * (not grows) + (abs(amount) == 2)] = 1.0
            if coordinate % 3 < 2:
                kinds[k, 5 + coordinate % 3] = 1.0
        kinds[FACES, 7] = 1.0
        self.kinds: Tensor
        self.register_buffer("kinds", kinds, persistent=False)
        seen = 5 + 8 + AHEAD + 4 + 8
        self.rate = nn.Sequential(
            nn.Linear(seen, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()
        )
        self.worth = nn.Linear(HIDDEN, 1)
        self.rest = nn.Sequential(
            nn.Linear(2 * HIDDEN + 8, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1)
        )
        for head in (self.worth, self.rest[2]):
            nn.init.normal_(head.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        self.pooled = 2 * HIDDEN + 8 + COUNT
        self.features = PASS + 1 + self.pooled

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """[B, features]."""
        moves, numbers = observation["moves"], observation["numbers"]
        box = observation["box"].flatten(1)  # one-hot [B, 27]; replayed, it comes as [B, 1, 27]
        rows = len(moves)
        volume = observation["target"].flatten(1).sum(1, keepdim=True) / 512
        progress = numbers[:, :1]
        iou = numbers[:, 2:3]
        whole = torch.cat([numbers, volume, iou / (volume + 0.1) / 10, progress**2], 1)  # [B, 8]
        net = (
            moves[..., :1] - iou[:, None] * moves[..., 1:2]
        )  # its sign is that of the IoU's change
        own = torch.cat([moves, net], 2) * _SHARE
        own = torch.cat([own.clamp(-4, 4), (8 * net / (volume[:, None] + 0.1)).tanh()], 2)
        current = observation["current"]
        low, high = current[:, :3], current[:, 3:]
        size = (high - low)[:, [0, 1, 2, 0, 1, 2]]
        sides = torch.stack([size, current, size * 0 + (high - low).prod(1, keepdim=True) * 8,
                             1 - current], 2)  # fmt: skip  # [B, 6, 4]
        faces = torch.cat([self._ahead(observation, box.argmax(1)), sides], 2)  # [B, 6, AHEAD + 4]
        faces = faces.repeat_interleave(len(AMOUNTS), 1)
        faces = torch.cat([faces, faces.mean(1, keepdim=True)], 1)  # [B, 25, AHEAD + 4]
        everything = [own, self.kinds.expand(rows, -1, -1), faces]
        everything.append(whole[:, None].expand(-1, CHANGES, -1))
        seen = self.rate(torch.cat(everything, 2))  # [B, 25, HIDDEN]
        pooled = torch.cat([seen.amax(1), seen.mean(1), whole], 1)
        logits = moves.new_zeros(rows, PASS + 1)
        place = box.argmax(1, keepdim=True) * EACH
        place = place + torch.arange(CHANGES, device=moves.device)
        logits = logits.scatter(1, place, self.worth(seen)[..., 0])
        logits = torch.cat([logits[:, :PASS], self.rest(pooled)], 1)
        return torch.cat([logits, pooled, box], 1)

    def _ahead(self, observation: dict[str, Tensor], box: Tensor) -> Tensor:
        """The share of each next layer's section that is target and bare: [B, 6, AHEAD]."""
        cuboids, target = observation["cuboids"] * SIDE, observation["target"]
        at = torch.arange(SIDE, device=cuboids.device)
        runs = (at >= cuboids[..., :3, None]) & (at < cuboids[..., 3:, None])
        x, y, z = runs.float().unbind(2)  # [B, 27, 16]
        plane = (x[:, :, :, None] * y[:, :, None]).flatten(2)  # [B, 27, 256]
        union = torch.bmm(plane.mT, z).view(target.shape) > 0.5
        bare = target * ~union
        own = runs[torch.arange(len(runs)), box].float()  # [B, 3, 16]
        a, b, c = own.unbind(1)
        by_z = (bare * c[:, None, None]).sum(3)  # [B, x, y]
        of_x = (by_z * b[:, None]).sum(2) / (b.sum(1) * c.sum(1)).clamp(min=1)[:, None]
        of_y = (by_z * a[:, :, None]).sum(1) / (a.sum(1) * c.sum(1)).clamp(min=1)[:, None]
        of_z = ((bare * a[:, :, None, None]).sum(1) * b[:, :, None]).sum(1)
        of_z = of_z / (a.sum(1) * b.sum(1)).clamp(min=1)[:, None]
        layers = torch.stack([of_x, of_y, of_z], 1)  # [B, 3, 16]
        layers = nn.functional.pad(layers, (AHEAD, AHEAD)).repeat(1, 2, 1)  # [B, 6, 32]
        step = torch.arange(AHEAD, device=layers.device)
        corner = (observation["current"] * SIDE).long()[..., None]  # [B, 6, 1]
        below = corner[:, :3] - 1 - step
        above = corner[:, 3:] + step
        return layers.gather(2, torch.cat([below, above], 1) + AHEAD)


class Logits(nn.Module):
    """The first of the features, which are logits already."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, 757]."""
        return features[:, : PASS + 1]


class Rest(nn.Module):
    """The features behind the logits."""

    def forward(self, features: Tensor) -> Tensor:
        """[B, pooled]; the value's error does not train what the policy sees."""
        return features[:, PASS + 1 :].detach()


class PrimitivePolicy(MaskableMultiInputActorCriticPolicy):
    """sb3-contrib's policy with `Turn` in place of its dense heads."""

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        self.action_net = Logits()
        self.value_net = nn.Sequential(
            Rest(), nn.Linear(self.features_dim - PASS - 1, 64), nn.Tanh(), nn.Linear(64, 64),
            nn.Tanh(), nn.Linear(64, 1),
        )  # fmt: skip
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )


@dataclass
class PrimitiveConfig(PPOConfig):
    """PPO's, with what goes with the policy."""

    hidden: tuple[int, ...] = ()
    network: str = "benchmarks.claims.primitive_policy:Turn"
    num_envs: int = 128
    n_steps: int = 108  # four rounds
    batch_size: int = 3456
    n_epochs: int = 4
    learning_rate: float = 2e-4
    anneal: bool = True
    # A cuboid's next turn is 27 steps away, and the end is part of the task.
    gamma: float = 1.0
    gae_lambda: float = 0.98
    ent_coef: float = 0.005
    reward_scale: float = 20.0  # a move is worth a hundredth


class PrimitivePPO(MaskablePPO):
    """sb3-contrib's MaskablePPO with `PrimitivePolicy`."""

    Config = PrimitiveConfig
    policies = PrimitivePolicy, PrimitivePolicy  # type: ignore[assignment]
