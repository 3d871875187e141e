"""A policy for PrimitiveModel that bends what a greedy modeller would do.

Every change of the cuboid whose turn it is gets a score, and the best one is taken:

    score(c) = gain(c) exp(theta . f(c))

`gain` is what the change pays at once, worked out from the observation; where none pays, nothing is
done. The twelve features f say what kind of change it is, and what lies ahead of the face that
moves; each has three weights, for the beginning of an episode, its first half, and all of it. With
theta = 0 that is the expert of Lin et al.; what theta says is which gains are better left.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from genenvs.shapes.primitives import SIDE
from genenvs.tasks.primitive_model import lookahead, moves
from genenvs.tasks.primitive_model.lookahead import Place
from genenvs.tasks.primitive_model.moves import AMOUNTS, EACH, FACES, PASS
from genenvs.tasks.primitive_model.rewards import TERMS
from genenvs.tasks.primitive_model.survey import FRESH, Survey, survey
from genenvs.tasks.primitive_model.task import LEAST_GAIN

FEATURES, PHASES = 12, 3
WEIGHTS = FEATURES * PHASES
_DECAY = (10.0, 3.0, 0.0)  # of the phases, over an episode
_MOST = 3.0  # of the exponent
_NEVER = -10.0  # score of what is illegal; infinity would make gradients NaN
_WEIGHTS = {name: term.weight for name, term in TERMS.items()}


class Sight(nn.Module):
    """What the policy reads off an observation of PrimitiveModel: gains and features."""

    def __init__(self) -> None:
        super().__init__()
        kinds = torch.zeros(3, FACES + 1)  # grows by one, by two, shrinks
        for k in range(FACES):
            coordinate, amount = k // len(AMOUNTS), AMOUNTS[k % len(AMOUNTS)]
            grows = (amount > 0) == (coordinate >= 3)
            kinds[abs(amount) - 1 if grows else 2, k] = 1.0
        self.kinds: Tensor
        self.register_buffer("kinds", kinds, persistent=False)

    def forward(self, seen: dict[str, Tensor], words: Tensor) -> tuple[Tensor, Tensor]:
        """Look at the changes of the cuboids whose turn it is.

        Args:
            seen: the observation; `box` as numbers [B].
            words: int64 [B, 3, 16, 4], its target, of `packed_target`.

        Returns:
            Gains float32 [B, 25], -inf where illegal, and features float32 [B, 25, 36].
        """
        cuboids = (seen["cuboids"] * SIDE).round().long()
        cuboid = (seen["current"] * SIDE).round().long()
        numbers, box = seen["numbers"], seen["box"].long()
        around = survey(cuboids, box, words)
        volume = (seen["target"] > 0).flatten(1).sum(1)
        here = moves.filled(cuboid)[:, None]
        others = (seen["present"] > 0).sum(1, keepdim=True) - here.long()
        local, single = numbers[:, 3:4].double(), numbers[:, 4:].double()
        rest = local * (others + here.long()) - single * here
        place = Place(cuboid, around, volume, numbers[:, 2], numbers[:, 3], others, rest)
        gain = lookahead.gains(place, _WEIGHTS)
        size = (cuboid[:, 3:] - cuboid[:, :3]).float()
        features = self._features(seen["moves"], cuboid, size, around, single.float() - local)
        step = torch.tensor(_DECAY, device=gain.device) * -numbers[:, :1]
        return gain, (features[..., None] * step.exp()[:, None, None]).flatten(2)

    def _features(
        self, changes: Tensor, cuboid: Tensor, size: Tensor, around: Survey, better: Tensor
    ) -> Tensor:
        """float32 [B, 25, 12]."""
        longest = size.amax(1, keepdim=True)
        slender = _of_changes(size / longest.clamp(min=1), 0.0)
        near, far = (_of_changes(x, None) for x in _ahead(cuboid, size, around))
        hits, misses = changes[..., 0].abs(), changes[..., 1].abs()
        waste = misses / (hits + misses + 1e-6)
        one, two, shrinks = self.kinds
        grows = one + two
        every = torch.ones_like(near)
        return torch.stack(
            [
                one * every,
                two * every,
                shrinks * every,
                grows * near,
                grows * far,
                grows * slender,
                shrinks * slender,
                grows * better.float() * 5,
                shrinks * near,
                grows * waste,
                shrinks * waste,
                grows * longest / SIDE,
            ],
            2,
        )


class Bent(nn.Module):
    """Scores by one theta, as a stochastic policy that can be taught.

    Attributes:
        theta: float32 [36].
        sharpness: float32 [], logarithm of what scores are multiplied by to be logits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sight = Sight()
        # Not the expert from the start: it has to be imitated.
        self.theta = nn.Parameter(torch.randn(WEIGHTS) * 0.5)
        self.sharpness = nn.Parameter(torch.tensor(math.log(300.0)))
        self.level = nn.Parameter(torch.zeros(()))

    def judge(self, seen: Any, mask: Tensor | None, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of samples [B, 1], and the value: the same everywhere."""
        gain, features = self.sight(seen, packed_target(seen["target"]))
        score = scores(gain, features, self.theta, seen["numbers"])
        logits = torch.cat([score, torch.full_like(score[:, :1], LEAST_GAIN)], 1)
        logs = (logits * self.sharpness.exp()).log_softmax(1)
        number = torch.where(action[:, 0] == PASS, FACES + 1, action[:, 0] % EACH)
        return logs.gather(1, number[:, None])[:, 0], self.level.expand(len(action))

    def best(self, seen: dict[str, Tensor]) -> Tensor:
        """The best actions: int64 [B]."""
        gain, features = self.sight(seen, packed_target(seen["target"]))
        return actions(scores(gain, features, self.theta, seen["numbers"]), seen["box"])


def scores(gain: Tensor, features: Tensor, theta: Tensor, numbers: Tensor) -> Tensor:
    """Scores float32 [B, 25] by weights [36] or [B, 36]; deletions come in the second half."""
    bend = (features @ theta[..., None])[..., 0].clamp(-_MOST, _MOST)
    never = gain.isinf()
    score = gain.masked_fill(never, 0.0) * bend.exp()
    never[:, FACES] |= numbers[:, 0] <= 0.5
    return score.masked_fill(never, _NEVER)


def actions(score: Tensor, box: Tensor) -> Tensor:
    """The change of the best score, or nothing: int64 [B]."""
    best, which = score.max(1)
    return torch.where(best > LEAST_GAIN, EACH * box.long() + which, PASS)


def packed_target(target: Tensor) -> Tensor:
    """What `survey.fold` gives: uint8 [B, 16, 16, 16] -> int64 [B, 3, 16, 4].

    Sums of 16 powers of two are exact in float32, and a matrix product is the fastest way to them.
    """
    powers = 2.0 ** torch.arange(SIDE, device=target.device)
    grid = (target > 0).float()
    turns = [grid, grid.permute(0, 2, 3, 1), grid.permute(0, 3, 1, 2)]
    rows = torch.stack([turn.reshape(-1, SIDE, 4, 4, SIDE) @ powers for turn in turns], 1)
    shift = SIDE * torch.arange(4, device=target.device)
    return (rows.long() << shift).sum(4)


def _ahead(cuboid: Tensor, size: Tensor, around: Survey) -> tuple[Tensor, Tensor]:
    """How much of the next four layers before each face is target and bare: float32 [B, 6].

    And the same of the four layers after these.
    """
    layers = around.layers[:, FRESH].float()  # [B, 3, 17], sums over the layers below
    section = (size.prod(1, keepdim=True) / size.clamp(min=1)).clamp(min=1)
    low, high = cuboid[:, :3], cuboid[:, 3:]

    def share(first: Tensor, last: Tensor) -> Tensor:
        first, last = (x.clamp(0, SIDE)[..., None] for x in (first, last))
        return (layers.gather(2, last) - layers.gather(2, first))[..., 0] / section / 4

    near = torch.cat([share(low - 4, low), share(high, high + 4)], 1)
    return near, torch.cat([share(low - 8, low - 4), share(high + 4, high + 8)], 1)


def _of_changes(faces: Tensor, deletion: float | None) -> Tensor:
    """Numbers of axes [B, 3] or faces [B, 6] as those of changes [B, 25]; None: their mean."""
    if faces.shape[1] == 3:
        faces = faces.repeat(1, 2)
    last = (
        faces.mean(1, keepdim=True) if deletion is None else torch.full_like(faces[:, :1], deletion)
    )
    return torch.cat([faces.repeat_interleave(len(AMOUNTS), 1), last], 1)
