"""Padded voxel grids as flat bytes: every read of a neighbourhood is one gather.

A shape of `size`^3 cells lies in the middle of (`size` + 2 `PAD`)^3, so that a window around any
cell of it stays inside. A cell's byte has a bit for each thing that a policy sees of it.
"""

import itertools

import torch
from torch import Tensor

PAD = 2  # of Akizuki's window: 5 = 2 PAD + 1 cells a side
WINDOW = 2 * PAD + 1
TARGET, VISITED = 1, 2  # bits of a cell
MOVES = (6, 26)


def side(size: int) -> int:
    """Cells a side of the padded grid."""
    return size + 2 * PAD


def moves(number: int) -> Tensor:
    """Steps to the neighbours of a cell: int64 [number, 3].

    6: along +x, -x, +y, -y, +z, -z. 26: to every cell that shares a corner, in order of (x, y, z).

    Raises:
        ValueError: `number` is neither.
    """
    if isinstance(number, bool) or number not in MOVES:
        raise ValueError(f"moves must be 6 or 26; got {number!r}")
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    if number == 6:
        steps = sorted((s for s in steps if sum(map(abs, s)) == 1), reverse=True)
        steps = [s for a in steps[:3] for s in (a, (-a[0], -a[1], -a[2]))]
    return torch.tensor(steps)


def window() -> Tensor:
    """Steps to the cells of the window, in order of (x, y, z): int64 [WINDOW**3, 3]."""
    return torch.tensor(list(itertools.product(range(-PAD, PAD + 1), repeat=3)))


def flat(steps: Tensor, size: int) -> Tensor:
    """Steps or places int64 [..., 3] as distances in the flat padded grid: int64 [...]."""
    wide = side(size)
    return steps @ torch.tensor([wide**2, wide, 1], device=steps.device)


def places(size: int) -> Tensor:
    """Where in the unpadded grid each cell of the padded one lies: int64 [side**3, 3]."""
    axis = torch.arange(side(size)) - PAD
    return torch.cartesian_prod(axis, axis, axis)


def padded(shapes: Tensor) -> Tensor:
    """Shapes bool [K, size, size, size] as padded bytes with their bit `TARGET` set.

    Returns:
        uint8 [K, side**3].
    """
    return torch.nn.functional.pad(shapes.to(torch.uint8), (PAD,) * 6).flatten(1)


def unpadded(cells: Tensor, size: int) -> Tensor:
    """Padded bytes uint8 [K, side**3] without the border: [K, size, size, size]."""
    inner = slice(PAD, PAD + size)
    return cells.view(-1, *(side(size),) * 3)[:, inner, inner, inner]


def read(cells: Tensor, at: Tensor) -> Tensor:
    """The cells of every row's grid at its places.

    Args:
        cells: uint8 [B, C].
        at: int64 [B] or [B, N], below C.

    Returns:
        uint8 of the shape of `at`.
    """
    # `gather` and indexing take twice as long as `index_select` of the flat grid.
    return cells.view(-1).index_select(0, rows(cells, at).view(-1)).view(at.shape)


def rows(cells: Tensor, at: Tensor) -> Tensor:
    """Places in every row as places in the flat batch: int64 of the shape of `at`."""
    start = torch.arange(0, cells.numel(), cells.shape[1], device=cells.device)
    return at + start.view(-1, *(1,) * (at.ndim - 1))
