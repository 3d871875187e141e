"""One layer of the world in twenty words: row x is an int64 whose bit y is the stud (x, y).

So a collision, a support and a footprint are a few operations on 20 words, and the mask of all
5,600 placements is made of shifts of rows.
"""

import numpy as np
import torch
from torch import Tensor

from genenvs.geometry.packed import popcount
from genenvs.tasks.brick_build.bricks import ORIENTED, SIZE, table

FULL = (1 << SIZE) - 1  # a row of studs
_HALF = SIZE // 2


def footprint(brick: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The studs of one brick a row, cut off at the world's end: int64 [B] thrice -> [B, 20]."""
    device = brick.device
    run = (1 << table("along_y", device)[brick]) - 1 << y & FULL
    start, stop = x, x + table("along_x", device)[brick]
    at = torch.arange(SIZE, device=device)
    here = (at >= start[:, None]) & (at < stop[:, None])
    return torch.where(here, (run & FULL)[:, None], 0)


def studs(words: Tensor) -> Tensor:
    """How many studs a layer has: int64 [..., 20] -> int64 [...]."""
    return popcount(words).sum(-1, dtype=torch.int64)


def pack(plane: Tensor) -> Tensor:
    """Bool [..., X, Y] -> int64 [..., X]."""
    return (plane.long() << torch.arange(SIZE, device=plane.device)).sum(-1)


def unpack(words: Tensor) -> Tensor:
    """int64 [..., X] -> bool [..., X, Y]."""
    # Two reads of a table of ten bits each; shifting every bit into a word of its own costs more.
    bits = _table(words.device)
    both = torch.stack([words & (1 << _HALF) - 1, words >> _HALF], -1)
    return bits[both].flatten(-2)


def _table(device: torch.device) -> Tensor:
    if device not in _TABLES:
        number = torch.arange(1 << _HALF, device=device)[:, None]
        _TABLES[device] = (number >> torch.arange(_HALF, device=device) & 1).bool()
    return _TABLES[device]


_TABLES: dict[torch.device, Tensor] = {}


def legal(layer: Tensor, below: Tensor) -> Tensor:
    """Which placements stay in the world, collide with nothing and stand on a stud.

    Args:
        layer: int64 [B, 20], what is taken.
        below: int64 [B, 20], studs to stand on.

    Returns:
        bool [B, 14, 20, 20], by oriented brick, x and y of the lowest corner.
    """
    found = torch.zeros(len(layer), len(ORIENTED), SIZE, dtype=torch.int64, device=layer.device)
    # Bit y of `free[d]`: studs y .. y + d - 1 are free; of `held[d]`: one of them carries.
    free, held = {1: ~layer & FULL}, {1: below}
    for length in range(2, 1 + max(brick.along_y for brick in ORIENTED)):
        free[length] = free[length - 1] & free[1] >> length - 1
        held[length] = held[length - 1] | held[1] >> length - 1
    for k, brick in enumerate(ORIENTED):
        last = SIZE - brick.along_x + 1  # rows on which it can begin
        fits, stands = free[brick.along_y], held[brick.along_y]
        one, other = fits[:, :last], stands[:, :last]
        for dx in range(1, brick.along_x):
            one = one & fits[:, dx : dx + last]
            other = other | stands[:, dx : dx + last]
        found[:, k, :last] = one & other
    return unpack(found)


def box_sums(plane: Tensor) -> Tensor:
    """The sum of a plane under every placement, what lies outside counting nothing.

    Args:
        plane: [B, X, Y], integers of any dtype.

    Returns:
        int32 [B, 14, 20, 20].
    """
    end = [max(getattr(b, side) for b in ORIENTED) for side in ("along_x", "along_y")]
    padded = torch.nn.functional.pad(plane.to(torch.int32), (1, end[1], 1, end[0]))
    sums = padded.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32)
    found = []
    for brick in ORIENTED:
        low, high = (
            slice(0, SIZE),
            (
                slice(brick.along_x, brick.along_x + SIZE),
                slice(brick.along_y, brick.along_y + SIZE),
            ),
        )
        found.append(
            sums[:, high[0], high[1]] - sums[:, low, high[1]]
            - sums[:, high[0], low] + sums[:, low, low]
        )  # fmt: skip
    return torch.stack(found, 1)


def gains(layer: Tensor, below: Tensor, target: Tensor) -> Tensor:
    """Target studs less others under every legal placement; no gain where it is illegal.

    Args:
        layer: int64 [B, 20], what is taken.
        below: int64 [B, 20], studs to stand on.
        target: int64 [B, 20].

    Returns:
        int32 [B, 14, 20, 20]; the lowest int32 where illegal.
    """
    inside = box_sums(unpack(target))
    area = table("area", layer.device).to(torch.int32)[:, None, None]
    lowest = int(np.iinfo(np.int32).min)
    return torch.where(legal(layer, below), 2 * inside - area, lowest)
