"""Edge loops: where they start on the cuboids, and the solid that they enclose.

A loop is a rectangle across the longest axis of its cuboid; the solid goes in straight lines from
each loop to the next. Coordinates are those of the unit cube.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry import cuboids, lofts
from genenvs.geometry.lofts import ACROSS
from genenvs.shapes.primitives import SIDE

LOOPS = 10  # of a shape, in all
LEAST = 2  # of a cuboid: its two ends
BOXES = LOOPS // LEAST  # cuboids that loops suffice for


class Cage(NamedTuple):
    """What stays as it is while loops move; all axes have the batch in front.

    Attributes:
        axis: int64 [B, 5], along which each cuboid's loops follow each other.
        owner: int64 [B, 10], the cuboid of each loop; loops of one cuboid stand together, ascending
            along its axis.
        below: int64 [B, 5, T], the loop below the middle of each layer of voxels across the
            cuboid's axis; the next loop is the one above. -1 where the cuboid is not.
        share: float32 [B, 5, T], how far between the two, 0 .. 1.
    """

    axis: Tensor
    owner: Tensor
    below: Tensor
    share: Tensor


class Layers(NamedTuple):
    """Rectangles in the layers of some cuboids; see `lofts.rasterise_layers`.

    Attributes:
        axis: int64 [B, P].
        low: float32 [B, P, T, 2].
        high: float32 [B, P, T, 2].
        reached: bool [B, P, T].
    """

    axis: Tensor
    low: Tensor
    high: Tensor
    reached: Tensor


def largest(found: Tensor) -> tuple[Tensor, Tensor]:
    """Those cuboids that get loops, and the others.

    Args:
        found: int64 [B, N, 6], empty ones anywhere.

    Returns:
        int64 [B, 5, 6], by volume, the largest first, and int64 [B, max(N - 5, 0), 6]; zeros where
        there are fewer.
    """
    volume = cuboids.volume(found)
    found = found * (volume > 0)[..., None]
    order = volume.argsort(dim=1, descending=True, stable=True)
    found = found.gather(1, order[..., None].expand_as(found))
    missing = max(BOXES - found.shape[1], 0)
    found = torch.nn.functional.pad(found, (0, 0, 0, missing))
    return found[:, :BOXES], found[:, BOXES:]


def allot(volume: Tensor) -> Tensor:
    """How many loops each cuboid gets: as its volume, at least two.

    Every further loop goes where a loop has most volume to itself.

    Args:
        volume: int64 [B, 5], 0 where there is no cuboid; at least one is there.

    Returns:
        int64 [B, 5], 10 in all.
    """
    count = LEAST * (volume > 0).long()
    for _ in range(LOOPS - LEAST):
        needy = (volume / count.clamp(min=1)).argmax(1, keepdim=True)
        short = count.sum(1, keepdim=True) < LOOPS
        count = count.scatter_add(1, needy, short.long())
    return count


def place(boxes: Tensor, size: int) -> tuple[Cage, Tensor]:
    """Put loops on cuboids, evenly from one end to the other.

    Args:
        boxes: int64 [B, 5, 6] in a grid of SIDE^3, zeros where there is none; at least one a row.
        size: T, voxels a side of the grid that the solid is compared on.

    Returns:
        The cage, and the corners of the loops: float32 [B, 10, 2, 3], lowest and highest.
    """
    corner = boxes.unflatten(-1, (2, 3)).float() / SIDE  # [B, 5, 2, 3]
    extent = boxes[..., 3:] - boxes[..., :3]
    axis = (extent * 3 - torch.arange(3, device=boxes.device)).argmax(-1)  # ties: the first
    count = allot(cuboids.volume(boxes))
    until = count.cumsum(1)
    number = torch.arange(LOOPS, device=boxes.device)
    owner = (number[None, :, None] >= until[:, None]).sum(-1)  # [B, 10]
    rank = number - (until - count).gather(1, owner)
    spacing = count.gather(1, owner) - 1
    corner = corner.gather(1, owner[..., None, None].expand(-1, -1, 2, 3)).clone()
    along = axis.gather(1, owner)[..., None, None].expand(-1, -1, 2, 1)
    ends = corner.gather(-1, along)  # [B, 10, 2, 1]
    share = (rank / spacing)[..., None, None]
    at = torch.lerp(ends[:, :, :1], ends[:, :, 1:], share)  # [B, 10, 1, 1]
    corner.scatter_(-1, along, at.expand(-1, -1, 2, 1))
    return _layered(axis, owner, at.flatten(1), until, count, size), corner


def _layered(
    axis: Tensor, owner: Tensor, at: Tensor, until: Tensor, count: Tensor, size: int
) -> Cage:
    centre = lofts.centres(size, at.device)
    box = torch.arange(BOXES, device=at.device)
    own = owner[:, None, :, None] == box[:, None, None]  # [B, 5, 10, 1]
    passed = (own & (at[:, None, :, None] <= centre)).sum(2)  # [B, 5, T]: loops of the cuboid
    below = (until - count)[..., None] + passed - 1
    here = (passed > 0) & (passed < count[..., None])
    below = torch.where(here, below, 0)
    low, high = (at.gather(1, (below + k).flatten(1)).view(below.shape) for k in (0, 1))
    share = (centre - low) / (high - low).clamp(min=1e-9)
    return Cage(axis, owner, torch.where(here, below, -1), torch.where(here, share, 0.0))


def across(corner: Tensor, axis: Tensor) -> Tensor:
    """Coordinates on the two axes across: [..., 3] with an axis [...] -> [..., 2]."""
    index = torch.tensor(ACROSS, device=axis.device)[axis]
    return corner.gather(-1, index)


def layers(cage: Cage, corner: Tensor, order: Tensor) -> Layers:
    """The rectangles of some cuboids in every layer.

    Args:
        cage: of B rows.
        corner: float32 [B, 10, 2, 3].
        order: int64 [B, P], which cuboids.
    """
    below, first, last, share = _ends(cage, corner, order)
    found = torch.lerp(first, last, share)
    return Layers(cage.axis.gather(1, order), found[..., :2], found[..., 2:], below >= 0)


def alternatives(cage: Cage, corner: Tensor, current: Tensor, moved: Tensor) -> Layers:
    """The rectangles of one loop's cuboid, were the loop elsewhere.

    Args:
        cage: of B rows.
        corner: float32 [B, 10, 2, 3].
        current: int64 [B], the loop.
        moved: float32 [B, C, 2, 3], its corners in each of C cases.

    Returns:
        Layers of [B * C, 1].
    """
    cases = moved.shape[1]
    order = cage.owner.gather(1, current[:, None])
    below, first, last, share = _ends(cage, corner, order)  # [B, 1, T, 4]
    axis = cage.axis.gather(1, order)  # [B, 1]
    flat = across(moved, axis[..., None].expand(-1, cases, 2)).flatten(2)[
        :, :, None
    ]  # [B, C, 1, 4]
    number = current[:, None, None, None]
    first = torch.where(below[..., None] == number, flat, first)  # [B, C, T, 4]
    last = torch.where(below[..., None] + 1 == number, flat, last)
    found = torch.lerp(first, last, share).flatten(0, 1)[:, None]
    reached = (below >= 0).repeat_interleave(cases, 0)
    return Layers(axis.repeat_interleave(cases, 0), found[..., :2], found[..., 2:], reached)


def _ends(cage: Cage, corner: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For every layer of cuboids [B, P]: which rectangles it lies between, and where.

    Returns:
        The loop below, int64 [B, P, T]; its rectangle and that of the next loop (low u, low v, high
        u, high v), float32 [B, P, T, 4] each; and how far between them, float32 [B, P, T, 1].
    """
    wide = order[..., None].expand(-1, -1, cage.below.shape[-1])
    below, share = cage.below.gather(1, wide), cage.share.gather(1, wide)
    turned = cage.axis.gather(1, cage.owner)[..., None].expand(-1, -1, 2)
    flat = across(corner, turned).flatten(2)  # [B, 10, 4]
    index = below.clamp(min=0).flatten(1)[..., None].expand(-1, -1, 4)
    first = flat.gather(1, index).view(*below.shape, 4)
    last = flat.gather(1, index + 1).view(*below.shape, 4)
    return below, first, last, share[..., None]


def around(cage: Cage, corner: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
    """All cuboids but one, and that one, as packed grids.

    Args:
        cage: of B rows.
        corner: float32 [B, 10, 2, 3].
        current: int64 [B], the loop whose cuboid stands apart.

    Returns:
        int64 [B, T, T] twice.
    """
    apart = cage.owner.gather(1, current[:, None])  # [B, 1]
    others = torch.arange(BOXES - 1, device=apart.device)
    others = others + (others >= apart).long()  # [B, 4]
    return lofts.rasterise_apart(*layers(cage, corner, torch.cat([others, apart], 1)))
