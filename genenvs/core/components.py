"""Connected components of any graph: the lowest index of a component spreads over it."""

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


def joined(root: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """The first element of each element's component, int64 [N], by a list of edges.

    As `spread`, for graphs of which little is there: edges within a tree are let go of, so that
    rounds grow cheaper. Roots alone adopt, and trees never part again.

    Args:
        root: int64 [N], the first element of the tree that each is known to be of; may be itself.
        one: int64 [E], where edges begin.
        other: int64 [E], where they end.
    """
    root = root.clone()
    while len(one):
        one, other = root[one], root[other]
        apart = one != other
        one, other = one[apart], other[apart]
        root.scatter_reduce_(0, torch.maximum(one, other), torch.minimum(one, other), "amin")
        while not torch.equal(further := root[root], root):
            root = further
    return root
