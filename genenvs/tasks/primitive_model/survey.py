"""What any change of one cuboid would do to the union, without filling a grid for each.

A step moves one face of one cuboid, so the other 26 are filled in once, and what lies outside of
them is counted in layers across the cuboid: along each axis, how many voxels of its cross-section
each layer holds. Every resized cuboid is then a difference of two sums over layers.

Grids of 16^3 are 64 words here: 4 rows of 16 voxels a word. Three copies, turned so that each axis
comes first once, let all layers be counted by the processor's own instruction.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genenvs.geometry import packed
from genenvs.shapes.primitives import SIDE

FRESH, BARE, TARGET = range(3)  # what is counted: see `Survey`
_TURNS = torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 1]])  # which axes come first, second, third
_ROWS = 2**10  # of words [16, 4, R] at a time: 0.5 MB


class Survey(NamedTuple):
    """The union without one cuboid, and what stands in that cuboid's way.

    Attributes:
        hit: int64 [B], voxels of the target that the other cuboids cover.
        filled: int64 [B], all voxels that they cover.
        layers: int16 [B, 3, 3, 17], sums over the layers below each plane: of what (first axis:
            `FRESH`, target that no other cuboid covers; `BARE`, anything that none covers;
            `TARGET`, the target), along which axis, within the cuboid's own cross-section.
    """

    hit: Tensor
    filled: Tensor
    layers: Tensor


def fold(grid: Tensor) -> Tensor:
    """Grids as words: bool [N, 16, 16, 16] -> int64 [N, 3, 16, 4], a turn each."""
    turned = torch.stack([grid.permute(0, *(turn + 1).tolist()) for turn in _TURNS], 1)
    if grid.device.type == "cpu":  # as below, at a third of the time
        bits = np.packbits(turned.flatten(3).numpy(), axis=-1, bitorder="little")
        return torch.from_numpy(bits.view("<i8").astype(np.int64, copy=False))
    words = packed.pack(turned).unflatten(3, (4, 4))  # [N, 3, 16, 4, 4]
    lane = 16 * torch.arange(4, device=grid.device)
    return (words << lane).sum(4)  # bits are disjoint, so the sum is an OR


def survey(cuboids: Tensor, current: Tensor, target: Tensor) -> Survey:
    """Count around one cuboid of every row.

    Args:
        cuboids: int64 [B, 27, 6].
        current: int64 [B], which one is not filled in.
        target: int64 [B, 3, 16, 4], of `fold`.
    """
    runs = _runs(cuboids)  # [27, 3, B]
    place = current.expand(1, 3, -1)
    own = runs.gather(0, place)[0]  # [3, B]
    runs.scatter_(0, place, 0)
    # The batch comes last: what a loop runs over lies together in memory.
    others = _fill(runs)
    goal = target.movedim(0, -1)  # [3, 16, 4, B]
    section = _planes(own)[:, None]  # [3, 1, 4, B]
    counted = torch.stack([goal & ~others, ~others, goal])  # [3, 3, 16, 4, B]
    layers = packed.popcount(counted & section).sum(3, dtype=torch.int16)  # [3, 3, 16, B]
    below = torch.nn.functional.pad(layers.cumsum(2, dtype=torch.int16), (0, 0, 1, 0))
    both = torch.stack([others[0] & goal[0], others[0]])  # [2, 16, 4, B]
    hit, filled = packed.popcount(both).sum((1, 2), dtype=torch.int64)
    return Survey(
        hit=hit,
        filled=filled.clone(),  # no two fields of a state share storage
        layers=below.movedim(-1, 0).contiguous(),
    )


def _runs(cuboids: Tensor) -> Tensor:
    """Which slices each reaches, as bits: int64 [B, K, 6] -> int64 [K, 3, B]."""
    ends = 1 << cuboids.permute(1, 2, 0)
    return ends[:, 3:] - ends[:, :3]


def _planes(runs: Tensor) -> Tensor:
    """Cross-sections of every turn: int64 [..., 3, B] -> int64 [..., 3, 4, B]."""
    second, third = runs.roll(-1, -2)[..., None, :], runs.roll(-2, -2)[..., None, :]
    shift = torch.arange(0, SIDE, 4, device=runs.device)[:, None]
    nibble = second >> shift & 15
    # Its four bits to the lowest of each 16, then the run along the third axis into each of them.
    return (nibble * 0x200040008001 & 0x1000100010001) * third


def _fill(runs: Tensor) -> Tensor:
    """Unions: int64 [K, 3, B] -> int64 [3, 16, 4, B], every turn."""
    batch = runs.shape[2]
    at = torch.arange(SIDE, device=runs.device)[:, None]
    first = -(runs.flatten(1)[:, None] >> at & 1)  # [K, 16, R]
    planes = _planes(runs).transpose(1, 2).flatten(2)  # [K, 4, R]
    words = runs.new_zeros(SIDE, 4, 3 * batch)
    width = _ROWS if words.device.type == "cpu" else max(3 * batch, 1)
    for start in range(0, 3 * batch, width):
        part = slice(start, start + width)
        found, x, yz = words[..., part], first[..., None, part], planes[:, None, :, part]
        block = torch.empty_like(found)
        for here, there in zip(x.unbind(0), yz.unbind(0), strict=True):
            torch.bitwise_and(here, there, out=block)
            found |= block
    return words.unflatten(2, (3, batch)).permute(2, 0, 1, 3)
