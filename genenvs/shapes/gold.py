"""How far a built shape is from its target: distances that no task pays for."""

import math

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.core.rewards import Metric
from genenvs.geometry import points

SAMPLES = 1_024
_SURFACE = random.word("surface")

METRICS = {
    "chamfer": Metric(
        f"Chamfer distance: the sum of both sides' mean (unsquared) distances of {SAMPLES} points"
        " of the surfaces, in diameters of the target's bounding box; 2 where nothing was built.",
        when="judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "hausdorff": Metric(
        "Hausdorff distance of the same points, same unit (biased low, as any sampled one);"
        " 1 where nothing was built.",
        when="judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
}


def distances(built: Tensor, target: Tensor, key: Tensor) -> dict[str, Tensor]:
    """The metrics above, of voxel grids.

    Args:
        built: bool [K, X, Y, Z].
        target: bool [K, X, Y, Z], at least one voxel each.
        key: int64 [K], streams of the sample points.
    """
    return point_distances(
        surface_points(built, key, 1), surface_points(target, key, 2), built.flatten(1).any(1)
    )


def point_distances(built: Tensor, target: Tensor, present: Tensor) -> dict[str, Tensor]:
    """The metrics above, of points on the surfaces.

    Args:
        built: float32 [K, N, 3].
        target: float32 [K, M, 3], in the same coordinates.
        present: bool [K], whether anything was built.
    """
    diameter = (target.amax(1) - target.amin(1)).norm(dim=-1).clamp(min=1e-6)[:, None, None]
    sides = points.nearest(built / diameter, target / diameter)
    chamfer = points.chamfer(sides, squared=False, reduce="sum")
    hausdorff = points.hausdorff(sides, squared=False)
    return {
        "chamfer": torch.where(present, chamfer, 2.0),
        "hausdorff": torch.where(present, hausdorff, 1.0),
    }


def surface_points(grid: Tensor, key: Tensor, purpose: int, n: int = SAMPLES) -> Tensor:
    """Points on the outer faces of voxels, uniform by area.

    Args:
        grid: bool [K, X, Y, Z].
        key: int64 [K], random streams.
        purpose: what for; two uses never share numbers.
        n: points a row.

    Returns:
        float32 [K, n, 3] in voxels; of an empty grid the point 0.
    """
    shape = grid.shape[1:]
    padded = torch.nn.functional.pad(grid, (1, 1) * 3)
    faces = []
    for dim in (1, 2, 3):
        for step in (1, -1):
            beyond = padded.roll(-step, dim)[:, 1:-1, 1:-1, 1:-1]
            faces.append((grid & ~beyond).flatten(1))
    mask = torch.cat(faces, 1)  # [K, 6 * voxels]
    count = mask.sum(1, keepdim=True)
    # Those there are, row by row; few beside all. One more, for rows that have none.
    there = torch.nn.functional.pad(mask.nonzero()[:, 1], (0, 1))
    counter = random.counter(0, purpose)
    draws = random.uniform(random.mix(key, _SURFACE), counter, 3 * n).unflatten(1, (3, n))
    pick = (draws[:, 0] * count).long().minimum((count - 1).clamp(min=0))
    face = there[count.cumsum(0) - count + pick]
    cells = shape.numel()
    which, cell = face // cells, face % cells
    place = torch.stack(
        [
            cell // (shape[1] * shape[2]),
            cell // shape[2] % shape[1],
            cell % shape[2],
        ],
        -1,
    ).float()
    axis, side = which // 2, 1 - which % 2  # [K, n]
    offset = torch.zeros_like(place)
    offset.scatter_(2, axis[..., None], side[..., None].float())
    offset.scatter_(2, ((axis + 1) % 3)[..., None], draws[:, 1, :, None])
    offset.scatter_(2, ((axis + 2) % 3)[..., None], draws[:, 2, :, None])
    return torch.where(count[..., None] > 0, place + offset, 0.0)
