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


def faces_moved(cuboid: Tensor, published: bool) -> tuple[Tensor, Tensor]:
    """Where each move puts its face.

    Args:
        cuboid: int64 [B, 6].
        published: as by the authors' mask a face may meet the opposite one, which leaves a cuboid
            of no volume, and may leave it again.

    Returns:
        int64 [B, 6, 4], and bool [B, 6, 4], whether that leaves a cuboid inside the grid; of a
        deleted one none does, unless `published`.
    """
    to = cuboid[..., None] + torch.tensor(AMOUNTS, device=cuboid.device)
    low, high = cuboid[:, :3, None], cuboid[:, 3:, None]
    thick = torch.cat([high - to[:, :3], to[:, 3:] - low], 1)
    fits = (to >= 0) & (to <= SIDE) & (thick >= (0 if published else 1))
    if published:
        return to, fits
    return to, fits & (high > low).all(1, keepdim=True)


def legal(cuboid: Tensor, published: bool) -> Tensor:
    """Which actions of the current cuboid change it: bool [B, 28].

    One deletion among four; `published`, all of them, which do the same.
    """
    _, fits = faces_moved(cuboid, published)
    deletions = filled(cuboid)[:, None].repeat(1, len(AMOUNTS))
    if not published:
        deletions[:, 1:] = False
    return torch.cat([fits.flatten(1), deletions], 1)


def filled(cuboids: Tensor) -> Tensor:
    """Whether cuboids are there, int64 [..., 6] -> bool [...]: of no volume counts as deleted."""
    return (cuboids[..., 3:] > cuboids[..., :3]).all(-1)


def carry_out(
    cuboid: Tensor, own: Tensor, published: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One action of each cuboid.

    Args:
        cuboid: int64 [B, 6].
        own: int64 [B], 0 .. 27 of its actions; anything else changes nothing, as what is illegal.
        published: see `faces_moved`; a deleted cuboid stays as a point where its lowest corner was.

    Returns:
        The cuboid afterwards, int64 [B, 6]; which face moved, int64 [B, 1]; where it is now,
        int64 [B, 1]; and whether the cuboid was deleted, bool [B, 1].
    """
    own = own[:, None]
    turn = (own >= 0) & (own < FACES)
    face = torch.where(turn, own // len(AMOUNTS), 0)
    to, fits = faces_moved(cuboid, published)
    move = torch.where(turn, own, 0)
    moves_to, may = (x.flatten(1).gather(1, move) for x in (to, fits))
    to = torch.where(turn & may, moves_to, cuboid.gather(1, face))
    last = EACH if published else FACES + 1
    deleted = (own >= FACES) & (own < last) & filled(cuboid)[:, None]
    gone = cuboid[:, :3].repeat(1, 2) if published else torch.zeros_like(cuboid)
    return torch.where(deleted, gone, cuboid.scatter(1, face, to)), face, to, deleted


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
