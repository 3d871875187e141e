"""Plain numpy and Python, one loop after the other, for the tests beside this one."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from itertools import combinations, product

import numpy as np


def iou(first: np.ndarray, second: np.ndarray) -> float:
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 1.0


def union(cuboids: np.ndarray, size: int) -> np.ndarray:
    """Cuboids [K, 6] -> bool [size, size, size]."""
    grid = np.zeros((size, size, size), bool)
    for x0, y0, z0, x1, y1, z1 in cuboids:
        grid[max(x0, 0) : max(x1, 0), max(y0, 0) : max(y1, 0), max(z0, 0) : max(z1, 0)] = True
    return grid


def offsets(neighbours: int) -> list[tuple[int, int, int]]:
    near = {6: 1, 26: 3}[neighbours]
    return [d for d in product((-1, 0, 1), repeat=3) if 0 < sum(map(abs, d)) <= near]


def grow(grid: np.ndarray) -> np.ndarray:
    """Each voxel of the result looks at its six neighbours."""
    padded = np.pad(grid, 1)
    found = np.zeros_like(grid)
    for at in np.ndindex(*grid.shape):
        x, y, z = (i + 1 for i in at)
        found[at] = padded[x, y, z] or any(
            padded[x + i, y + j, z + k] for i, j, k in offsets(6)
        )  # fmt: skip
    return found


def shrink(grid: np.ndarray) -> np.ndarray:
    padded = np.pad(grid, 1)
    found = np.zeros_like(grid)
    for at in np.ndindex(*grid.shape):
        x, y, z = (i + 1 for i in at)
        found[at] = padded[x, y, z] and all(
            padded[x + i, y + j, z + k] for i, j, k in offsets(6)
        )  # fmt: skip
    return found


def components(grid: np.ndarray, neighbours: int) -> tuple[np.ndarray, int]:
    """Labels by flooding from each voxel that has none yet."""
    label = np.zeros(grid.shape, np.int64)
    count = 0
    for start in np.ndindex(*grid.shape):
        if not grid[start] or label[start]:
            continue
        count += 1
        label[start] = count
        queue = deque([start])
        while queue:
            at = queue.popleft()
            for step in offsets(neighbours):
                to = tuple(a + b for a, b in zip(at, step, strict=True))
                within = all(0 <= i < n for i, n in zip(to, grid.shape, strict=True))
                if within and grid[to] and not label[to]:
                    label[to] = count
                    queue.append(to)
    return label, count


def first_hit(
    origin: np.ndarray,
    direction: np.ndarray,
    centre: np.ndarray,
    half: np.ndarray,
    axes: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Depth and normal of one ray on boxes [K, ...], by the six planes of each in float64."""
    best, normal = np.inf, np.zeros(3)
    for c, h, turn in zip(centre, half, axes, strict=True):
        if not (h > 0).all():
            continue
        start, way = turn.T @ (origin - c), turn.T @ direction
        if (abs(start) < h).all():
            return 0.0, np.full(3, np.nan)
        for axis, side in product(range(3), (-1, 1)):
            if way[axis] * side >= 0:  # from behind
                continue
            t = (side * h[axis] - start[axis]) / way[axis]
            at = start + t * way
            others = [i for i in range(3) if i != axis]
            if t > 0 and t < best and all(abs(at[i]) <= h[i] for i in others):
                best, normal = t, turn[:, axis] * side
    return best, normal


def edges(faces: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Faces of every edge."""
    found: dict[tuple[int, int], list[int]] = {}
    for k, face in enumerate(faces):
        if (face < 0).any():
            continue
        for a, b in zip(face, np.roll(face, -1), strict=True):
            found.setdefault((min(a, b), max(a, b)), []).append(k)
    return found


def face_components(faces: np.ndarray) -> list[int]:
    """Labels of faces joined by edges of two, by flooding."""
    near: dict[int, set[int]] = {k: set() for k in range(len(faces))}
    for pair in edges(faces).values():
        if len(pair) == 2:
            near[pair[0]].add(pair[1])
            near[pair[1]].add(pair[0])
    label = [0] * len(faces)
    for start in range(len(faces)):
        if label[start] or (faces[start] < 0).any():
            continue
        label[start] = number = max(label) + 1
        stack = [start]
        while stack:
            for other in near[stack.pop()]:
                if not label[other]:
                    label[other] = number
                    stack.append(other)
    return label


def nearest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([min(float(np.linalg.norm(p - q)) for q in second) for p in first])


def solid_angle(triangles: np.ndarray, point: np.ndarray) -> float:
    """What triangles [F, 3, 3] cover of the view from a point: 4 pi inside, 0 outside."""
    a, b, c = np.moveaxis(triangles - point, 1, 0)
    la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
    below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return float(2 * np.arctan2((a * np.cross(b, c)).sum(1), below).sum())


def cross(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the interiors of two triangles of whole numbers meet along a segment, exactly."""
    a, b = ([[Fraction(int(x)) for x in corner] for corner in t] for t in (first, second))
    up, over = normal(a), normal(b)
    if not any(cross_product(up, over)):
        return False  # one plane, parallel ones, or a triangle without area
    height = [dot(over, minus(corner, b[0])) for corner in a]
    if not min(height) < 0 < max(height):
        return False
    ends = []  # of the segment in which the first triangle meets the other's plane
    for k in range(3):
        here, there = height[k], height[k - 1]
        if here == 0:
            ends.append(a[k])
        elif here * there < 0:
            share = here / (here - there)
            ends.append([p + share * (q - p) for p, q in zip(a[k], a[k - 1], strict=True)])
    start, end = ends
    low, high = Fraction(0), Fraction(1)
    for k in range(3):  # cut it with the inner side of each edge of the other
        inwards = cross_product(over, minus(b[(k + 1) % 3], b[k]))
        at, change = dot(inwards, minus(start, b[k])), dot(inwards, minus(end, start))
        if change == 0:
            if at <= 0:
                return False
        elif change > 0:
            low = max(low, -at / change)
        else:
            high = min(high, -at / change)
    return low < high


def crossing_pairs(vertices: np.ndarray, faces: np.ndarray) -> list[tuple[int, int]]:
    """Of all pairs of faces without a common vertex those that cross."""
    whole = [k for k, face in enumerate(faces) if (face >= 0).all()]
    return [
        (i, j)
        for i, j in combinations(whole, 2)
        if not set(faces[i]) & set(faces[j]) and cross(vertices[faces[i]], vertices[faces[j]])
    ]


def minus(a: list, b: list) -> list:
    return [x - y for x, y in zip(a, b, strict=True)]


def dot(a: list, b: list) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def cross_product(a: list, b: list) -> list:
    return [a[k - 2] * b[k - 1] - a[k - 1] * b[k - 2] for k in range(3)]


def normal(triangle: list) -> list:
    a, b, c = triangle
    return cross_product(minus(b, a), minus(c, a))
