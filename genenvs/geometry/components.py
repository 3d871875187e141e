"""Connected components: the lowest index of a component spreads over it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Components(NamedTuple):
    """Components of every row.

    Attributes:
        label: int64, 0 where nothing is, else 1 .. number in the order of first elements.
        number: int64 [B].
    """

    label: Tensor
    number: Tensor


def spread(present: Tensor, lowest: Callable[[Tensor], Tensor]) -> Components:
    """Label the components of any graph.

    Rounds of hooking (a root adopts the lowest label that any member of its tree sees) and of
    pointer jumping, after Shiloach and Vishkin (1982): a path of n elements takes some log n rounds
    where handing the label on from neighbour to neighbour takes n. Rounds end once no element of
    the batch sees a lower label than its own, which costs one synchronisation each.

    Args:
        present: bool [B, N], elements that exist.
        lowest: maps labels int64 [B, N], in 0 .. N with N where nothing is, to the lowest one among
            each element and its neighbours.

    Returns:
        Components with labels [B, N].
    """
    rows, size = present.shape
    index = torch.arange(size + 1, device=present.device).expand(rows, -1)
    parent = index.clone()  # the last column belongs to all that is absent
    label = torch.where(present, index[:, :size], size)
    while True:
        seen = torch.where(present, lowest(label), size)
        if bool((seen == label).all()):
            break
        parent.scatter_reduce_(1, label, seen, "amin")
        parent = parent.gather(1, parent)
        label = parent.gather(1, parent.gather(1, label))
    root = present & (label == index[:, :size])
    rank = torch.nn.functional.pad(root.cumsum(1), (0, 1))  # [B, N + 1]
    return Components(rank.gather(1, label), root.sum(1))


def voxel_components(grid: Tensor, neighbours: int = 6) -> Components:
    """Label the connected voxels of grids.

    Args:
        grid: bool [B, X, Y, Z].
        neighbours: 6 (faces touch) or 26 (faces, edges or corners touch).

    Returns:
        Components with labels [B, X, Y, Z]; numbers go by the first voxel in index order.

    Raises:
        ValueError: `neighbours` is neither.
    """
    if neighbours not in (6, 26):
        raise ValueError(f"neighbours must be 6 or 26; got {neighbours}")

    def lowest(label: Tensor) -> Tensor:
        label = label.view(grid.shape)
        found = label.clone()
        for axis in (1, 2, 3):
            # 26 neighbours are three of three: each axis goes on from what the last one found.
            source = label if neighbours == 6 else found.clone()
            size = grid.shape[axis] - 1
            upper, lower = found.narrow(axis, 1, size), found.narrow(axis, 0, size)
            torch.minimum(upper, source.narrow(axis, 0, size), out=upper)
            torch.minimum(lower, source.narrow(axis, 1, size), out=lower)
        return found.flatten(1)

    label, number = spread(grid.flatten(1), lowest)
    return Components(label.view(grid.shape), number)
