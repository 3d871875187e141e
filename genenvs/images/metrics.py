"""Metrics of sets of images, over whatever features the caller names. No model lives here."""

import torch
from torch import Tensor


def nearest_neighbour_distance(samples: Tensor, references: Tensor | None = None) -> Tensor:
    """Return each sample's distance to its nearest neighbour.

    Within the set (no `references`) the mean is a measure of diversity: 0 for copies. To a
    training set it is a measure of novelty: 0 for memorised images.

    Args:
        samples: float [N, ...], at least two rows without `references`.
        references: float [M, ...] or None for the other samples.

    Returns:
        float32 [N], Euclidean distances divided by the root of the number of values in a row, so
        that they are root mean squared differences in the data's own units.

    Raises:
        ValueError: too few rows.
    """
    rows = samples.flatten(1).float()
    others = rows if references is None else references.flatten(1).float()
    if len(others) < (2 if references is None else 1):
        raise ValueError(f"too few rows to have a neighbour: {len(others)}")
    # Not through |a|^2 - 2ab + |b|^2, which would turn a copy's distance into rounding noise.
    distance = torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
    if references is None:
        distance.fill_diagonal_(torch.inf)
    return distance.min(1).values / rows.shape[1] ** 0.5
