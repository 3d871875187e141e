"""PrimitiveModelDepth's picture read as a grid, by who knows the camera.

    python -m agents train --env genenvs/PrimitiveModelDepth-v0 --agent ppo
        --network agents.carved:Carved

A run of some hundred episodes sees as many targets, and from so few no convolutions learn where in
the grid a pixel lies. That needs no learning: a voxel before the surface that its pixel shows is
empty, one behind it is not seen. Two guesses of the target are made of this,

- `HULL`: whatever is not seen to be empty, which holds all of the target and much more;
- `SHELL`: what lies up to three voxels behind a surface, about as many hits as misses,

and each tells what a move of the current cuboid would add, as the observation `moves` of
PrimitiveModel does with the target itself. Nothing here is learned; the layers above are.
"""

from functools import lru_cache

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import Tensor, nn

from genenvs.geometry.cuboids import volume
from genenvs.geometry.voxels import share
from genenvs.shapes.primitives import COUNT, SIDE
from genenvs.tasks.primitive_model import moves
from genenvs.tasks.primitive_model.depth import LEVELS, PIXELS, Centres, centres
from genenvs.tasks.primitive_model.lookahead import contents
from genenvs.tasks.primitive_model.survey import BARE, FRESH, TARGET, fold, survey

BEFORE = 0.6  # voxels: the middle of a voxel whose surface is seen lies about half of one behind it
HULL, SHELL = 2.0 * SIDE, 3.0  # voxels behind a surface that still count
SCALE = 32  # voxels that a move counts as one
EACH = 3 * (moves.FACES + 1) + 2  # numbers of a guess


class Carved(nn.Module):
    """What the observation says beside its picture, and what the moves seem to add.

    Attributes:
        features: length of the vector.
    """

    def __init__(self, space: gym.Space) -> None:
        """Nothing is made: there are no weights.

        Raises:
            ValueError: the space is another one.
        """
        super().__init__()
        picture = space.spaces.get("depth") if isinstance(space, spaces.Dict) else None
        if picture is None or picture.shape != (1, PIXELS, PIXELS):
            raise ValueError(f"the network reads PrimitiveModelDepth's pictures; got {space}")
        self.features = COUNT * 6 + COUNT + COUNT + 6 + 2 + 2 * EACH

    @torch.no_grad()
    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """[B, features]."""
        cuboids, cuboid = (
            (observation[name] * SIDE).round().long() for name in ("cuboids", "current")
        )
        current = observation["box"].flatten(1).argmax(1)  # sb3 may put a 1 between
        parts = [observation[k].flatten(1) for k in ("cuboids", "present", "box", "current")]
        guesses = [ahead(cuboids, cuboid, current, g) for g in guessed(observation["depth"])]
        return torch.cat([*parts, observation["numbers"], *guesses], 1)


def guessed(depth: Tensor) -> list[Tensor]:
    """The two guesses of the target: float [B, 1, 128, 128] in 0 .. 1 -> bool [B, 16, 16, 16]."""
    where = _centres(str(depth.device))
    seen = (depth * 255).flatten(1).index_select(1, where.pixel)
    behind = seen - where.level  # in levels; where nothing is seen it lies below any before
    found = behind > -BEFORE * LEVELS
    return [
        (found & (behind < reach * LEVELS)).unflatten(1, (SIDE,) * 3) for reach in (HULL, SHELL)
    ]


@lru_cache(maxsize=4)
def _centres(device: str) -> Centres:
    """No buffers of the module: `a3c` shares none."""
    return Centres(*(x.to(device) for x in centres()))


def ahead(cuboids: Tensor, cuboid: Tensor, current: Tensor, guess: Tensor) -> Tensor:
    """What the moves and the deletion of the current cuboid would add, were a guess the target.

    Args:
        cuboids: int64 [B, 27, 6].
        cuboid: int64 [B, 6], the current one.
        current: int64 [B], which it is.
        guess: bool [B, 16, 16, 16].

    Returns:
        float32 [B, EACH]: for each move the hits of the union, its misses and the cuboid's own hits
        in units of 32 voxels, 0 where illegal; the IoUs of the union and of the cuboid alone.
    """
    view = survey(cuboids, current, fold(guess))
    held, fits = contents(cuboid, view.layers)
    face = torch.full_like(current, 3)[:, None]
    now = moves.content(view.layers, cuboid, face, cuboid[:, 3:4])  # [B, 3, 1]
    fresh, bare, own = ((held - now) * fits[:, None]).unbind(1)
    added = torch.stack([fresh, bare - fresh, own], 2).flatten(1) / SCALE
    target = guess.flatten(1).sum(1)
    hit, filled = view.hit + now[:, FRESH, 0], view.filled + now[:, BARE, 0]
    alone, size = now[:, TARGET, 0], volume(cuboid)
    union = share(hit, filled + target - hit)
    return torch.cat([added, torch.stack([union, share(alone, size + target - alone)], 1)], 1)
