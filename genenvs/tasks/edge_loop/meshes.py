"""The solid as a mesh: rings of quads around each cuboid, and their closed union."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from genenvs.geometry import lofts, solids
from genenvs.tasks.edge_loop.loops import Cage

# Corners of a rectangle in turn: which of (low, high) on each of the two axes across.
_TURNS = ((0, 0), (1, 0), (1, 1), (0, 1))


class Quads(NamedTuple):
    """A closed surface of quads that look outwards.

    Attributes:
        vertices: float32 [V, 3].
        faces: int64 [F, 4].
    """

    vertices: Tensor
    faces: Tensor

    @property
    def triangles(self) -> tuple[Tensor, Tensor]:
        """The same with two triangles for each quad."""
        split = torch.cat([self.faces[:, [0, 1, 2]], self.faces[:, [0, 2, 3]]])
        return self.vertices, split


def rings(corner: Tensor, axis: int) -> Quads:
    """The surface through the loops of one cuboid.

    Args:
        corner: float32 [N, 2, 3], its loops in order, N >= 2.
        axis: across which they lie.

    Returns:
        Quads with vertices 4 n .. 4 n + 3 on loop n.
    """
    count = len(corner)
    u, v = lofts.ACROSS[axis]
    vertices = corner.new_zeros(count, 4, 3)
    vertices[..., axis] = corner[:, :1, axis]
    for k, (a, b) in enumerate(_TURNS):
        vertices[:, k, u], vertices[:, k, v] = corner[:, a, u], corner[:, b, v]
    turn = torch.arange(4, device=corner.device)
    start = torch.arange(count - 1, device=corner.device)[:, None] * 4
    following = (turn + 1) % 4
    sides = torch.stack([start + turn, start + following, start + 4 + following, start + 4 + turn])
    ends = torch.stack([turn.flip(0), turn + 4 * (count - 1)])
    faces = torch.cat([ends, sides.flatten(1).T])
    return Quads(vertices.flatten(0, 1), faces.flip(1) if axis == 1 else faces)


def surfaces(cage: Cage, corner: Tensor, still: Tensor, side: int) -> list[Quads]:
    """The closed surface of every cuboid of one row.

    Args:
        cage: of one row.
        corner: float32 [1, 10, 2, 3].
        still: int64 [N, 6], cuboids without loops, in a grid of side^3; zeros are none.
        side: of that grid.
    """
    owner = cage.owner[0]
    found = [
        rings(corner[0, owner == box], int(cage.axis[0, box])) for box in owner.unique().tolist()
    ]
    for cuboid in still[(still != 0).any(1)]:
        ends = cuboid.view(2, 3).float() / side
        loops = ends[None].repeat(2, 1, 1)
        loops[:, :, 2] = ends[:, 2:]
        found.append(rings(loops, 2))
    return found


def union(found: list[Quads]) -> tuple[Tensor, Tensor]:
    """One closed mesh: vertices float32 [V, 3] and triangles int64 [F, 3].

    Raises:
        ImportError: manifold3d is missing; names the extra.
    """
    return solids.union([quads.triangles for quads in found])


def joined(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Meshes as one, side by side."""
    start = 0
    faces = []
    for vertices, own in parts:
        faces.append(own + start)
        start += len(vertices)
    return torch.cat([vertices for vertices, _ in parts]), torch.cat(faces)


def obj(found: list[Quads]) -> str:
    """The rings as text of an obj file: quads as they are, an object for each cuboid."""
    lines, start = [], 1
    for number, quads in enumerate(found):
        lines.append(f"o cuboid_{number}")
        lines += ["v {:.6f} {:.6f} {:.6f}".format(*point) for point in quads.vertices.tolist()]
        lines += ["f " + " ".join(str(k + start) for k in face) for face in quads.faces.tolist()]
        start += len(quads.vertices)
    return "\n".join(lines) + "\n"


def to_trimesh(vertices: Tensor, faces: Tensor) -> Any:
    """A `trimesh.Trimesh`, nothing of it changed."""
    from genenvs.core.optional import require

    trimesh = require("trimesh", "shapes")
    return trimesh.Trimesh(vertices.cpu().numpy(), faces.cpu().numpy(), process=False)
