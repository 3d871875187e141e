"""Grids of 64 x 64 cells in 64 words: word x holds the cells (x, 0 .. 63), cell (x, y) in bit y.

All functions take int64 [..., 64] and amounts that may differ from row to row.
"""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

from genenvs.geometry.packed import popcount, runs
from genenvs.rooms.catalogue import SIDE

EVEN = 0x5555555555555555  # bits 0, 2, 4 ...
LATTICE = SIDE // 2


def shift_y(words: Tensor, by: Tensor) -> Tensor:
    """Cell (x, y) of the result is cell (x, y + by): `by` int64 in -63 .. 63, broadcasts."""
    right = by.clamp(min=0)
    # A shift of a negative word drags its sign down: clear what came in from above.
    low = (words >> right) & _low_bits(words.device)[SIDE - right]
    return torch.where(by < 0, words << (-by).clamp(min=0), low)


@cache
def _low_bits(device: torch.device) -> Tensor:
    """Words with the lowest n bits set, [65]."""
    every = torch.arange(SIDE + 1, device=device)
    return runs(torch.zeros_like(every), every)


def shift_x(words: Tensor, by: Tensor) -> Tensor:
    """Cell (x, y) of the result is cell (x + by, y): `by` int64 [...] without the last axis."""
    at = torch.arange(SIDE, device=words.device) + by[..., None]
    inside = (at >= 0) & (at < SIDE)
    return torch.where(inside, words.gather(-1, at.clamp(0, SIDE - 1)), 0)


def erode_y(words: Tensor, length: Tensor) -> Tensor:
    """Where `length` (1 .. 32) cells from here along y are all set; `length` as in `shift_x`."""
    low = _low_bits(words.device)
    for step in steps(length):
        words = words & (words >> step[..., None]) & low[SIDE - step][..., None]
    return words


def erode_x(words: Tensor, length: Tensor) -> Tensor:
    """The same along x."""
    for step in steps(length):
        words = words & shift_x(words, step)
    return words


def steps(length: Tensor) -> Iterator[Tensor]:
    """By how much a run of cells is moved and laid over itself until it is `length` long."""
    most, done, step = 32, torch.ones_like(length), 1
    while step < most:
        move = torch.minimum(done, length - done)
        yield move
        done, step = done + move, 2 * step


def erode(words: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """Where the rectangle from here, `along_x` by `along_y` cells, is all set."""
    return erode_x(erode_y(words, along_y), along_x)


def rectangle(x: Tensor, y: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """A grid with one rectangle set, cut at the edge of the grid.

    Args:
        x: int64 [...], lowest cell; may be negative.
        y: the same.
        along_x: cells; nothing is set where it is below 1.
        along_y: the same.

    Returns:
        int64 [..., 64].
    """
    column = torch.arange(SIDE, device=x.device)
    within = (column >= x[..., None]) & (column < (x + along_x)[..., None])
    low, high = y.clamp(0, SIDE), (y + along_y).clamp(0, SIDE)
    return torch.where(within, runs(low, torch.maximum(low, high))[..., None], 0)


def sample(words: Tensor, along_x: Tensor, along_y: Tensor) -> Tensor:
    """Read a grid at the lattice of 20 cm, moved by an offset.

    Args:
        words: int64 [..., 64].
        along_x: int64 [...], offset in cells.
        along_y: the same.

    Returns:
        int64 [..., 32]: word i has bit 2 j set where cell (2 i + along_x, 2 j + along_y) is.
    """
    at = 2 * torch.arange(LATTICE, device=words.device) + along_x[..., None]
    inside = (at >= 0) & (at < SIDE)
    found = torch.where(inside, words.gather(-1, at.clamp(0, SIDE - 1)), 0)
    right, left = along_y.clamp(min=0)[..., None], (-along_y).clamp(min=0)[..., None]
    return (found >> right & _low_bits(words.device)[SIDE - right]) << left & EVEN


def nth(words: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Find a set bit by its rank.

    Args:
        words: int64 [B, W].
        wanted: int64 [B], how many set bits come before it; below their number.

    Returns:
        Its word and its bit, int64 [B] each; something inside the range where there is none.
    """
    total = popcount(words).long().cumsum(1)
    word = (total <= wanted[:, None]).sum(1).clamp(max=words.shape[1] - 1)
    cells = words.gather(1, word[:, None]) >> torch.arange(SIDE, device=words.device) & 1
    before = total.gather(1, word[:, None])[:, 0] - cells.sum(1)
    bit = (cells.cumsum(1) <= (wanted - before)[:, None]).sum(1)
    return word, bit.clamp(max=SIDE - 1)


def read(words: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Single cells: int64 [B, 64] at int64 [B] each -> bool [B]."""
    return (words.gather(-1, x[..., None])[..., 0] >> y & 1).bool()
