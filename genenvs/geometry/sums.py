"""Summed-area tables: the content of any box in eight reads."""

import torch
from torch import Tensor

from genenvs.geometry.cuboids import volume
from genenvs.geometry.voxels import share


def table(grid: Tensor) -> Tensor:
    """Sum a grid over all boxes from the origin (Crow, SIGGRAPH 1984).

    Args:
        grid: bool or integer [B, X, Y, Z], sums below 2**31.

    Returns:
        int32 [B, X + 1, Y + 1, Z + 1]: at (x, y, z) the sum over grid[:x, :y, :z].
    """
    sums = torch.nn.functional.pad(grid.to(torch.int32), (1, 0, 1, 0, 1, 0))
    for axis in (1, 2, 3):
        sums = sums.cumsum(axis, dtype=torch.int32)
    return sums


def box_sum(sums: Tensor, cuboids: Tensor) -> Tensor:
    """Sum a grid over cuboids.

    Args:
        sums: int32 [B, X + 1, Y + 1, Z + 1], of `table`.
        cuboids: int64 [B, K, 6], see `genenvs.geometry.cuboids`; what is outside counts nothing.

    Returns:
        int64 [B, K]; 0 for an empty cuboid.
    """
    end = torch.tensor(sums.shape[1:], device=sums.device) - 1
    low = cuboids[..., :3].clamp(min=0).minimum(end)
    high = cuboids[..., 3:].minimum(end).maximum(low)
    corners = torch.stack([low, high], -2)  # [B, K, 2, 3]
    x, y, z = corners.unbind(-1)
    size_y, size_z = sums.shape[2], sums.shape[3]
    at = (x * size_y)[..., :, None, None] + y[..., None, :, None]
    at = at * size_z + z[..., None, None, :]  # [B, K, 2, 2, 2]
    found = sums.flatten(1).gather(1, at.flatten(1)).view(at.shape).long()
    for _ in range(3):
        found = found[..., 1] - found[..., 0]
    return found


def local_iou(sums: Tensor, cuboids: Tensor) -> Tensor:
    """Return the intersection over union of each single cuboid with a target.

    The local term of Lin et al. (ECCV 2020) is its mean over the cuboids that are left.

    Args:
        sums: int32 [B, X + 1, Y + 1, Z + 1], `table` of the target.
        cuboids: int64 [B, K, 6] inside the grid.

    Returns:
        float32 [B, K] in 0 .. 1; 1 for an empty cuboid and an empty target.
    """
    both = box_sum(sums, cuboids)
    return share(both, volume(cuboids) + sums[:, -1, -1, -1, None] - both)
