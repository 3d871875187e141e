"""The distance between two sets of features, of pictures or of motions."""

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor, *, shrink: bool = False) -> float:
    """Return the Frechet distance between two sets of features.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) over means and unbiased covariances (Heusel et
    al., 2017), in float64. The trace of the root is taken as the sum of root eigenvalues of the
    symmetric S1^(1/2) S2 S1^(1/2), which stays real where a covariance is singular. It is biased
    upwards for small sets: compare only at equal sizes, beside the distance of real to real.

    Args:
        first: float [N, F], N >= 2.
        second: float [M, F], M >= 2.
        shrink: take `shrunk` covariances, for sets of not many more rows than features.

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
    covariance = shrunk if shrink else _unbiased
    a, b = covariance(first), covariance(second)
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    return max(0.0, float(shift + a.trace() + b.trace() - 2 * cross))


def shrunk(points: Tensor) -> Tensor:
    """The covariance of Ledoit and Wolf (2004): drawn towards a multiple of the identity.

    By as much as makes the expected squared error least, estimated from the same points.

    Args:
        points: float64 [N, F], N >= 2.

    Returns:
        [F, F], regular wherever the points differ at all.
    """
    centred = points - points.mean(0)
    count, size = centred.shape
    sample = centred.T @ centred / count
    mean = sample.trace() / size
    identity = torch.eye(size, dtype=points.dtype, device=points.device)
    spread = (sample - mean * identity).square().sum()
    fourth = centred.square().sum(1).square().sum() / count**2
    error = fourth - sample.square().sum() / count
    share = 0.0 if spread == 0 else float((error / spread).clamp(0, 1))
    return (1 - share) * sample + share * mean * identity


def _unbiased(points: Tensor) -> Tensor:
    return torch.atleast_2d(points.T.cov())
