"""Depth pictures of voxel grids from one fixed camera: which voxels a ray meets is found once."""

import torch
from torch import Tensor

from genenvs.geometry.depth import Rays

_CELLS = 2**22  # of pixels and voxels on their rays at a time
_SHORT = 1e-6  # of a ray inside a voxel, in voxels, below which it only touches it


class VoxelRays:
    """The voxels that the rays of a camera meet, in order.

    Between two planes that it crosses, a ray is in one voxel (Amanatides and Woo, 1987); all of
    them are found by sorting the crossings.
    """

    def __init__(self, rays: Rays, size: int) -> None:
        """Sort every ray's crossings.

        Args:
            rays: of one view, in voxels: the grid fills 0 .. size along every axis.
            size: voxels a side.
        """
        self.shape = tuple(rays.origin.shape[1:3])  # pixels
        origin, direction = (x[0].flatten(0, 1).double() for x in rays)  # [P, 3]
        slope = direction.where(direction.abs() > 1e-12, 1e-12)
        planes = torch.arange(size + 1, device=origin.device)
        at = ((planes - origin[..., None]) / slope[..., None]).flatten(1)  # [P, 3 * (size + 1)]
        at = at.clamp(min=0).sort(1).values
        start, length = at[:, :-1], at.diff(dim=1)
        middle = start + length / 2
        cell = (origin[:, None] + middle[..., None] * direction[:, None]).floor()
        inside = ((cell >= 0) & (cell < size)).all(-1) & (length > _SHORT)
        longest = max(int(inside.sum(1).max()), 1)
        order = inside.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :longest]
        x, y, z = cell.clamp(0, size - 1).long().unbind(-1)
        index = torch.where(inside, (x * size + y) * size + z, size**3)  # one more: never set
        self._index = index.gather(1, order)  # [P, L]
        self._depth = start.gather(1, order).float()

    def depth(self, grids: Tensor) -> Tensor:
        """The distance along the optical axis at which each ray meets a grid first.

        Args:
            grids: bool [K, size, size, size].

        Returns:
            float32 [K, H, W] in voxels, +inf where there is nothing.
        """
        pixels, longest = self._index.shape
        found = [
            torch.where(
                torch.nn.functional.pad(part.flatten(1), (0, 1))[:, self._index],
                self._depth,
                torch.inf,
            ).amin(-1)
            for part in grids.split(max(1, _CELLS // (pixels * longest)))
        ]
        return torch.cat(found).unflatten(1, self.shape)
