"""Voxel grids as booleans: overlap and morphology.

A grid is bool [..., X, Y, Z] with any axes before; a voxel is the unit cube whose lowest corner is
its index, and it is set where the shape holds its centre. What lies outside a grid is empty.
"""

import torch
from torch import Tensor


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of grids.

    Args:
        first: bool [..., X, Y, Z].
        second: bool, broadcastable to the same.

    Returns:
        float32 [...] in 0 .. 1; 1 where both grids are empty, so that an empty target can be met.
    """
    both = torch.count_nonzero(first & second, dim=(-3, -2, -1))
    either = torch.count_nonzero(first | second, dim=(-3, -2, -1))
    return share(both, either)


def share(both: Tensor, either: Tensor) -> Tensor:
    """Intersections over unions as float32, of integer counts; nothing over nothing is 1."""
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def dilate(grid: Tensor) -> Tensor:
    """Add the six neighbours of every voxel: bool [..., X, Y, Z] -> the same, another storage.

    The structuring element is the 3-D cross, scipy's default, with which Lin et al. (ECCV 2020)
    thicken their targets.
    """
    found = grid.clone()
    for axis in (-3, -2, -1):
        size = grid.shape[axis] - 1
        found.narrow(axis, 1, size).logical_or_(grid.narrow(axis, 0, size))
        found.narrow(axis, 0, size).logical_or_(grid.narrow(axis, 1, size))
    return found


def erode(grid: Tensor) -> Tensor:
    """Keep voxels whose six neighbours are all set: bool [..., X, Y, Z] -> the same shape.

    Beyond the grid all is empty, so that a voxel of the border never stays.
    """
    found = grid.clone()
    for axis in (-3, -2, -1):
        size = grid.shape[axis] - 1
        found.narrow(axis, 1, size).logical_and_(grid.narrow(axis, 0, size))
        found.narrow(axis, 0, size).logical_and_(grid.narrow(axis, 1, size))
        found.select(axis, 0).zero_()
        found.select(axis, size).zero_()
    return found


def surface(grid: Tensor) -> Tensor:
    """Voxels with an empty one, or the grid's end, among their six neighbours: bool, same shape."""
    return grid & ~erode(grid)
