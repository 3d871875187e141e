"""Shaded pictures of triangles, without OpenGL: a z-buffer in numpy.

Parallel projection from above, as in a catalogue; one lamp, its shadow on the floor, and a dark
line wherever the surface that is seen changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

PAPER = (246, 246, 243)
_SHADOW, _LINE = 0.86, 0.42  # factors
_LAMP = np.array([-0.45, -0.75, 1.35]) / np.linalg.norm([-0.45, -0.75, 1.35])
_PIXELS = 2**21  # candidates of triangle and pixel at a time
_FINE = 2  # samples a side of a pixel


@dataclass(frozen=True)
class Solid:
    """Triangles of one picture.

    Attributes:
        triangles: float [F, 3, 3], corners in world coordinates, z upwards.
        colour: [3] or [F, 3], RGB in 0 .. 255.
        surface: int [F], triangles of one number have no line between them where their normals
            agree; None: one number for all.
        smooth: the solid is round, so normals do not count.
    """

    triangles: np.ndarray
    colour: np.ndarray | Sequence[int]
    surface: np.ndarray | None = None
    smooth: bool = False


def cubes(cells: np.ndarray, colour: np.ndarray | Sequence[int], scale: float = 1.0) -> Solid:
    """Voxels as a solid of their outer faces.

    Args:
        cells: bool [X, Y, Z].
        colour: [3], or [X, Y, Z, 3] for a colour of each voxel.
        scale: length of a voxel's side.
    """
    padded = np.pad(cells, 1)
    tint = np.asarray(colour)
    corners, tints, marks = [], [], []
    for axis in range(3):
        for side in (0, 1):
            beyond = np.roll(padded, 1 - 2 * side, axis)[1:-1, 1:-1, 1:-1]
            at = np.argwhere(cells & ~beyond)
            u, v = [k for k in range(3) if k != axis]
            quad = np.repeat(at[:, None].astype(float), 4, 1)
            quad[..., axis] += side
            quad[:, (1, 2), u] += 1
            quad[:, (2, 3), v] += 1
            # u x v is the axis, but -y for y: turned so that faces look outwards.
            corners.append(quad if side != (axis == 1) else quad[:, ::-1])
            tints.append(tint[tuple(at.T)] if tint.ndim == 4 else np.tile(tint, (len(at), 1)))
            marks.append(np.ravel_multi_index(tuple(at.T), cells.shape))
    quads = np.concatenate(corners) * scale
    triangles = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3, 3)
    tint = np.repeat(np.concatenate(tints), 2, 0)
    return Solid(triangles, tint, np.repeat(np.concatenate(marks), 2))


def picture(
    solids: Sequence[Solid],
    size: int = 300,
    *,
    low: Sequence[float] = (0.0, 0.0, 0.0),
    high: Sequence[float] = (1.0, 1.0, 1.0),
    azimuth: float = -55.0,
    elevation: float = 26.0,
    ground: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """A shaded picture.

    Args:
        solids: what is seen; may be empty.
        size: pixels a side.
        low: lowest corner of the box that fills the picture, so that pictures of one scene match.
        high: its highest corner; its bottom is the floor.
        azimuth: degrees, from which side the camera looks; 0: from +x, -90: from -y.
        elevation: degrees above the horizon.
        ground: the floor's colours: of places float [N, 2], x and y, gives RGB [N, 3]. Painted
            behind everything and under the shadow; none where it is seen from its edge or below.

    Returns:
        uint8 [size, size, 3].
    """
    fine = size * _FINE
    lowest, highest = np.asarray(low, float), np.asarray(high, float)
    view = _camera(azimuth, elevation)
    centre = (lowest + highest) / 2
    scale = 0.96 * fine / np.linalg.norm(highest - lowest)

    def project(points: np.ndarray) -> np.ndarray:
        local = (points - centre) @ view.T
        right, up, near = np.moveaxis(local, -1, 0)
        return np.stack([fine / 2 + right * scale, fine / 2 - up * scale, -near * scale], -1)

    image = np.full((fine * fine, 3), PAPER, np.float32)
    if ground is not None and view[2, 2] > 1e-3:
        ticks = (np.arange(fine) + 0.5 - fine / 2) / scale
        up, right = np.meshgrid(-ticks, ticks, indexing="ij")
        plane = centre + right.reshape(-1, 1) * view[0] + up.reshape(-1, 1) * view[1]
        fall = (plane[:, 2:] - lowest[2]) / view[2, 2]  # along the line of sight
        image[:] = ground((plane - fall * view[2])[:, :2])
    solids = [s for s in solids if len(s.triangles)]
    if solids:
        triangles = np.concatenate([s.triangles for s in solids]).astype(np.float64)
        fall = (triangles[..., 2:] - lowest[2]) / _LAMP[2]
        shadow, _ = _nearest(project(triangles - fall * _LAMP), fine)
        image[shadow >= 0] *= _SHADOW
        normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        towards = np.sign(normal @ view[2])[:, None]  # both sides of a face are seen alike
        normal = normal * np.where(towards == 0, 1, towards)
        light = 0.52 + 0.48 * np.clip(normal @ _LAMP, 0, 1) + 0.1 * np.clip(normal @ view[0], -1, 0)
        tint = np.concatenate([np.broadcast_to(s.colour, (len(s.triangles), 3)) for s in solids])
        seen, depth = _nearest(project(triangles), fine)
        hit = seen >= 0
        image[hit] = (tint * light[:, None])[seen[hit]]
        edge = _edges(seen, depth, _marks(solids, normal), fine)
        image[edge] *= _LINE
    small = image.reshape(size, _FINE, size, _FINE, 3).mean((1, 3))
    return small.clip(0, 255).round().astype(np.uint8)


def _camera(azimuth: float, elevation: float) -> np.ndarray:
    """Right, up and backwards as rows."""
    a, e = np.radians([azimuth, elevation])
    back = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(back, right), back])


def _marks(solids: Sequence[Solid], normal: np.ndarray) -> np.ndarray:
    """A number for every triangle that differs where a line belongs."""
    facing = (normal * 50).round().astype(np.int64) @ np.array([1, 101, 101**2])
    marks, start = [], 0
    for k, solid in enumerate(solids):
        surface = 0 if solid.surface is None else np.asarray(solid.surface, np.int64)
        here = slice(start, start := start + len(solid.triangles))
        turned = 0 if solid.smooth else facing[here]
        marks.append(np.broadcast_to((turned * 64 + k) * 2**24 + surface, len(solid.triangles)))
    return np.concatenate(marks)


def _nearest(corners: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which triangle each pixel sees first (-1: none) and how far away: [size^2] each."""
    seen, depth = np.full(size * size, -1), np.full(size * size, np.inf)
    low = np.clip(np.floor(corners[..., :2].min(1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.ceil(corners[..., :2].max(1) + 0.5), 0, size).astype(np.int64)
    width, height = (high - low).T
    counts = np.maximum(width, 0) * np.maximum(height, 0)
    block = np.cumsum(counts) // _PIXELS
    for part in np.split(np.arange(len(corners)), np.flatnonzero(np.diff(block)) + 1):
        which = np.repeat(part, counts[part])
        place = np.arange(len(which)) - np.repeat(
            np.cumsum(counts[part]) - counts[part], counts[part]
        )
        x = low[which, 0] + place % width[which]
        y = low[which, 1] + place // width[which]
        inside, z = _depths(corners[which], x + 0.5, y + 0.5)
        pixel, which, z = (y * size + x)[inside], which[inside], z[inside]
        order = np.argsort(-z, kind="stable")  # the nearest is written last
        pixel, which, z = pixel[order], which[order], z[order]
        first = np.full(size * size, -1)
        first[pixel] = np.arange(len(pixel))
        at = np.flatnonzero(first >= 0)
        nearer = at[z[first[at]] < depth[at]]
        seen[nearer], depth[nearer] = which[first[nearer]], z[first[nearer]]
    return seen, depth


def _depths(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which points (x, y) lie in their triangle, and the depth there."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (corners[:, k].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    safe = np.where(np.abs(area) < 1e-9, 1, area)
    u = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / safe
    v = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / safe
    inside = (np.abs(area) >= 1e-9) & (u >= 0) & (v >= 0) & (u + v <= 1)
    return inside, az + u * (bz - az) + v * (cz - az)


def _edges(seen: np.ndarray, depth: np.ndarray, marks: np.ndarray, size: int) -> np.ndarray:
    """Pixels where what is seen changes, on the nearer side: bool [size^2]."""
    mark = np.where(seen >= 0, marks[seen], -1).reshape(size, size)
    far = depth.reshape(size, size)
    edge = np.zeros((size, size), bool)
    for axis in (0, 1):
        one = tuple(slice(None, -1) if k == axis else slice(None) for k in (0, 1))
        two = tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))
        differs = mark[one] != mark[two]
        edge[one] |= differs & (far[one] <= far[two])
        edge[two] |= differs & (far[two] < far[one])
    return edge.ravel()
