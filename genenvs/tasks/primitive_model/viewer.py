"""Pictures and scenes of cuboids."""

import colorsys
from typing import Any

import numpy as np

from genenvs.core.optional import require
from genenvs.images.sheets import sheet
from genenvs.images.solids import Solid, cubes
from genenvs.images.solids import picture as shaded
from genenvs.shapes.primitives import COUNT, SIDE

TARGET = (176, 180, 190)
# Hues a golden section apart, so that neighbours in number differ most; soft, and not all alike.
_HUES = [(0.56 + k * 0.618034, 0.54 + 0.08 * (k % 3)) for k in range(COUNT)]
PALETTE = np.array([
    [round(255 * x) for x in colorsys.hls_to_rgb(hue, light, 0.52)] for hue, light in _HUES
])  # fmt: skip
_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
# Two triangles a side, seen from outside counter-clockwise; corners as above.
_FACES = np.array([
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
])  # fmt: skip


def corners(cuboids: np.ndarray) -> np.ndarray:
    """The corners of cuboids [N, 6] in the unit cube: float64 [N, 8, 3]."""
    low, high = cuboids[:, None, :3], cuboids[:, None, 3:]
    return (low + (high - low) * _CORNERS) / SIDE


def solid(cuboids: np.ndarray, colours: np.ndarray) -> Solid:
    """Cuboids [N, 6] to be drawn, in colours [N, 3]; lines part them from each other."""
    # Where faces of two lie in one plane, rounding would mingle their colours: shrink a little,
    # each by another amount.
    points = corners(cuboids)
    middle = points.mean(1, keepdims=True)
    shrink = 1 - 0.002 * (1 + np.arange(len(cuboids))[:, None, None]) / SIDE
    points = middle + (points - middle) * shrink
    return Solid(
        points[:, _FACES].reshape(-1, 3, 3),
        np.repeat(colours, len(_FACES), 0),
        np.repeat(np.arange(len(cuboids)), len(_FACES)),
    )


def picture(
    target: np.ndarray,
    cuboids: np.ndarray,
    colours: np.ndarray,
    caption: str,
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """The target beside its model.

    Args:
        target: bool [16, 16, 16].
        cuboids: int64 [N, 6], all with volume.
        colours: [N, 3], RGB in 0 .. 255.
        caption: one line below.
        seen: uint8 [H, W], the depth picture that is observed, if one is.

    Returns:
        uint8 [H, W, 3].
    """
    panels = [
        ("target", shaded([cubes(target, TARGET, 1 / SIDE)])),
        ("cuboids", shaded([solid(cuboids, colours)] if len(cuboids) else [])),
    ]
    if seen is not None:
        panels.append(("observed depth", seen[..., None].repeat(3, 2)))
    return sheet(panels, caption)


def scene(cuboids: np.ndarray) -> Any:
    """Cuboids [27, 6], zeros where deleted, as a `trimesh.Scene` of coloured boxes.

    Raises:
        ImportError: the extra `shapes` is missing.
    """
    trimesh = require("trimesh", "shapes")
    found = trimesh.Scene()
    for k, points in enumerate(corners(cuboids)):
        if cuboids[k].any():
            box = trimesh.Trimesh(points, _FACES, process=False)
            box.visual.face_colors = np.append(PALETTE[k], 255).astype(np.uint8)
            found.add_geometry(box, node_name=f"cuboid {k}", geom_name=f"cuboid {k}")
    return found
