"""Pictures and meshes of strokes."""

from typing import Any

import numpy as np

from genenvs.core.optional import require
from genenvs.images import solids
from genenvs.images.sheets import sheet
from genenvs.images.solids import Solid, cubes

PALE, CURSOR = (214, 218, 224), (235, 60, 40)
# From dark to light in even steps, so that order is read from lightness too: viridis (CC0).
SCALE = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])
PANEL = 240  # pixels
WIDTH = 0.3  # of a cell, of the line along a stroke
DOT = 0.8  # of a cell, the cursor on the line


def gradient(count: int) -> np.ndarray:
    """Colours from the first to the last of `count` cells: uint8 [count, 3]."""
    at = np.linspace(0, len(SCALE) - 1, count)
    return np.stack([np.interp(at, range(len(SCALE)), c) for c in SCALE.T], 1).astype(np.uint8)


def picture(target: np.ndarray, path: np.ndarray, caption: str) -> np.ndarray:
    """The `panels` over a caption: uint8 [H, W, 3]."""
    return sheet(panels(target, path), caption)


def panels(target: np.ndarray, path: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The target, the cells of the stroke, and the line through them, each with its title.

    Args:
        target: bool [X, Y, Z].
        path: int [N, 3], cells of the stroke in order; the last one is the cursor.
    """
    used = np.argwhere(target)
    low, high = used.min(0), used.max(0) + 1

    def shaded(*shown: Solid) -> np.ndarray:
        return solids.picture(shown, PANEL, low=low, high=high)

    built, colours = _coloured(target.shape, path)
    return [
        ("target", shaded(cubes(target, PALE))),
        ("stroke, first to last cell", shaded(cubes(built, colours))),
        ("its line, cursor red", shaded(_line(path), _dot(path[-1]))),
    ]


def scene(path: np.ndarray) -> Any:
    """The cells of a stroke and the line through them as meshes, one unit a cell.

    Args:
        path: int [N, 3], in order.

    Returns:
        A `trimesh.Scene` with the geometries `cells` and `line`.

    Raises:
        ImportError: it takes the extra `shapes`.
    """
    trimesh = require("trimesh", "shapes")
    shape = tuple(path.max(0) + 1)

    def mesh(solid: Solid) -> Any:
        corners = solid.triangles.reshape(-1, 3)
        faces = np.arange(len(corners)).reshape(-1, 3)
        opaque = np.full((len(faces), 1), 255)
        colours = np.concatenate([np.broadcast_to(solid.colour, (len(faces), 3)), opaque], 1)
        found = trimesh.Trimesh(corners, faces, face_colors=colours.astype(np.uint8))
        found.merge_vertices()
        return found

    return trimesh.Scene({"cells": mesh(cubes(*_coloured(shape, path))), "line": mesh(_line(path))})


def _coloured(shape: tuple[int, ...], path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a path bool [X, Y, Z] and a colour of each cell [X, Y, Z, 3], cursor red."""
    built, colours = np.zeros(shape, bool), np.zeros((*shape, 3), np.uint8)
    place = tuple(path.T)
    built[place], colours[place] = True, gradient(len(path))
    colours[tuple(path[-1])] = CURSOR
    return built, colours


def _line(path: np.ndarray) -> Solid:
    """Square prisms from the centre of each cell to the next one's."""
    if len(path) == 1:
        return Solid(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    start, end = path[:-1] + 0.5, path[1:] + 0.5
    along = end - start
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # Across the axis along which it runs least, so that the cross product is never short.
    least = np.eye(3)[np.abs(along).argmin(1)]
    u = np.cross(along, least)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(along, u)
    half = WIDTH / 2
    start, end = start - along * half, end + along * half  # so that bends are filled
    ring = [a * u * half + b * v * half for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    prism = np.stack([base + r for base in (start, end) for r in ring], 1)  # [N - 1, 8, 3]
    return Solid(prism[:, _FACES].reshape(-1, 3, 3), np.repeat(gradient(len(path))[1:], 12, 0))


def _dot(cell: np.ndarray) -> Solid:
    """A cube around the cursor."""
    cube = cubes(np.ones((1, 1, 1), bool), CURSOR, DOT)
    return Solid(cube.triangles + cell + (1 - DOT) / 2, cube.colour)


# Of a prism with corners 0 .. 3 at one end and 4 .. 7 at the other, seen from outside in turn.
_FACES = np.array([
    [0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
    [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7],
])  # fmt: skip
