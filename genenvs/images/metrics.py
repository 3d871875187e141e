"""Metrics of sets of images, over whatever features the caller names. No model lives here."""

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance between two sets of features.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) over means and unbiased covariances (Heusel et
    al., 2017), in float64. The trace of the root is taken as the sum of root eigenvalues of the
    symmetric S1^(1/2) S2 S1^(1/2), which stays real where a covariance is singular. It is biased
    upwards for small sets: compare only at equal sizes, beside the distance of real to real.

    Args:
        first: float [N, F], N >= 2.
        second: float [M, F], M >= 2.

    Raises:
        ValueError: the shapes do not fit, or a feature is not finite.
    """
    fits = first.dim() == second.dim() == 2 and first.shape[1] == second.shape[1]
    if not fits or min(len(first), len(second)) < 2:
        raise ValueError(
            "features must be [N, F] and [M, F] with at least two rows; "
            f"got {list(first.shape)} and {list(second.shape)}"
        )
    first, second = first.double(), second.double()
    if not (torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise ValueError("features must be finite")
    shift = (first.mean(0) - second.mean(0)).square().sum()
    a, b = torch.atleast_2d(first.T.cov()), torch.atleast_2d(second.T.cov())
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float(shift + a.trace() + b.trace() - 2 * cross))


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
