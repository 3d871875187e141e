"""The distance between two sets of features, of pictures or of motions."""

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
