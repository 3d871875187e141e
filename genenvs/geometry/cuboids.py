"""Unions of axis-aligned integer cuboids as voxels.

A cuboid is int64 [..., 6]: its lowest corner (x, y, z), then its highest, exclusive; one whose
highest corner does not exceed the lowest along every axis is empty, and what lies outside the grid
is cut off.
"""

import torch
from torch import Tensor

from genenvs.geometry import packed

_CELLS = {"cpu": 2**20, "cuda": 2**28}  # of [b, K, R * R] at a time: float32, 4 MB and 1 GB
_WORDS = 2**16  # of [b, X, Y] at a time: int64, 0.5 MB, so that the loop over K stays in the cache


def volume(cuboids: Tensor) -> Tensor:
    """Count the voxels of each single cuboid: int64 [..., 6] -> int64 [...]."""
    return (cuboids[..., 3:] - cuboids[..., :3]).clamp(min=0).prod(-1)


def spans(cuboids: Tensor, size: int) -> Tensor:
    """Say which slices each cuboid reaches: int64 [..., 6] -> bool [..., 3, size]."""
    at = torch.arange(size, device=cuboids.device)
    return (at >= cuboids[..., :3, None]) & (at < cuboids[..., 3:, None])


def rasterise(cuboids: Tensor, size: int) -> Tensor:
    """Fill a grid with a union of cuboids.

    The union is a matrix product: sum over k of xy[k] times z[k], then > 0. Counts up to 2**24 are
    exact in float32, TF32 included, whose inputs here are 0 and 1.

    Args:
        cuboids: int64 [B, K, 6].
        size: voxels a side.

    Returns:
        bool [B, size, size, size].
    """
    rows, count = cuboids.shape[:2]
    x, y, z = spans(cuboids, size).float().unbind(-2)  # [B, K, size]
    found = torch.empty(rows, size, size, size, dtype=torch.bool, device=cuboids.device)
    cells = _CELLS.get(x.device.type, _CELLS["cuda"])
    chunk = max(1, cells // (max(count, size) * size**2))
    for start in range(0, rows, chunk):
        part = slice(start, start + chunk)
        plane = (x[part, :, :, None] * y[part, :, None]).flatten(2)  # [b, K, size^2]
        counts = torch.bmm(plane.mT, z[part])
        torch.gt(counts.view(-1, size, size, size), 0.5, out=found[part])
    return found


def rasterise_packed(cuboids: Tensor, size: int = packed.DEPTH) -> Tensor:
    """Fill a packed grid with a union of cuboids.

    Args:
        cuboids: int64 [B, K, 6].
        size: voxels a side, at most 64.

    Returns:
        int64 [B, size, size], see `genenvs.geometry.packed`.

    Raises:
        ValueError: the grid does not fit into words.
    """
    if size > packed.DEPTH:
        raise ValueError(f"a packed grid has at most {packed.DEPTH} voxels a side; got {size}")
    rows, count = cuboids.shape[:2]
    x, y, z = spans(cuboids, size).unbind(-2)
    run = packed.pack(z[..., None, :])  # [B, K, 1]: a cuboid's run along z as one word
    x, y = -x.long(), -y.long() & run  # all bits or none; the run or none
    found = torch.zeros(rows, size, size, dtype=torch.int64, device=cuboids.device)
    chunk = max(1, _WORDS // size**2) if x.device.type == "cpu" else max(rows, 1)
    for start in range(0, rows, chunk):
        part = slice(start, start + chunk)
        words, here, there = found[part], x[part, :, :, None], y[part, :, None]
        block = torch.empty_like(words)
        for k in range(count):
            torch.bitwise_and(here[:, k], there[:, k], out=block)
            words |= block
    return found
