"""Lofts: solids between two rectangles that face each other along an axis.

One that keeps its rectangle is a cuboid; others are wedges, frusta and sheared blocks, which is all
that a part grammar and the edge loops of a cuboid need. Coordinates are those of the unit cube.
"""

from collections.abc import Iterator
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
    centre = centres(size, lofts.axis.device)
    start, stop = lofts.ends[..., :1], lofts.ends[..., 1:]  # [B, P, 1]
    share = ((centre - start) / (stop - start).clamp(min=1e-9))[..., None]  # [B, P, T, 1]
    low = torch.lerp(lofts.low[..., :1, :], lofts.low[..., 1:, :], share)  # [B, P, T, 2]
    high = torch.lerp(lofts.high[..., :1, :], lofts.high[..., 1:, :], share)
    reached = (start <= centre) & (centre < stop)
    return rasterise_layers(lofts.axis, low, high, reached)


def centres(size: int, device: torch.device) -> Tensor:
    """Where the middles of voxels lie along an axis: float32 [size]."""
    return (torch.arange(size, device=device) + 0.5) / size


def rasterise_layers(axis: Tensor, low: Tensor, high: Tensor, reached: Tensor) -> Tensor:
    """Fill a packed grid with solids of which the rectangle in every layer of voxels is known.

    Args:
        axis: int64 [B, P], across which the layers lie.
        low: float32 [B, P, T, 2], lowest corner of the rectangle in each of the T <= 64 layers, on
            the two axes across in ascending order.
        high: float32 [B, P, T, 2], highest corner.
        reached: bool [B, P, T], layers in which the solid is.

    Returns:
        int64 [B, T, T], see `genenvs.geometry.packed`.
    """
    rest, last = rasterise_apart(axis, low, high, reached)
    return rest | last


def rasterise_apart(
    axis: Tensor, low: Tensor, high: Tensor, reached: Tensor
) -> tuple[Tensor, Tensor]:
    """`rasterise_layers` of all solids but the last, and of the last one; of none twice nothing."""
    size = low.shape[-2]
    rest = torch.zeros(len(axis), size, size, dtype=torch.int64, device=axis.device)
    last = torch.zeros_like(rest)
    for start, tables in _chunks(axis, low, high, reached):
        words = rest[start : start + len(tables[0])]
        block = last[start : start + len(tables[0])]
        other = torch.empty_like(words)
        for k in range(axis.shape[1]):
            if k:
                words |= block
            _write(tables, k, block, other)
    return rest, last


Tables = tuple[Tensor, Tensor, Tensor, Tensor]


def _chunks(
    axis: Tensor, low: Tensor, high: Tensor, reached: Tensor
) -> Iterator[tuple[int, Tables]]:
    """The tables of some rows at a time, and where these begin."""
    size = low.shape[-2]
    first, stop = _below(low, size), _below(high, size)
    run = packed.runs(first, stop.where(reached[..., None], first))  # [B, P, T, 2]
    turned = packed.transpose(run.movedim(-1, 0)).unbind(0)
    u, v = run.unbind(-1)
    along = axis[..., None]
    tables = (
        u.where(along == 0, -1),
        u.where(along == 1, -1),
        torch.where(along == 0, v, turned[0].where(along == 2, -1)),
        torch.where(along == 1, v, turned[1].where(along == 2, -1)),
    )
    chunk = max(1, _WORDS // size**2) if axis.device.type == "cpu" else max(len(axis), 1)
    for start in range(0, len(axis), chunk):
        a, b, c, d = (table[start : start + chunk] for table in tables)
        yield start, (a, b, c, d)


def _write(tables: Tables, k: int, block: Tensor, other: Tensor) -> None:
    """Write solid k of every row into `block`, int64 [b, T, T]; `other` is room to work in.

    A word is all of a run or none of it: where the axis is x, the run along z of layer x, if y is
    in that layer's run; where it is y, the other way round; along z, the runs that all layers make
    in x and in y.
    """
    rows, columns, run_x, run_y = (table[:, k] for table in tables)  # [b, T]
    shift = 63 - torch.arange(block.shape[-1], device=block.device)
    torch.bitwise_left_shift(rows[:, :, None], shift, out=block)  # bit y becomes the sign
    torch.bitwise_left_shift(columns[:, None], shift[:, None], out=other)
    block &= other
    block >>= 63  # all bits are the sign
    block &= run_x[:, :, None]
    block &= run_y[:, None]


def _below(place: Tensor, size: int) -> Tensor:
    """How many voxels have their middle below a place: float32 [...] -> int64 [...], 0 .. size."""
    count = torch.ceil(place * size - 0.5).clamp(0, size)
    count = count + ((count + 0.5) / size < place).float()  # rounding, one way
    count = count - ((count - 0.5) / size >= place).float()  # or the other
    return count.clamp(0, size).long()


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
