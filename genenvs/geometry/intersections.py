"""Where the surface of a triangle mesh crosses itself.

Two faces cross if their interiors meet along a segment. They do not if they merely touch, at a
point or along an edge; if they lie in one plane, overlapping or not; or if they share a vertex, as
neighbours do. So closed solids that touch have no crossings, and vertices that lie in one place
need no welding.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from genenvs.geometry import meshes

TOLERANCE = 1e-6  # of the mesh's longest side: shorter is no crossing but the rounding of float32
_PAIRS = 2**18  # of faces at a time, some 100 float64 each: 200 MB


def crossings(vertices: Tensor, faces: Tensor) -> Tensor:
    """Count the pairs of faces that cross.

    Memory does not grow with the number of pairs; time does with that of faces whose extents along
    one axis overlap.

    Args:
        vertices: float32 [B, V, 3], finite.
        faces: int64 [B, F, 3], -1 for padding.

    Returns:
        int64 [B].

    Raises:
        ValueError: the shapes do not fit.
    """
    number = torch.zeros(len(faces), dtype=torch.int64, device=faces.device)
    for pairs in _found(vertices, faces):
        number += torch.bincount(pairs[:, 0], minlength=len(faces))
    return number


def crossing_pairs(vertices: Tensor, faces: Tensor) -> Tensor:
    """List the pairs of faces that cross: int64 [N, 3], mesh, lower and higher face, in order.

    Arguments and errors are those of `crossings`.
    """
    none = torch.zeros(0, 3, dtype=torch.int64, device=faces.device)
    return torch.unique(torch.cat([none, *_found(vertices, faces)]), dim=0)


def _found(vertices: Tensor, faces: Tensor) -> Iterator[Tensor]:
    """The rows of `crossing_pairs`, in chunks."""
    if vertices.dim() != 3 or faces.dim() != 3 or vertices.shape[::2] != (len(faces), 3):
        raise ValueError(
            "a mesh is vertices [B, V, 3] and faces [B, F, 3]; "
            f"got {list(vertices.shape)} and {list(faces.shape)}"
        )
    if not faces.numel():
        return
    low = vertices.amin(1, keepdim=True).double()
    side = (vertices.amax(1, keepdim=True) - low).amax(2, keepdim=True)
    triangles = meshes.corners((vertices.double() - low) / side.clamp(min=1e-30), faces)
    for row, first, second in _near(triangles, (faces >= 0).all(-1)):
        shared = (faces[row, first, :, None] == faces[row, second, None]).any(-1).any(-1)
        row, first, second = row[~shared], first[~shared], second[~shared]
        cross = _cross(triangles[row, first], triangles[row, second])
        pair = torch.stack([row, torch.minimum(first, second), torch.maximum(first, second)], 1)
        yield pair[cross]


def _near(triangles: Tensor, present: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pairs of faces whose bounding boxes meet: row and both faces, int64 [N] each, in chunks.

    Faces are swept along one axis: in the order of their lower ends, a face can only meet the run
    after it that begins before its own upper end (Baraff 1992). Each mesh takes the axis whose runs
    are shortest.
    """
    rows, count = present.shape
    low, high = triangles.amin(2), triangles.amax(2)  # [B, F, 3]
    start, order = low.where(present[..., None], torch.inf).mT.contiguous().sort(-1)  # [B, 3, F]
    end = high.where(present[..., None], -torch.inf).mT.gather(-1, order)
    until = torch.searchsorted(start, end, right=True)
    place = torch.arange(count, device=order.device)
    length = (until - place - 1).clamp(min=0)
    axis = length.sum(-1).argmin(-1)[:, None, None].expand(-1, 1, count)
    length, order = length.gather(1, axis).flatten(), order.gather(1, axis)[:, 0]
    total = length.cumsum(0)
    done = 0
    while done < rows * count:
        before = int(total[done] - length[done])
        stop = int(torch.searchsorted(total, before + _PAIRS, right=True))
        stop = max(stop, done + 1)
        index = torch.arange(done, stop, device=order.device)
        index = index.repeat_interleave(length[done:stop])
        row, at = index // count, index % count
        ahead = torch.arange(len(index), device=order.device) + before - (total - length)[index]
        first, second = order[row, at], order[row, at + 1 + ahead]
        meet = (low[row, first] <= high[row, second]) & (low[row, second] <= high[row, first])
        keep = meet.all(-1)
        yield row[keep], first[keep], second[keep]
        done = stop


def _cross(first: Tensor, second: Tensor) -> Tensor:
    """Say which triangles cross: float64 [N, 3, 3] twice, of meshes of size 1 -> bool [N].

    Both must have corners on either side of the other's plane; the planes meet in a line, and the
    stretches of it within each must overlap (Moeller, Journal of Graphics Tools 1997).
    """
    origin = first[:, :1]  # near both, so that little cancels
    first, second = first - origin, second - origin
    upon, under = _normals(first), _normals(second)
    line = torch.nn.functional.normalize(torch.linalg.cross(upon, under), dim=-1, eps=1e-30)
    start, end = _stretch(first, second, under, line)
    begin, stop = _stretch(second, first, upon, line)
    return torch.minimum(end, stop) - torch.maximum(start, begin) > TOLERANCE


def _stretch(
    triangle: Tensor, other: Tensor, normal: Tensor, line: Tensor
) -> tuple[Tensor, Tensor]:
    """The stretch of the line within a triangle, [N] each; from inf to -inf where it has none."""
    height = ((triangle - other[:, :1]) * normal[:, None]).sum(-1)  # [N, 3] over the other's plane
    height = height.where(height.abs() > TOLERANCE, 0)
    place = (triangle * line[:, None]).sum(-1)
    there, further = height.roll(-1, -1), place.roll(-1, -1)
    passes = height * there < 0
    through = place + (further - place) * height / (height - there).where(passes, 1)
    straddles = ((height > 0).any(-1) & (height < 0).any(-1))[:, None]
    on = torch.cat([height == 0, passes], 1) & straddles
    places = torch.cat([place, through], 1)
    return places.where(on, torch.inf).amin(1), places.where(on, -torch.inf).amax(1)


def _normals(triangles: Tensor) -> Tensor:
    a, b, c = triangles.unbind(1)
    return torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-30)
