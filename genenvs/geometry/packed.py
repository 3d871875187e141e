"""Voxel grids with the whole run along z in one int64: 64 voxels a word.

At 64^3 a dense grid is 256 KB, and a batch of them leaves the cache; packed it is 32 KB.
"""

import numpy as np
import torch
from torch import Tensor

from genenvs.geometry.voxels import share

DEPTH = 64  # voxels in a word


def pack(grid: Tensor) -> Tensor:
    """Pack a grid: bool [..., X, Y, Z] -> int64 [..., X, Y], voxel z in bit z.

    Raises:
        ValueError: more than 64 voxels along z.
    """
    depth = grid.shape[-1]
    if depth > DEPTH:
        raise ValueError(f"a word holds {DEPTH} voxels along z; got {depth}")
    bit = torch.arange(depth, device=grid.device)
    return (grid.long() << bit).sum(-1)  # bits are disjoint, so the sum, which may wrap, is an OR


def unpack(words: Tensor, depth: int = DEPTH) -> Tensor:
    """Unpack a grid: int64 [..., X, Y] -> bool [..., X, Y, depth]."""
    bit = torch.arange(depth, device=words.device)
    return (words[..., None] >> bit & 1).bool()


def popcount(words: Tensor) -> Tensor:
    """Count the set bits of every word: int64 [...] -> integer [...] in 0 .. 64.

    On the CPU numpy has the processor's own instruction; elsewhere bits are added up in parallel
    lanes of 2, 4 and 8 (Warren, Hacker's Delight, 5-1). Shifts carry the sign down, which is
    harmless: each mask clears what they smear.

    Raises:
        TypeError: words of another size, whose bits would be counted in pairs of words.
    """
    if words.dtype != torch.int64:
        raise TypeError(f"words must be int64; got {words.dtype}")
    if words.device.type == "cpu":
        # As unsigned: of a signed number numpy counts the absolute value.
        return torch.from_numpy(np.bitwise_count(np.atleast_1d(words.numpy()).view(np.uint64)))
    return popcount_lanes(words)


def popcount_lanes(words: Tensor) -> Tensor:
    """`popcount` in integer arithmetic alone: int64 [...] -> int64 [...]."""
    x = words - (words >> 1 & 0x5555555555555555)
    x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0F
    return x * 0x0101010101010101 >> 56  # the top byte of the product is the sum of all bytes


def volume(words: Tensor) -> Tensor:
    """Count the voxels of packed grids: int64 [..., X, Y] -> int64 [...]."""
    return popcount(words).sum((-2, -1), dtype=torch.int64)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Return what `voxels.iou` does, of packed grids: int64 [..., X, Y] twice -> float32 [...]."""
    return share(volume(first & second), volume(first | second))


def runs(first: Tensor, stop: Tensor) -> Tensor:
    """Words with the bits first .. stop - 1 set: int64 [...] in 0 .. 64 twice -> int64 [...]."""
    values = [(1 << n) - 1 for n in range(DEPTH)] + [-1]
    below = torch.tensor(values, device=first.device)
    return below[stop] & ~below[first]


def transpose(words: Tensor) -> Tensor:
    """Exchange index and bit: bit j of word i becomes bit i of word j.

    Blocks of bits change places, half the size each time (Warren, Hacker's Delight, 7-3).

    Args:
        words: int64 [..., n] with bits in 0 .. n - 1 alone, n at most 64.

    Returns:
        int64 [..., n].
    """
    n = words.shape[-1]
    side = 1 << (n - 1).bit_length()  # a power of two
    found = torch.nn.functional.pad(words, (0, side - n)) if side > n else words.clone()
    step = side // 2
    while step:
        mask = sum(1 << bit for bit in range(side) if not bit & step)
        low, high = found.unflatten(-1, (-1, 2, step)).unbind(-2)
        moved = ((low >> step) ^ high) & mask
        high ^= moved
        low ^= moved << step
        step //= 2
    return found[..., :n]


def pool(words: Tensor, size: int, cells: int) -> Tensor:
    """Count the voxels in the blocks of a coarser grid.

    Args:
        words: int64 [..., size, size].
        size: voxels a side.
        cells: blocks a side, a divisor of `size`.

    Returns:
        int64 [..., cells, cells, cells].

    Raises:
        ValueError: `cells` is no divisor.
    """
    if size % cells:
        raise ValueError(f"{size} voxels a side do not fall into {cells} equal blocks")
    block = size // cells
    start = torch.arange(cells, device=words.device) * block
    slab = popcount(words[..., None] >> start & ((1 << block) - 1 if block < DEPTH else -1))
    folded = slab.unflatten(-3, (cells, block)).unflatten(-2, (cells, block))
    return folded.sum((-4, -2), dtype=torch.int64)
