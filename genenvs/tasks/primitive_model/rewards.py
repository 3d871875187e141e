"""What PrimitiveModel pays and measures."""

import math

import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term
from genenvs.geometry.components import voxel_components
from genenvs.geometry.cuboids import volume
from genenvs.shapes import gold

TERMS = {
    "iou": Term(1.0, "Change of the union's IoU with the target.", change_of="iou"),
    "local_iou": Term(
        0.1,
        "Change of the mean IoU of the single cuboids with the target.",
        change_of="local_iou",
    ),
    "deleted": Term(0.01, "Change of the number of deleted cuboids.", change_of="deleted"),
}

METRICS = {
    "iou": Metric(
        "Intersection over union of the cuboids' union and the target, 0 .. 1.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "local_iou": Metric(
        "Mean IoU of each cuboid that is left, alone, with the target; 0 when none is.",
        "step",
        range=(0.0, 1.0),
    ),
    "deleted": Metric("Cuboids that were deleted, 0 .. 27.", "step", range=(0.0, 27.0)),
    "primitives": Metric(
        "Cuboids that are left; fewer are easier to edit.", "end", range=(0.0, 27.0)
    ),
    "components": Metric(
        "Parts of the union that share no face; a target has one, or few.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "overlap": Metric(
        "Share of the cuboids' summed volume that lies in others as well, 0 .. 1.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
} | gold.METRICS


def mean_single(single: Tensor, present: Tensor) -> Tensor:
    """The mean of float32 [B, 27] over the cuboids that are left (bool [B, 27]), 0 of none."""
    # In float64, so that the order of the sum, which depends on the batch, decides no bit.
    total = (single.double() * present).sum(1)
    return (total / present.sum(1).clamp(min=1)).float()


def components(grid: Tensor) -> Tensor:
    """Parts of voxel grids: bool [K, X, Y, Z] -> float32 [K]."""
    return voxel_components(grid).number.float()


def overlap(cuboids: Tensor, grid: Tensor) -> Tensor:
    """The share of volume that is doubled: int64 [K, 27, 6], bool [K, X, Y, Z] -> float32 [K]."""
    total = volume(cuboids).sum(1)
    doubled = total - torch.count_nonzero(grid, dim=(1, 2, 3))
    return doubled / total.clamp(min=1)
