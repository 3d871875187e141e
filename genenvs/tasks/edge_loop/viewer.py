"""Pictures of EdgeLoop: the target, the cuboids, and the mesh with its edge loops."""

import numpy as np
from torch import Tensor

from genenvs.geometry import packed
from genenvs.images.sheets import sheet
from genenvs.images.solids import Solid, cubes, picture
from genenvs.tasks.edge_loop.meshes import Quads

TARGET = (150, 156, 166)
PLAIN = (206, 208, 212)  # cuboids without loops
TINTS = ((106, 154, 196), (222, 168, 96), (128, 180, 132), (196, 122, 128), (158, 136, 190))
ACTIVE = (220, 60, 30)
_WIDTH, _LIFT = 0.008, 0.003  # of the band that marks the loop whose turn it is
_SHRINK = 0.002  # of each surface against the one before: faces in one plane would mingle


def view(
    target: Tensor,
    start: list[Quads],
    now: list[Quads],
    looped: int,
    band: Quads | None,
    caption: str,
    size: int = 300,
) -> np.ndarray:
    """Three panels over a caption.

    Args:
        target: int64 [T, T], packed.
        start: surfaces of the cuboids, those with loops first.
        now: the same after the loops have moved.
        looped: how many have loops.
        band: what marks the loop whose turn it is.
        caption: lines below.
        size: of a panel, pixels.

    Returns:
        uint8 [H, W, 3].
    """
    grid = packed.unpack(target, target.shape[-1]).cpu().numpy()
    marked = [tinted(quads, k, looped) for k, quads in enumerate(now)]
    if band is not None:
        marked.append(_solid(band, ACTIVE, 0))
    panels = [
        ("target", picture([cubes_of(grid)], size)),
        ("cuboids", picture([tinted(q, k, looped) for k, q in enumerate(start)], size)),
        ("edge loops", picture(marked, size)),
    ]
    return sheet(panels, caption)


def cubes_of(grid: np.ndarray) -> Solid:
    """A target's voxels without lines between them."""
    found = cubes(grid, TARGET, 1 / len(grid))
    return Solid(found.triangles, found.colour, np.zeros(len(found.triangles), np.int64))


def tinted(quads: Quads, number: int, looped: int) -> Solid:
    """A surface with a line wherever a loop is."""
    return _solid(quads, TINTS[number % len(TINTS)] if number < looped else PLAIN, number)


def band(loop: Tensor, axis: int) -> Tensor:
    """A thin box about a loop: its corners [2, 3] -> two loops float32 [2, 2, 3]."""
    found = loop.clone()
    found[0] -= _LIFT
    found[1] += _LIFT
    both = found[None].repeat(2, 1, 1)
    both[0, :, axis] = loop[0, axis] - _WIDTH
    both[1, :, axis] = loop[0, axis] + _WIDTH
    return both


def _solid(quads: Quads, colour: tuple[int, int, int], number: int) -> Solid:
    vertices, faces = quads.vertices.cpu().numpy(), quads.faces.cpu().numpy()
    vertices = vertices + (vertices.mean(0) - vertices) * (_SHRINK * min(number, 30))
    triangles = np.stack([vertices[faces[:, [0, 1, 2]]], vertices[faces[:, [0, 2, 3]]]], 1)
    bands = np.minimum(faces.min(1), faces.max(1) - 4) // 4  # the lower loop of each side
    ends = faces.max(1) - faces.min(1) == 3
    bands = np.where(ends, -1 - (faces.min(1) > 0), bands)
    surface = np.repeat(number * 64 + bands + 2, 2)
    return Solid(triangles.reshape(-1, 3, 3), colour, surface)
