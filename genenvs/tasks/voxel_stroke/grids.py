"""Voxel grids of 16^3 in 1,600 bytes, so that a batch of them stays in the cache.

A column of the grid is an int32: its low half has a bit for every cell of the target, its high
half one for every visited cell. There is a border of `PAD` columns all around, which belong to no
shape, so that no read of a window needs a test. A *place* is one number, `column << 5 | z + PAD`:
a step to a neighbour is one addition, and leads at worst to a place that is no cell.
"""

import itertools
from numbers import Integral

import torch
from torch import Tensor

from genenvs.geometry import packed

SIZE = 16  # cells a side: half the bits of a word
PAD = 2  # of Akizuki's window: 5 = 2 PAD + 1 cells a side
WINDOW = 2 * PAD + 1
SIDE = SIZE + 2 * PAD
TARGET, VISITED = 1, 2  # bits of a cell
MOVES = (6, 26)
_LEVELS = 5  # bits of a place that hold z + PAD
_HALF = (1 << SIZE) - 1


def moves(number: int) -> Tensor:
    """Steps to the neighbours of a cell: int64 [number, 3].

    6: along +x, -x, +y, -y, +z, -z. 26: to every cell that shares a corner, in order of (x, y, z).

    Raises:
        ValueError: `number` is neither.
    """
    if isinstance(number, bool) or not isinstance(number, Integral) or number not in MOVES:
        raise ValueError(f"moves must be 6 or 26; got {number!r}")
    if number == 6:
        ahead = torch.eye(3, dtype=torch.int64)
        return torch.stack([ahead, -ahead], 1).flatten(0, 1)
    around = itertools.product((-1, 0, 1), repeat=3)
    return torch.tensor([step for step in around if any(step)])


def offset(steps: Tensor) -> Tensor:
    """Steps int64 [..., 3] as differences of places: int64 [...]."""
    strides = torch.tensor([SIDE << _LEVELS, 1 << _LEVELS, 1], device=steps.device)
    return (steps * strides).sum(-1)  # a product of integer matrices does not exist on CUDA


def place(cell: Tensor) -> Tensor:
    """The places of cells int64 [..., 3], each coordinate in 0 .. 15: int64 [...]."""
    return offset(cell + PAD)


def cell(place: Tensor) -> Tensor:
    """The cells int64 [..., 3] of places int64 [...]; the inverse of `place`."""
    column = place >> _LEVELS
    z = place & (1 << _LEVELS) - 1
    return torch.stack([column // SIDE, column % SIDE, z], -1) - PAD


def words_of(shapes: Tensor) -> Tensor:
    """The words of targets, nothing visited.

    Args:
        shapes: int64 [B, 16, 16], packed as in `genenvs.geometry.packed`.

    Returns:
        int32 [B, SIDE**2].
    """
    return torch.nn.functional.pad(shapes.int(), (PAD,) * 4).flatten(1)


def shapes_of(words: Tensor) -> tuple[Tensor, Tensor]:
    """Target and visited cells of words int32 [B, SIDE**2]: two of bool [B, 16, 16, 16]."""
    inner = words.view(-1, SIDE, SIDE)[:, PAD:-PAD, PAD:-PAD].long()
    return packed.unpack(inner, SIZE), packed.unpack(inner >> SIZE, SIZE)


def volume(words: Tensor) -> Tensor:
    """Cells of the targets: int64 [B]."""
    return packed.popcount((words & _HALF).long()).sum(1, dtype=torch.int64)


def nth(words: Tensor, n: Tensor) -> Tensor:
    """The place of a target's n-th cell in order of (x, y, z).

    Args:
        words: int32 [B, SIDE**2].
        n: int64 [B, 1], from 0, below the number of cells.

    Returns:
        int64 [B].
    """
    half = (words & _HALF).long()
    total = packed.popcount(half).cumsum(1)
    column = torch.searchsorted(total, n, right=True)  # the first with more than n up to here
    before = total.gather(1, (column - 1).clamp(min=0)).masked_fill(column == 0, 0)
    bits = half.gather(1, column) >> torch.arange(SIZE, device=words.device) & 1  # [B, 16]
    z = torch.searchsorted(bits.cumsum(1), n - before, right=True)
    return (column << _LEVELS | z + PAD)[:, 0]


def read(words: Tensor, places: Tensor) -> Tensor:
    """What stands at some places of every row.

    Args:
        words: int32 [B, SIDE**2].
        places: int64 [B, N].

    Returns:
        int32 [B, N]: the bits `TARGET` and `VISITED`; 0 where there is no cell.
    """
    word, z = _fetch(words, places), (places & (1 << _LEVELS) - 1).int()
    target, visited = ((half << PAD >> z) & 1 for half in (word & _HALF, word >> SIZE & _HALF))
    return target | visited << 1


def visit(words: Tensor, places: Tensor) -> None:
    """Mark one place int64 [B] of every row as visited, in place; again does no harm."""
    at = _rows(words, places[:, None])[:, 0]
    bit = torch.ones_like(places) << (places & (1 << _LEVELS) - 1) + (SIZE - PAD)
    flat = words.view(-1)
    flat[at] = flat[at] | bit.int()


class Windows:
    """Reads the cells around a place, WINDOW^3 of them, in one gather and one look into a table."""

    def __init__(self, device: torch.device) -> None:
        """Lay out the table on a device."""
        near = torch.arange(-PAD, PAD + 1)
        steps = torch.stack([near, torch.full_like(near, -PAD), torch.zeros_like(near)], 1)
        self._rows = offset(steps).to(device)  # [5], first columns of the window's rows
        codes, bits = torch.arange(1 << 2 * WINDOW), torch.arange(2 * WINDOW)
        self._cells = (codes[:, None] >> bits & 1).to(torch.int8).to(device)  # [1024, 10]

    def read(self, words: Tensor, places: Tensor) -> Tensor:
        """Target and visited cells around one place (int64 [B]) of every row.

        Args:
            words: int32 [B, SIDE**2].
            places: int64 [B], of cells.

        Returns:
            int8 [B, 2, WINDOW, WINDOW, WINDOW], 0 or 1.
        """
        starts = _rows(words, places[:, None] + self._rows).view(-1)
        # Columns of a row of the window lie side by side, so that it is copied as one.
        word = words.view(-1).unfold(0, WINDOW, 1).index_select(0, starts)
        word = word.view(-1, WINDOW**2)  # [B, 25]
        lowest = ((places & (1 << _LEVELS) - 1) - PAD).int()[:, None]
        halves = word & _HALF, word >> SIZE & _HALF
        code = torch.cat([half << PAD >> lowest & (1 << WINDOW) - 1 for half in halves], 1)
        pair = code[:, ::2] | code[:, 1::2] << WINDOW  # two columns at a time: [B, 25]
        cells = self._cells.index_select(0, pair.view(-1))
        return cells.view(-1, 2, WINDOW, WINDOW, WINDOW)


def _fetch(words: Tensor, places: Tensor) -> Tensor:
    """The words of places [B, N]: int32 [B, N]."""
    # `gather` and indexing take twice as long as `index_select` of the flat batch.
    return words.view(-1).index_select(0, _rows(words, places).view(-1)).view(places.shape)


def _rows(words: Tensor, places: Tensor) -> Tensor:
    """Where in the flat batch of words the places [B, N] are: int64 [B, N]."""
    start = torch.arange(0, words.numel(), SIDE**2, device=words.device)[:, None]
    return (places >> _LEVELS) + start
