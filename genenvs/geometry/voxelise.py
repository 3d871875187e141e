"""Triangle meshes into voxels: a voxel is solid where its centre is inside.

Along every column of centres the surface is crossed some number of times; between the first and the
second crossing, the third and the fourth, and so on, is the inside. That holds for one closed
surface. Files often consist of several that reach into each other, where two crossings in a row
enter and the count over all comes out wrong. So crossings are paired within each part, and parts
are added up: solid is what at least one holds. A part that faces inwards and lies in the solid of
the others is a cavity and taken away from them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry import meshes

_PAIRS = 2**21  # of a triangle and a column at a time: some 20 float64, 340 MB
_MARGIN = 1e-6  # voxels by which a triangle's bounding box grows, far above rounding


class Parts(NamedTuple):
    """The connected parts of a mesh.

    Attributes:
        of_face: int64 [F], the part of every face, from 0.
        closed: bool [P], whether every edge has an even number of the part's faces.
        inward: bool [P], closed, consistently turned, and its faces look into its inside.
    """

    of_face: Tensor
    closed: Tensor
    inward: Tensor


class Crossings(NamedTuple):
    """Where vertical lines cross faces.

    Attributes:
        line: int64 [N], of the lines asked for.
        face: int64 [N].
        height: float64 [N].
    """

    line: Tensor
    face: Tensor
    height: Tensor


def unit_cube(vertices: Tensor, fill: float = 1.0) -> Tensor:
    """Move and scale a mesh into the unit cube.

    Args:
        vertices: float32 [V, 3].
        fill: length of the longest side of the bounding box, whose centre goes to the cube's.

    Raises:
        ValueError: all vertices lie in one place.
    """
    low, high = vertices.double().amin(0), vertices.double().amax(0)
    side = (high - low).amax()
    if side <= 0:
        raise ValueError("all vertices lie in one place")
    return ((vertices - (low + high) / 2) * (fill / side) + 0.5).float()


def parts(vertices: Tensor, faces: Tensor) -> Parts:
    """Take a mesh apart: float32 [V, 3] and int64 [F, 3], without padding.

    Where solids touch along their edges, an edge of four faces may be all that closes two of them;
    faces that would be left open are joined by such edges too.
    """
    of_face = meshes.face_components(faces[None]).label[0] - 1
    closed = _closed(faces, of_face)[of_face]
    crowd = meshes.face_components(faces.where(~closed[:, None], -1)[None], crowded=True).label[0]
    joined = torch.where(closed, of_face, len(faces) + crowd)
    of_face = torch.unique(joined, return_inverse=True)[1]
    number = int(of_face.max()) + 1 if len(faces) else 0
    a, b, c = (vertices[faces].double() - vertices[:1].double()).unbind(1)
    cones = (a * torch.linalg.cross(b, c)).sum(-1)  # six times the volume under each face
    volume = torch.zeros(number, dtype=torch.float64, device=faces.device)
    volume.index_add_(0, of_face, cones)
    closed, turned = _closed(faces, of_face), _closed(faces, of_face, signed=True)
    return Parts(of_face, closed, closed & turned & (volume < 0))


def _closed(faces: Tensor, of_face: Tensor, signed: bool = False) -> Tensor:
    """Say of every part whether its faces use each edge evenly: bool [P].

    Args:
        faces: int64 [F, 3].
        of_face: int64 [F].
        signed: as often in one direction as in the other, instead of an even number of times.
    """
    number = int(of_face.max()) + 1 if len(faces) else 0
    edge = torch.unique(meshes.edge_keys(faces), return_inverse=True)[1].flatten()
    # One id for each pair of an edge and a part: parts may share an edge.
    pairs, group = torch.unique(edge * number + of_face.repeat_interleave(3), return_inverse=True)
    way = torch.where(faces < faces.roll(-1, -1), 1, -1).flatten()
    uses = torch.zeros_like(pairs).index_add_(0, group, way if signed else way.abs())
    uneven = uses != 0 if signed else uses % 2 != 0
    return torch.ones(number, dtype=torch.bool, device=faces.device).index_fill_(
        0, pairs[uneven] % max(number, 1), False
    )


def voxelise(vertices: Tensor, faces: Tensor, size: int) -> Tensor:
    """Fill a grid over the unit cube with a solid.

    Args:
        vertices: float32 [V, 3]; what lies outside 0 .. 1 is cut off.
        faces: int64 [F, 3], without padding; every part closed, for which its own vertices have to
            be welded; those of different parts need not be.
        size: voxels a side; voxel i has its centre at (i + 1/2) / size.

    Returns:
        bool [size, size, size].

    Raises:
        ValueError: a part is not closed.
    """
    return fill(vertices, faces, size, parts(vertices, faces))[0]


def fill(vertices: Tensor, faces: Tensor, size: int, found: Parts) -> tuple[Tensor, Tensor]:
    """Return what `voxelise` does, and which parts are cavities: bool [P]."""
    if not bool(found.closed.all()):
        raise ValueError(
            f"{int((~found.closed).sum())} of {len(found.closed)} parts of the mesh are not closed"
        )
    crossings = columns(vertices, faces, size)
    part = found.of_face[crossings.face]
    # Pair what one part does to one column, from below: every part crosses an even number of times.
    order = crossings.height.argsort(stable=True)
    order = order[(part * size**2 + crossings.line)[order].argsort(stable=True)]
    level = crossings.height[order].ceil().long().clamp(0, size).view(-1, 2)
    column, owner = crossings.line[order].view(-1, 2)[:, 0], part[order].view(-1, 2)[:, 0]
    solid = stack(column, level, torch.where(found.inward[owner], 0, 1), size) > 0
    cavity = found.inward
    if bool(cavity.any()):
        below = torch.nn.functional.pad(solid.cumsum(1), (1, 0))  # [size^2, size + 1]
        held = below[column, level[:, 1]] - below[column, level[:, 0]]
        own, others = torch.zeros(2, len(cavity), dtype=torch.int64, device=solid.device)
        own.index_add_(0, owner, level[:, 1] - level[:, 0])
        others.index_add_(0, owner, held)
        cavity = cavity & (own > 0) & (own == others)
        solid = stack(column, level, torch.where(cavity[owner], -1, 1), size) > 0
    return solid.view(size, size, size), cavity


def stack(column: Tensor, level: Tensor, weight: Tensor, size: int) -> Tensor:
    """Sum of the weights of all runs over every voxel: int64 [size^2, size]."""
    change = torch.zeros(size**2 * (size + 1), dtype=torch.int64, device=column.device)
    change.index_add_(0, column * (size + 1) + level[:, 0], weight)
    change.index_add_(0, column * (size + 1) + level[:, 1], -weight)
    return change.view(size**2, size + 1).cumsum(1)[:, :size]


def columns(vertices: Tensor, faces: Tensor, size: int) -> Crossings:
    """Crossings of the columns through voxel centres, heights in voxels from the lowest centre."""
    triangles = vertices.double()[faces] * size - 0.5  # centres are at whole numbers
    low = (triangles[..., :2].amin(1) - _MARGIN).ceil().clamp(min=0).long()
    high = (triangles[..., :2].amax(1) + _MARGIN).floor().clamp(max=size - 1).long()
    reach = (high - low + 1).clamp(min=0)  # columns along x and along y
    count = reach.prod(-1)
    until = count.cumsum(0)
    found = []
    start = 0
    while start < len(faces):
        before = int(until[start] - count[start])
        end = int(torch.searchsorted(until, before + _PAIRS, right=True))
        end = max(end, start + 1)
        face = torch.repeat_interleave(
            torch.arange(start, end, device=faces.device), count[start:end]
        )
        place = torch.arange(len(face), device=faces.device) + before - (until - count)[face]
        x = low[face, 0] + place // reach[face, 1]
        y = low[face, 1] + place % reach[face, 1]
        meets, height = meet(triangles[face], torch.stack([x, y], -1).double())
        found.append(Crossings((x * size + y)[meets], face[meets], height[meets]))
        start = end
    if not found:
        none = torch.zeros(0, dtype=torch.int64, device=faces.device)
        return Crossings(none, none, none.double())
    return Crossings(*(torch.cat(column) for column in zip(*found, strict=True)))


def meet(triangles: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Say which vertical lines cross which triangles, and where.

    A line through an edge or a corner must cross exactly one of the faces that meet there. So each
    edge decides by itself, always seen from its lower end in y: whether it passes to the right of
    the point (Shimrat's rule, half-open in y). A triangle is crossed where an odd number of its
    edges do; as each edge of a closed surface is asked an even number of times and says the same,
    every line crosses such a surface an even number of times, whatever is rounded.

    Args:
        triangles: float64 [..., 3, 3].
        points: float64 [..., 2], x and y of the lines.

    Returns:
        bool [...] and float64 [...], the height where it does.
    """
    x, y = points[..., 0], points[..., 1]
    inside = torch.zeros(torch.broadcast_shapes(x.shape, triangles.shape[:-2]), dtype=torch.bool,
                         device=points.device)  # fmt: skip
    for k in range(3):
        a, b = triangles[..., k, :2], triangles[..., (k + 1) % 3, :2]
        rises = (a[..., 1] <= b[..., 1])[..., None]
        a, b = torch.where(rises, a, b), torch.where(rises, b, a)
        straddles = (a[..., 1] <= y) & (b[..., 1] > y)
        turn = (b - a)[..., 0] * (y - a[..., 1]) - (x - a[..., 0]) * (b - a)[..., 1]
        inside = inside ^ (straddles & (turn > 0))
    a = triangles[..., 0, :]
    normal = torch.linalg.cross(triangles[..., 1, :] - a, triangles[..., 2, :] - a)
    tilt = normal[..., 0] * (x - a[..., 0]) + normal[..., 1] * (y - a[..., 1])
    steep = normal[..., 2] == 0
    height = a[..., 2] - tilt / normal[..., 2].where(~steep, 1)
    # Of a nearly vertical triangle the height is all rounding; it stays within the triangle.
    height = height.clamp(triangles[..., 2].amin(-1), triangles[..., 2].amax(-1))
    return inside, height
