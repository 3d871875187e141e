"""Oriented boxes: which of them overlap.

Two convex polyhedra are apart if and only if some axis separates their shadows, and for boxes
fifteen axes suffice: three face normals of each and the nine cross products of their edges
(Gottschalk et al., SIGGRAPH 1996). Boxes that are turned about one common axis need five: the
four normals in the plane, and that axis.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_PARALLEL = 1e-6  # sine below which edges are parallel and the face normals decide


class Boxes(NamedTuple):
    """Boxes of every row.

    Attributes:
        centre: float32 [B, N, 3].
        half: float32 [B, N, 3], half the sides, not negative.
        turn: float32 [B, N, 3, 3], whose columns are the box's own axes; or float32 [B, N], the
            angle about z in radians, counter-clockwise seen from above; or None, not turned.
    """

    centre: Tensor
    half: Tensor
    turn: Tensor | None = None


def cuboid_boxes(cuboids: Tensor) -> Boxes:
    """Integer cuboids int64 [B, K, 6] as boxes that are not turned; an empty one has no sides."""
    low, high = cuboids[..., :3].float(), cuboids[..., 3:].float()
    half = (high - low).amin(-1, keepdim=True).gt(0) * (high - low) / 2
    return Boxes((low + high) / 2, half)


def rotations(boxes: Boxes) -> Tensor:
    """The boxes' axes as columns: float32 [B, N, 3, 3], whatever form `turn` has."""
    if boxes.turn is None:
        return torch.eye(3, device=boxes.centre.device).expand(*boxes.centre.shape, 3)
    return boxes.turn if boxes.turn.dim() == 4 else _about_z(boxes.turn)


def separation(first: Boxes, second: Boxes) -> Tensor:
    """Return how far boxes are apart along the axis that separates them most.

    Args:
        first: N boxes a row.
        second: M boxes a row; angles about z where those of `first` are, else anything.

    Returns:
        float32 [B, N, M] in the boxes' unit. Negative where they overlap: then its size is the
        shortest way by which one has to move to part them. Zero where they touch. Positive where
        they are apart: at most their distance, which it equals unless an edge is closest.
    """
    if _upright(first) and _upright(second):
        return _separation_upright(first, second)
    a, b = rotations(first)[:, :, None], rotations(second)[:, None]  # [B, N, 1, 3, 3]
    relative = a.mT @ b  # [B, N, M, 3, 3]: axes of the second in the frame of the first
    offset = second.centre[:, None] - first.centre[:, :, None]
    t = (a.mT @ offset[..., None])[..., 0]  # [B, N, M, 3]
    h, g = first.half[:, :, None], second.half[:, None]
    gaps = [_face_gap(t, h, g, relative), _edge_gap(t, h, g, relative)]
    return torch.stack(gaps).amax(0)


def overlapping(first: Boxes, second: Boxes, tolerance: float = 1e-5) -> Tensor:
    """Say which boxes share more than `tolerance` of depth: bool [B, N, M].

    Boxes that merely touch, as furniture that stands against a wall, do not overlap; the tolerance
    absorbs the rounding of float32.
    """
    return separation(first, second) < -tolerance


def _upright(boxes: Boxes) -> bool:
    return boxes.turn is None or boxes.turn.dim() == 2


def _separation_upright(first: Boxes, second: Boxes) -> Tensor:
    offset = second.centre[:, None] - first.centre[:, :, None]
    h, g = first.half[:, :, None], second.half[:, None]
    vertical = offset[..., 2].abs() - h[..., 2] - g[..., 2]
    a, b = rotations(first)[:, :, None, :2, :2], rotations(second)[:, None, :, :2, :2]
    t = (a.mT @ offset[..., :2, None])[..., 0]
    return torch.maximum(vertical, _face_gap(t, h[..., :2], g[..., :2], a.mT @ b))


def _face_gap(t: Tensor, h: Tensor, g: Tensor, relative: Tensor) -> Tensor:
    """The widest gap along a face normal, in two dimensions or three."""
    reach = relative.abs()
    own = t.abs() - h - (reach @ g[..., None])[..., 0]
    other = (relative.mT @ t[..., None])[..., 0].abs() - g - (reach.mT @ h[..., None])[..., 0]
    return torch.maximum(own, other).amax(-1)


def _edge_gap(t: Tensor, h: Tensor, g: Tensor, relative: Tensor) -> Tensor:
    """The widest gap along a cross product of edge i of one with edge j of the other.

    Nearly parallel edges give a short product that points anywhere. Any axis is sound as long as
    both shadows are cast on that very axis; so the second box's is not read off the rotation, which
    is orthogonal up to rounding only, an error that dividing by the length would blow up.
    """
    t1, t2 = t.roll(-1, -1)[..., None], t.roll(-2, -1)[..., None]  # along the axes after i
    h1, h2 = h.roll(-1, -1)[..., None], h.roll(-2, -1)[..., None]
    g1, g2 = g.roll(-1, -1)[..., None, :], g.roll(-2, -1)[..., None, :]  # the axes after j
    p, q = relative.roll(-1, -2), relative.roll(-2, -2)  # the product is (0, -q, p) from i on
    own = h1 * q.abs() + h2 * p.abs()
    other = g1 * (p * q.roll(-1, -1) - q * p.roll(-1, -1)).abs()
    other = other + g2 * (p * q.roll(-2, -1) - q * p.roll(-2, -1)).abs()
    length = (p.square() + q.square()).sqrt()
    gap = ((t2 * p - t1 * q).abs() - own - other) / length.clamp(min=_PARALLEL)
    return gap.where(length > _PARALLEL, -torch.inf).amax((-2, -1))


def _about_z(angle: Tensor) -> Tensor:
    """Rotations about z: float32 [...] radians -> [..., 3, 3]."""
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cosine, -sine, zero, sine, cosine, zero, zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))
