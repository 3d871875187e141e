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
_PIXELS = 2**18  # candidates of triangle and pixel at a time: they stay in the cache
_LARGE = 2**10  # pixels of a triangle
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
    """Which triangle each pixel sees first (-1: none) and how far away: [size^2] each.

    Of two at one depth the later. Large triangles are looked at one by one, in the window that each
    covers, which spares them lists of their pixels; small ones together.
    """
    seen, depth = np.full((size, size), -1), np.full((size, size), np.inf)
    low = np.clip(np.floor(corners[..., :2].min(1) - 0.5), 0, size).astype(np.int64)
    high = np.clip(np.ceil(corners[..., :2].max(1) + 0.5), 0, size).astype(np.int64)
    spans = np.maximum(high - low, 0)
    pixels = spans.prod(1)
    plane, there = _planes(corners)
    small = np.flatnonzero(there & (pixels > 0) & (pixels <= _LARGE))
    block = np.cumsum(pixels[small]) // _PIXELS
    for part in np.split(small, np.flatnonzero(np.diff(block)) + 1):
        counts = pixels[part]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        width = np.repeat(spans[part, 0], counts)
        y = np.repeat(low[part, 1], counts) + place // width
        x = np.repeat(low[part, 0], counts) + place % width
        inside, z = _depths(np.repeat(plane[:, part], counts, 1), x + 0.5, y + 0.5)
        inside &= z <= depth[y, x]
        pixel, z, which = (y * size + x)[inside], z[inside], np.repeat(part, counts)[inside]
        np.minimum.at(depth.reshape(-1), pixel, z)
        nearest = z == depth.reshape(-1)[pixel]
        seen.reshape(-1)[pixel[nearest]] = which[nearest]
    for which in np.flatnonzero(there & (pixels > _LARGE)):
        (left, top), (right, bottom) = low[which], high[which]
        window = slice(top, bottom), slice(left, right)
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
        inside, z = _depths(plane[:, which], x, y[:, None])
        behind = seen[window] < which  # of small ones a later may stand here already
        inside &= (z < depth[window]) | ((z == depth[window]) & behind)
        np.copyto(depth[window], z, where=inside)
        np.copyto(seen[window], which, where=inside)
    return seen.ravel(), depth.ravel()


def _planes(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `_depths` asks for of triangles [F, 3, 3]: [10, F], and which are not seen edge-on."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (corners[:, k].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    sides = [bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az]
    return np.stack([ax, ay, az, *sides, area]), np.abs(area) >= 1e-9


def _depths(plane: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which points (x, y) lie in their triangle, and the depth there."""
    ax, ay, az, bx, by, bz, cx, cy, cz, area = plane
    x, y = x - ax, y - ay
    u = (x * cy - cx * y) / area
    v = (bx * y - x * by) / area
    return (u >= 0) & (v >= 0) & (u + v <= 1), az + u * bz + v * cz


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
