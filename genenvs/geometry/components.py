"""Connected components of voxels."""

import torch
from torch import Tensor

from genenvs.core.components import Components, spread


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
