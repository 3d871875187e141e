"""Pictures and meshes of builds: bricks in the colours of their types, with studs."""

from typing import Any

import numpy as np

from genenvs.core.optional import require
from genenvs.images.sheets import sheet
from genenvs.images.solids import Solid, cubes
from genenvs.images.solids import picture as draw
from genenvs.tasks.brick_build.bricks import ORIENTED, PLACEMENTS, SIZE

PANEL = 320  # pixels
_TARGET = (176, 186, 200)
_STUD = (0.3, 0.2)  # radius and height, in pitches of a stud
_CORNERS = 12  # of a stud
PITCH, HEIGHT, GAP = 0.008, 0.0096, 0.0001  # metres: of a stud, of a brick, around a brick


def picture(target: np.ndarray, codes: np.ndarray, caption: str) -> np.ndarray:
    """The target beside the bricks.

    Args:
        target: bool [20, 20, 20].
        codes: int [N], see `bricks.code`.
        caption: one line below.

    Returns:
        uint8 [H, W, 3].
    """
    panels = [("target", [cubes(target, _TARGET)]), ("bricks", solids(codes))]
    # The whole floor is seen, but no more air than the target or the bricks need.
    layers = np.append(np.flatnonzero(target.any((0, 1))), np.asarray(codes) // PLACEMENTS)
    high = (SIZE, SIZE, 2 + int(layers.max()))
    drawn = [(title, draw(what, PANEL, high=high)) for title, what in panels]
    return sheet(drawn, caption)


def solids(codes: np.ndarray) -> list[Solid]:
    """Bricks as solids of one picture, in cells: their outer faces, and the studs that are seen."""
    number = np.full((SIZE, SIZE, SIZE), -1)
    tint = np.zeros((SIZE, SIZE, SIZE, 3))
    for k, (brick, x, y, z) in enumerate(_read(codes)):
        place = slice(x, x + brick.along_x), slice(y, y + brick.along_y), z
        number[place], tint[place] = k, brick.type.rgb
    filled = number >= 0
    body = cubes(filled, tint)
    assert body.surface is not None
    seams = Solid(body.triangles, body.colour, number.ravel()[body.surface])
    free = filled & ~np.pad(filled, ((0, 0), (0, 0), (0, 1)))[:, :, 1:]
    at = np.argwhere(free)
    one = _prism(*_STUD)
    studs = one[None] + (at + np.array([0.5, 0.5, 1.0]))[:, None, None]
    colours = np.repeat(tint[free], len(one), 0)
    marks = np.repeat(np.arange(len(at)), len(one))
    return [seams, Solid(studs.reshape(-1, 3, 3), colours, marks)]


def scene(codes: np.ndarray) -> Any:
    """Every brick, with all its studs, as a `trimesh.Scene` in metres, z upwards.

    Raises:
        ImportError: trimesh is missing; names the extra.
    """
    trimesh = require("trimesh", "shapes")
    found = trimesh.Scene()
    for k, (brick, x, y, z) in enumerate(_read(codes)):
        vertices, faces = _brick(brick.along_x, brick.along_y)
        corner = np.array([x * PITCH, y * PITCH, z * HEIGHT])
        mesh = trimesh.Trimesh(vertices + corner, faces, process=False)
        mesh.visual.face_colors = (*brick.type.rgb, 255)
        name = f"{k:03d} {brick.type.short}x{brick.type.long}"
        found.add_geometry(mesh, node_name=name, geom_name=name)
    return found


def _read(codes: np.ndarray) -> list[tuple[Any, int, int, int]]:
    place, z = np.asarray(codes) % PLACEMENTS, np.asarray(codes) // PLACEMENTS
    numbers = zip(place // SIZE**2, place // SIZE % SIZE, place % SIZE, z, strict=True)
    return [(ORIENTED[b], int(x), int(y), int(h)) for b, x, y, h in numbers]


def _prism(radius: float, height: float) -> np.ndarray:
    """A stud on the origin: its side and its top, [F, 3, 3], seen from outside."""
    angle = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], 1)
    following, up = np.roll(ring, -1, 0), np.array([0, 0, height])
    top = np.stack([ring + up, following + up, np.broadcast_to(up, ring.shape)], 1)
    side = np.stack([ring, following, following + up, ring, following + up, ring + up], 1)
    return np.concatenate([side.reshape(-1, 3, 3), top])


def _brick(along_x: int, along_y: int) -> tuple[np.ndarray, np.ndarray]:
    """A brick with its lowest corner at the origin, in metres: vertices and faces."""
    low = np.array([GAP, GAP, 0.0])
    high = np.array([along_x * PITCH - GAP, along_y * PITCH - GAP, HEIGHT])
    corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    box = low + corners * (high - low)
    faces = np.array([
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ])  # fmt: skip
    stud = _prism(_STUD[0] * PITCH, _STUD[1] * PITCH).reshape(-1, 3)
    vertices, triangles = [box], [faces]
    for i in range(along_x):
        for j in range(along_y):
            triangles.append(np.arange(len(stud)).reshape(-1, 3) + sum(map(len, vertices)))
            vertices.append(stud + np.array([(i + 0.5) * PITCH, (j + 0.5) * PITCH, HEIGHT]))
    return np.concatenate(vertices), np.concatenate(triangles)
