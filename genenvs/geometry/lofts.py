"""Lofts: solids between two rectangles that face each other along an axis.

One that keeps its rectangle is a cuboid; others are wedges, frusta and sheared blocks, which is all
that a part grammar and the edge loops of a cuboid need. Coordinates are those of the unit cube.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry import packed

_WORDS = 2**16  # of [b, X, Y] at a time, as in `cuboids`
# The two axes across each axis, in ascending order.
ACROSS = ((1, 2), (0, 2), (0, 1))
# Corners are numbered end * 4 + turn, turns going round the rectangle from its lowest corner.
_TURNS = ((0, 0), (1, 0), (1, 1), (0, 1))
_QUADS = ((0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))


class Lofts(NamedTuple):
    """Lofts of every row; one whose ends coincide is empty.

    Attributes:
        axis: int64 [..., P], along which the rectangles face each other: 0, 1, 2 for x, y, z.
        ends: float32 [..., P, 2], where they lie on it, ascending.
        low: float32 [..., P, 2, 2], lowest corner of each rectangle, on the two axes across in
            ascending order; the solid goes from one to the other in straight lines.
        high: float32 [..., P, 2, 2], highest corner.
    """

    axis: Tensor
    ends: Tensor
    low: Tensor
    high: Tensor

    def rows(self, index: Tensor) -> "Lofts":
        """The rows `index`, copied."""
        return Lofts(*(field[index] for field in self))

    @property
    def present(self) -> Tensor:
        """Lofts that are not empty: bool [..., P]."""
        return self.ends[..., 1] > self.ends[..., 0]


def of_cuboids(lowest: Tensor, highest: Tensor) -> Lofts:
    """Cuboids as lofts along z: corners float32 [..., P, 3] twice."""
    ends = torch.stack([lowest[..., 2], highest[..., 2]], -1)
    low, high = (c[..., None, :2].expand(*c.shape[:-1], 2, 2) for c in (lowest, highest))
    axis = torch.full(lowest.shape[:-1], 2, device=lowest.device)
    return Lofts(axis, ends, low, high)


def rasterise_packed(lofts: Lofts, size: int) -> Tensor:
    """Fill a packed grid over the unit cube with a union of lofts, where centres are inside.

    Args:
        lofts: of [B, P].
        size: voxels a side, at most 64.

    Returns:
        int64 [B, size, size], see `genenvs.geometry.packed`.

    Raises:
        ValueError: the grid does not fit into words.
    """
    if size > packed.DEPTH:
        raise ValueError(f"a packed grid has at most {packed.DEPTH} voxels a side; got {size}")
    rows, count = lofts.axis.shape
    found = torch.zeros(rows, size, size, dtype=torch.int64, device=lofts.axis.device)
    chunk = max(1, _WORDS // size**2) if found.device.type == "cpu" else max(rows, 1)
    for start in range(0, rows, chunk):
        words = found[start : start + chunk]
        here, there = _tables(Lofts(*(f[start : start + chunk] for f in lofts)), size)
        for k in range(count):
            words |= here[:, k] & there[:, k]
    return found


def _tables(lofts: Lofts, size: int) -> tuple[Tensor, Tensor]:
    """Two tables of words int64 [B, P, X, Y] whose intersection is each loft."""
    centre = (torch.arange(size, device=lofts.axis.device) + 0.5) / size
    start, stop = lofts.ends[..., :1], lofts.ends[..., 1:]  # [B, P, 1]
    share = ((centre - start) / (stop - start).clamp(min=1e-9))[..., None]  # [B, P, T, 1]
    low = torch.lerp(lofts.low[..., :1, :], lofts.low[..., 1:, :], share)  # [B, P, T, 2]
    high = torch.lerp(lofts.high[..., :1, :], lofts.high[..., 1:, :], share)
    inside = (low[..., None] <= centre) & (centre < high[..., None])  # [B, P, T, 2, size]
    reached = ((start <= centre) & (centre < stop))[..., None]  # [B, P, T, 1]
    u, v = inside[..., 0, :] & reached, inside[..., 1, :]  # [B, P, T, size]
    axis = lofts.axis[..., None, None]
    # Along x or y: all of a run or none of it by u, and the run by v. Along z both are runs.
    row = torch.where(axis == 1, u.mT, u)  # [x, y] where the axis is x or y
    run = packed.pack(v)  # [B, P, T]
    across = torch.where(axis == 0, run[..., :, None], run[..., None, :])
    up, along = packed.pack(u.mT)[..., :, None], packed.pack(v.mT)[..., None, :]
    upright = axis == 2
    return torch.where(upright, up, -row.long()), torch.where(upright, along, across)


def corners(lofts: Lofts) -> Tensor:
    """Corners of every loft: float32 [..., P, 8, 3], four of one end, then four of the other."""
    u, v = torch.tensor(_TURNS, device=lofts.axis.device).unbind(1)  # [4]
    both = torch.stack([lofts.low, lofts.high], -2)  # [..., P, end, which, 2]
    across = torch.stack([both[..., u, 0], both[..., v, 1]], -1)  # [..., P, end, 4, 2]
    along = lofts.ends[..., None, None].expand(*across.shape[:-1], 1)
    local = torch.cat([across, along], -1).flatten(-3, -2)  # [..., P, 8, (u, v, axis)]
    # Where x, y and z stand in (u, v, axis).
    order = torch.tensor([[2, 0, 1], [0, 2, 1], [0, 1, 2]], device=lofts.axis.device)
    index = order[lofts.axis][..., None, :].expand(*local.shape)
    return local.gather(-1, index)


def mesh(lofts: Lofts) -> tuple[Tensor, Tensor]:
    """Triangles of the lofts that are not empty, each closed by itself, normals outwards.

    Args:
        lofts: of one row, [P].

    Returns:
        float32 [V, 3] and int64 [F, 3].
    """
    kept = lofts.rows(lofts.present)
    quads = torch.tensor(_QUADS, device=kept.axis.device)
    triangles = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    # Along y the axes (u, v, axis) are left-handed.
    triangles = torch.where((kept.axis == 1)[:, None, None], triangles.flip(-1), triangles)
    start = torch.arange(len(kept.axis), device=triangles.device)[:, None, None] * 8
    return corners(kept).flatten(0, 1), (triangles + start).flatten(0, 1)
