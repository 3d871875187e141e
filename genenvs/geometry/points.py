"""Sets of points: distances between two of them, and points on the surface of a mesh."""

import math
from typing import Literal

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.geometry import meshes

Sides = tuple[Tensor, Tensor]  # each set's distances to the other: float32 [B, N] and [B, M]

_PAIRS = 2**22  # distances held at a time: float32, 16 MB


def nearest(first: Tensor, second: Tensor) -> Sides:
    """Return the distances of each set's points to the other set.

    Rows of the table of distances are made in chunks, so that memory does not grow with the product
    of the sizes; directly, not through |a|^2 - 2ab + |b|^2, which would turn the distance of a copy
    into rounding noise.

    Args:
        first: float32 [B, N, 3], N >= 1.
        second: float32 [B, M, 3], M >= 1.

    Returns:
        float32 [B, N] and [B, M], Euclidean.

    Raises:
        ValueError: the shapes do not fit, or a set is empty.
    """
    fits = first.dim() == second.dim() == 3 and first.shape[::2] == second.shape[::2]
    if not fits or 0 in (first.shape[1], second.shape[1]):
        raise ValueError(
            "points must be [B, N, 3] and [B, M, 3] with N, M >= 1; "
            f"got {list(first.shape)} and {list(second.shape)}"
        )
    chunk = max(1, _PAIRS // (max(1, len(first)) * second.shape[1]))
    there, back = [], second.new_full(second.shape[:2], math.inf)
    for few in first.split(chunk, 1):
        table = torch.cdist(few, second, compute_mode="donot_use_mm_for_euclid_dist")
        there.append(table.amin(2))
        back = torch.minimum(back, table.amin(1))
    return torch.cat(there, 1), back


def chamfer(sides: Sides, *, squared: bool, reduce: Literal["sum", "mean"]) -> Tensor:
    """Return the Chamfer distance of two sets.

    Each side's mean nearest distance, then the sum or the mean of both sides. Four conventions are
    about, so nothing has a default: Lin et al. (ECCV 2020) and open3d's `compute_metrics` take
    `squared=False, reduce="sum"`.

    Args:
        sides: of `nearest`.
        squared: whether distances are squared before their mean is taken.
        reduce: of the two sides.

    Returns:
        float32 [B].

    Raises:
        ValueError: `reduce` is neither.
    """
    if reduce not in ("sum", "mean"):
        raise ValueError(f"reduce must be 'sum' or 'mean'; got {reduce!r}")
    means = [(side.square() if squared else side).mean(1) for side in sides]
    return (means[0] + means[1]) * (1.0 if reduce == "sum" else 0.5)


def hausdorff(sides: Sides, *, squared: bool) -> Tensor:
    """Return the Hausdorff distance, the longer one of both sides' longest: float32 [B].

    Of the sides of `nearest`. Of points sampled from surfaces it is too short, by less the more
    there are: state their number.
    """
    longest = torch.maximum(sides[0].amax(1), sides[1].amax(1))
    return longest.square() if squared else longest


def f_score(sides: Sides, tau: float) -> Tensor:
    """Return the harmonic mean of precision and recall (Knapitsch et al., SIGGRAPH 2017).

    Args:
        sides: of `nearest(predicted, truth)`. Precision is the share of the prediction that is
            nearer than `tau` to the truth, recall that of the truth to the prediction.
        tau: a distance in the points' unit.

    Returns:
        float32 [B], a fraction in 0 .. 1 (open3d gives percent); 0 where both shares are.
    """
    precision, recall = ((side < tau).float().mean(1) for side in sides)
    both = precision + recall
    return torch.where(both > 0, 2 * precision * recall / both.clamp(min=1e-12), 0.0)


def normalise(points: Tensor) -> Tensor:
    """Make sets comparable: float32 [B, N, 3] -> the same, within the ball of diameter 1 around 0.

    The middle of the bounding box goes to 0 and the farthest point to a distance of 1/2, as Lin et
    al. (ECCV 2020, `normalize_points`) do before they measure; a set of one place goes to 0.
    """
    middle = (points.amin(1, keepdim=True) + points.amax(1, keepdim=True)) / 2
    centred = points - middle
    farthest = centred.norm(dim=-1, keepdim=True).amax(1, keepdim=True)
    return centred / (2 * farthest).clamp(min=1e-30)


def sample(
    vertices: Tensor, faces: Tensor, key: Tensor, n: int, counter: int | Tensor = 0
) -> tuple[Tensor, Tensor]:
    """Draw points on meshes, uniform by area.

    Args:
        vertices: float32 [B, V, 3].
        faces: int64 [B, F, 3], -1 for padding.
        key: int64 [B]; a row's points depend on its mesh, its key and the counter alone.
        n: points a mesh.
        counter: see `genenvs.core.random.counter`.

    Returns:
        Points float32 [B, n, 3] and the faces that they lie on, int64 [B, n].

    Raises:
        ValueError: a mesh has no area.
    """
    until = meshes.areas(vertices, faces).double().cumsum(1)
    if not faces.shape[1] or bool((until[:, -1] <= 0).any()):
        raise ValueError("a mesh without area has no points to sample")
    words = random.bits(key, counter, 3 * n).double().view(-1, n, 3)
    share, u, v = ((words + 0.5) * 2.0**-32).unbind(-1)  # in (0, 1)
    # From the right: a face without area is never the first to exceed.
    face = torch.searchsorted(until, share * until[:, -1:], right=True)
    face = face.clamp(max=faces.shape[1] - 1)
    root = u.float().sqrt()  # Osada et al. (2002), eq. 1
    v = v.float()
    weights = torch.stack([1 - root, root * (1 - v), root * v], -1)  # [B, n, 3]
    chosen = faces.gather(1, face[..., None].expand(-1, -1, 3))
    return (weights[..., None] * meshes.corners(vertices, chosen)).sum(-2), face
