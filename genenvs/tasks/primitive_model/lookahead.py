"""What every change of the current cuboid would pay: the sight of the paper's virtual expert."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry.cuboids import volume
from genenvs.tasks.primitive_model import moves
from genenvs.tasks.primitive_model.moves import AMOUNTS
from genenvs.tasks.primitive_model.survey import Survey


class Place(NamedTuple):
    """Where the cuboid whose turn it is stands.

    Attributes:
        cuboid: int64 [B, 6].
        seen: around it.
        volume: int64 [B], voxels of the target.
        iou: float32 [B], of the union.
        local_iou: float32 [B], mean of the single cuboids'.
        others: int64 [B, 1], how many other cuboids are left.
        rest: float64 [B, 1], sum of their single IoUs.
    """

    cuboid: Tensor
    seen: Survey
    volume: Tensor
    iou: Tensor
    local_iou: Tensor
    others: Tensor
    rest: Tensor


def contents(cuboid: Tensor, layers: Tensor, published: bool = False) -> tuple[Tensor, Tensor]:
    """What a cuboid would hold after each of its 24 moves, and its deletion.

    Args:
        cuboid: int64 [B, 6].
        layers: int16 [B, 3, 3, 17], of `Survey`.
        published: see `moves.faces_moved`.

    Returns:
        int64 [B, 3, 25], and which changes are legal, bool [B, 25].
    """
    to, fits = moves.faces_moved(cuboid, published)
    face = torch.arange(6, device=cuboid.device).repeat_interleave(len(AMOUNTS))
    held = moves.content(layers, cuboid, face.expand(len(to), -1), to.flatten(1))
    left = moves.filled(cuboid)[:, None]
    return torch.nn.functional.pad(held, (0, 1)), torch.cat([fits.flatten(1), left], 1)


def gains(place: Place, weights: Mapping[str, float], published: bool = False) -> Tensor:
    """What each of the 25 changes would pay: float32 [B, 25], -inf where it is illegal."""
    cuboid = place.cuboid
    held, fits = contents(cuboid, place.seen.layers, published)
    sizes = _sizes(cuboid, published)
    found = moves.outlook(place.seen, place.volume, held, sizes)
    # As published, a move may leave nothing of a cuboid, or make something of nothing.
    there = (sizes > 0).long()
    local = (place.rest + found.single * there) / (place.others + there).clamp(min=1)
    value = {
        "iou": found.iou - place.iou[:, None],
        "local_iou": local.float() - place.local_iou[:, None],
        "deleted": (moves.filled(cuboid)[:, None].long() - there).float(),
    }
    gain = sum(weights[name] * change for name, change in value.items())
    return torch.where(fits, gain, -torch.inf)


def _sizes(cuboid: Tensor, published: bool) -> Tensor:
    """Voxels after each move, and after the deletion: int64 [B, 25]."""
    to, _ = moves.faces_moved(cuboid, published)
    moved = cuboid[:, None, None].repeat(1, 6, len(AMOUNTS), 1)
    face = torch.arange(6, device=cuboid.device)
    moved[:, face, :, face] = to.transpose(0, 1)
    return torch.nn.functional.pad(volume(moved).flatten(1), (0, 1))
