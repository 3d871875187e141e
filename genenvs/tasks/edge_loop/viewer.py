"""Pictures of EdgeLoop: the target, the cuboids, and the mesh with its edge loops."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from genenvs.geometry import packed
from genenvs.geometry.lofts import Lofts, mesh
from genenvs.images.solids import Solid, cubes, picture
from genenvs.tasks.edge_loop.meshes import Quads, rings
from genenvs.tasks.edge_loop.moves import extent

TARGET = (150, 156, 166)
PLAIN = (206, 208, 212)  # cuboids without loops
TINTS = ((106, 154, 196), (222, 168, 96), (128, 180, 132), (196, 122, 128), (158, 136, 190))
ACTIVE = (220, 60, 30)
PANEL = 260  # pixels
_MARGIN = 0.03  # about the target, for loops that stand out
_WIDTH, _LIFT = 0.008, 0.003  # of the band that marks the loop whose turn it is
_SHRINK = 0.002  # of each surface against the one before: faces in one plane would mingle


def panel(solids: Sequence[Solid], target: Tensor) -> np.ndarray:
    """One picture of what is around a packed target, int64 [T, T]: uint8 [PANEL, PANEL, 3]."""
    low, high = (corner[0].tolist() for corner in extent(target[None]))
    return picture(solids, PANEL, low=[x - _MARGIN for x in low], high=[x + _MARGIN for x in high])


def ringed(found: Sequence[Quads], looped: int) -> list[Solid]:
    """The surfaces of cuboids, the first `looped` of them with loops."""
    return [
        _solid(quads, TINTS[number % len(TINTS)] if number < looped else PLAIN, number)
        for number, quads in enumerate(found)
    ]


def marked(loop: Tensor, axis: int) -> Solid:
    """What shows whose turn it is: a band around a loop, float32 [2, 3]."""
    found = loop.clone()
    found[0] -= _LIFT
    found[1] += _LIFT
    both = found[None].repeat(2, 1, 1)
    both[0, :, axis] = loop[0, axis] - _WIDTH
    both[1, :, axis] = loop[0, axis] + _WIDTH
    return _solid(rings(both, axis), ACTIVE, 0)


def voxels(words: Tensor) -> Solid:
    """A packed target, int64 [T, T], without lines between its voxels."""
    grid = packed.unpack(words, words.shape[-1]).cpu().numpy()
    found = cubes(grid, TARGET, 1 / len(grid))
    return Solid(found.triangles, found.colour, np.zeros(len(found.triangles), np.int64))


def parts(found: Lofts) -> Solid:
    """A target of lofts [P]: far fewer triangles."""
    vertices, faces = mesh(found)
    return Solid(vertices[faces].cpu().numpy(), TARGET)


def _solid(quads: Quads, colour: tuple[int, int, int], number: int) -> Solid:
    vertices, faces = quads.vertices.cpu().numpy(), quads.faces.cpu().numpy()
    vertices = vertices + (vertices.mean(0) - vertices) * (_SHRINK * min(number, 30))
    triangles = np.stack([vertices[faces[:, [0, 1, 2]]], vertices[faces[:, [0, 2, 3]]]], 1)
    bands = np.minimum(faces.min(1), faces.max(1) - 4) // 4  # the lower loop of each side
    ends = faces.max(1) - faces.min(1) == 3
    bands = np.where(ends, -1 - (faces.min(1) > 0), bands)
    surface = np.repeat(number * 64 + bands + 2, 2)
    return Solid(triangles.reshape(-1, 3, 3), colour, surface)
