"""The inside of surfaces with cracks, by a vote of three directions.

A line through a crack crosses such a surface an odd number of times and says nothing; all others
say what they say of a closed one. So lines run along x, along y and along z, and a voxel is solid
where more of them find it inside than outside (Nooruddin and Turk, TVCG 2003, section 3.1, with
three directions in place of their thirteen). The share of lines that say nothing tells cracks from
surfaces that have no inside.
"""

import torch
from torch import Tensor

from genenvs.geometry import voxelise

MOST = 0.1  # share of lines that may say nothing; of a sheet or a landscape a third and more do


def vote(vertices: Tensor, faces: Tensor, size: int) -> tuple[Tensor, float]:
    """Fill a grid over the unit cube with one part that is not closed.

    Args:
        vertices: float32 [V, 3].
        faces: int64 [F, 3], one connected part.
        size: voxels a side, see `voxelise.voxelise`.

    Returns:
        bool [size, size, size], and which share of the lines that cross the surface said nothing.
    """
    votes = torch.zeros(size, size, size, dtype=torch.int64, device=faces.device)
    crossing = silent = 0
    for axis in range(3):
        # Coordinates go round until the axis is the last, and votes go back.
        found = voxelise.columns(vertices.roll(2 - axis, 1), faces, size)
        count = torch.bincount(found.line, minlength=size**2)
        odd = count % 2 == 1
        crossing, silent = crossing + int((count > 0).sum()), silent + int(odd.sum())
        line, height = (x[~odd[found.line]] for x in (found.line, found.height))
        order = height.argsort(stable=True)
        order = order[line[order].argsort(stable=True)]
        level = height[order].ceil().long().clamp(0, size).view(-1, 2)
        inside = voxelise.stack(line[order].view(-1, 2)[:, 0], level, torch.ones_like(level[:, 0]),
                                size)  # fmt: skip
        said = torch.where(odd[:, None], 0, torch.where(inside > 0, 1, -1)).view_as(votes)
        votes += said.movedim((0, 1, 2), ((axis + 1) % 3, (axis + 2) % 3, axis))
    return votes > 0, silent / max(crossing, 1)


def fill(vertices: Tensor, faces: Tensor, size: int) -> tuple[Tensor, int]:
    """Fill a grid with a mesh, whatever parts of it are open.

    Args:
        vertices: float32 [V, 3].
        faces: int64 [F, 3], see `voxelise.voxelise`.
        size: voxels a side.

    Returns:
        bool [size, size, size], and of how many parts the inside was voted on.

    Raises:
        ValueError: a part has no inside: too many lines say nothing of it.
    """
    found = voxelise.parts(vertices, faces)
    solid = voxelise.voxelise(vertices, faces[found.closed[found.of_face]], size)
    open_ = (~found.closed).nonzero()[:, 0].tolist()
    for part in open_:
        inside, silent = vote(vertices, faces[found.of_face == part], size)
        if silent > MOST:
            raise ValueError(
                f"the surface is not closed: {len(open_)} of {len(found.closed)} parts are open, "
                f"and {silent:.0%} of the lines through one of them end inside"
            )
        solid |= inside
    return solid, len(open_)
