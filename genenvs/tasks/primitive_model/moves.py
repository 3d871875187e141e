"""The actions, and what each would make of the union."""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry.voxels import share
from genenvs.shapes.primitives import COUNT, SIDE
from genenvs.tasks.primitive_model.survey import BARE, FRESH, TARGET, Survey

AMOUNTS = (1, 2, -2, -1)  # voxels, in the authors' order
OPERATIONS = 7  # the six coordinates of a cuboid, and its deletion
EACH = OPERATIONS * len(AMOUNTS)  # actions of a cuboid
FACES = 6 * len(AMOUNTS)  # of these, how many move a face; the first deletion comes next
PASS = COUNT * EACH  # the action that changes nothing
_PADDING, _GRID, _START = 2, 3, 4  # of the first cuboids: 3 x 3 x 3, 4 voxels a side


class Outlook(NamedTuple):
    """What each change of the current cuboid would lead to.

    Attributes:
        iou: float32 [B, N], of the union with the target.
        single: float32 [B, N], of that cuboid alone with the target.
    """

    iou: Tensor
    single: Tensor


def first_cuboids() -> Tensor:
    """Where the cuboids are at the start: int64 [27, 6]."""
    low = torch.cartesian_prod(*[torch.arange(_GRID)] * 3) * _START + _PADDING
    return torch.cat([low, low + _START], 1)


def faces_moved(cuboid: Tensor) -> tuple[Tensor, Tensor]:
    """Where each move puts its face.

    Args:
        cuboid: int64 [B, 6].

    Returns:
        int64 [B, 6, 4], and bool [B, 6, 4], whether that leaves a cuboid inside the grid; of a
        deleted one none does.
    """
    to = cuboid[..., None] + torch.tensor(AMOUNTS, device=cuboid.device)
    low, high = cuboid[:, :3, None], cuboid[:, 3:, None]
    fits = torch.cat(
        [(to[:, :3] >= 0) & (to[:, :3] < high), (to[:, 3:] > low) & (to[:, 3:] <= SIDE)], 1
    )
    return to, fits & (high > low).all(1, keepdim=True)


def legal(cuboid: Tensor) -> Tensor:
    """Which actions of the current cuboid change it: bool [B, 28], one deletion among four."""
    _, fits = faces_moved(cuboid)
    gone = (cuboid == 0).all(1, keepdim=True)
    never = torch.zeros_like(gone)
    return torch.cat([fits.flatten(1), ~gone, never, never, never], 1)


def carry_out(cuboid: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One action of each cuboid.

    Args:
        cuboid: int64 [B, 6].
        own: int64 [B], 0 .. 27 of its actions; anything else changes nothing, as what is illegal.

    Returns:
        The cuboid afterwards, int64 [B, 6]; which face moved, int64 [B, 1]; where it is now,
        int64 [B, 1]; and whether the cuboid was deleted, bool [B, 1].
    """
    own = own[:, None]
    count = len(AMOUNTS)
    turn = (own >= 0) & (own < FACES)
    face = torch.where(turn, own // count, 0)
    low_face = face < 3
    amount = torch.tensor(AMOUNTS, device=own.device)[torch.where(turn, own % count, 0)]
    now = cuboid.gather(1, face)
    to = now + amount
    opposite = cuboid.gather(1, (face + 3) % 6)
    thick = torch.where(low_face, opposite - to, to - opposite) > 0
    # Of a deleted cuboid, zeros, every face that grows would bring it back.
    fits = turn & thick & (to >= 0) & (to <= SIDE) & (now != opposite)
    to = torch.where(fits, to, now)
    deleted = (own == FACES) & (now != opposite)
    return cuboid.scatter(1, face, to).masked_fill(deleted, 0), face, to, deleted


def content(layers: Tensor, cuboid: Tensor, face: Tensor, to: Tensor) -> Tensor:
    """What the current cuboid holds once a face has moved.

    Args:
        layers: int16 [B, 3, 3, 17], of `Survey`.
        cuboid: int64 [B, 6].
        face: int64 [B, N] in 0 .. 5.
        to: int64 [B, N], where each of them goes.

    Returns:
        int64 [B, 3, N], counts in the order of `Survey.layers`; nonsense where `to` does not fit.
    """
    axis = face % 3
    opposite = cuboid.gather(1, (face + 3) % 6)
    planes = torch.stack([opposite, to], 1).clamp(0, SIDE) + axis[:, None] * (SIDE + 1)
    sums = layers.flatten(2)  # [B, 3, 51]
    at = planes.flatten(1)[:, None].expand(-1, 3, -1)
    there, here = sums.gather(2, at).long().unflatten(2, (2, -1)).unbind(2)
    return (here - there) * torch.where(face < 3, -1, 1)[:, None]


def outlook(seen: Survey, volume: Tensor, held: Tensor, size: Tensor) -> Outlook:
    """What cuboids of given contents would lead to.

    Args:
        seen: around the current cuboid.
        volume: int64 [B], voxels of the target.
        held: int64 [B, 3, N], of `content`; zeros for a deletion.
        size: int64 [B, N], voxels of each.
    """
    hit = seen.hit[:, None] + held[:, FRESH]
    filled = seen.filled[:, None] + held[:, BARE]
    own = held[:, TARGET]
    return Outlook(
        share(hit, filled + volume[:, None] - hit), share(own, size + volume[:, None] - own)
    )
