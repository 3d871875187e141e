"""What furniture looks like: a few boxes of each type, or the user's own mesh.

A model stands on the origin: its width along x from 0, its back at y = 0, its front towards +y, z
up, in metres; turned by `to_room` into the frame of a room.
"""

import numpy as np

from genenvs.rooms.catalogue import CATALOGUE, CELL, NAMES

Part = tuple[tuple[float, ...], tuple[float, ...], tuple[int, int, int]]
_CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
# Two triangles a side, seen from outside counter-clockwise; corners as above.
_FACES = np.array([
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
])  # fmt: skip


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, round(factor * c)) for c in colour)
    return red, green, blue


def _legs(w: float, d: float, top: float, thick: float, c: tuple[int, int, int]) -> list[Part]:
    return [
        ((x, y, 0), (x + thick, y + thick, top), c) for x in (0, w - thick) for y in (0, d - thick)
    ]


def parts(kind: int, w: float, d: float, h: float) -> list[Part]:
    """Boxes of a model: lowest corner, highest corner, RGB; all inside (0, 0, 0) .. (w, d, h)."""
    name, c = NAMES[kind], CATALOGUE[kind].colour
    dark, light = _shade(c, 0.72), _shade(c, 1.16)
    whole: Part = ((0, 0, 0), (w, d, h), c)
    if name == "bed":
        low, white = 0.7 * h, (244, 243, 238)
        pillow = (0.08 * w, 0.1, low), (0.92 * w, 0.48, 0.9 * h), white
        return [((0, 0, 0), (w, 0.05, h), dark), ((0, 0.05, 0), (w, d, 0.45 * h), dark),
                ((0.02, 0.05, 0.45 * h), (w - 0.02, d - 0.02, low), white),
                ((0.01, 0.62, low), (w - 0.01, d - 0.01, 0.78 * h), c), pillow]  # fmt: skip
    if name in ("sofa", "armchair"):
        arm, seat = 0.16, 0.5 * h
        return [((0, 0, 0), (w, 0.22, h), dark), ((0, 0.22, 0), (arm, d, 0.7 * h), dark),
                ((w - arm, 0.22, 0), (w, d, 0.7 * h), dark),
                ((arm, 0.22, 0), (w - arm, d, seat), c)]  # fmt: skip
    if name in ("table", "desk", "coffee table"):
        board = ((0.0, 0.0, h - 0.04), (w, d, h), c)
        return [board, *_legs(w, d, h - 0.04, 0.06, dark)]
    if name == "chair":
        seat = 0.52 * h
        return [((0, 0, seat - 0.04), (w, d, seat), c), ((0, 0, seat), (w, 0.05, h), dark),
                *_legs(w, d, seat - 0.04, 0.05, dark)]  # fmt: skip
    if name in ("wardrobe", "dresser", "nightstand", "tv stand"):
        count = 2 if name == "wardrobe" else 3 if name == "dresser" else 1
        across = name == "wardrobe"
        fronts: list[Part] = []
        for k in range(count):
            a, b = k / count, (k + 1) / count
            left, right = (a * w + 0.01, b * w - 0.01) if across else (0.01, w - 0.01)
            below, above = (0.04, h - 0.02) if across else (a * h + 0.02, b * h - 0.02)
            fronts.append(((left, d - 0.02, below), (right, d, above), light))
        return [((0, 0, 0), (w, d - 0.02, h), c), *fronts]
    if name == "bookshelf":
        shelves = [((0.02, 0.02, k * h / 5), (w - 0.02, d, k * h / 5 + 0.03), c) for k in range(5)]
        sides = [((x, 0.0, 0.0), (x + 0.02, d, h), c) for x in (0.0, w - 0.02)]
        hues = ((176, 84, 74), (92, 128, 156), (206, 176, 104), (112, 140, 104), (150, 110, 140))
        books = []
        for k in range(5):
            low, stop = k * h / 5 + 0.03, 0.35 + 0.5 * ((k * 37) % 10) / 10
            for b in range(4):
                x = 0.04 + b * stop * (w - 0.08) / 4
                books.append(((x, 0.04, low), (x + stop * (w - 0.08) / 4 - 0.01, d - 0.06,
                              low + 0.11 * h), hues[(k + b) % 5]))  # fmt: skip
        back = ((0.0, 0.0, 0.0), (w, 0.02, h), dark)
        return [back, *sides, *shelves, ((0.0, 0.0, h - 0.02), (w, d, h), c), *books]
    if name == "plant":
        pot = 0.3 * h
        return [((0.25 * w, 0.25 * d, 0), (0.75 * w, 0.75 * d, pot), (186, 120, 92)),
                ((0.45 * w, 0.45 * d, pot), (0.55 * w, 0.55 * d, 0.6 * h), (120, 96, 70)),
                ((0.05 * w, 0.1 * d, 0.42 * h), (0.95 * w, 0.9 * d, 0.8 * h), c),
                ((0.2 * w, 0.2 * d, 0.8 * h), (0.8 * w, 0.8 * d, h), light)]  # fmt: skip
    if name == "tv":
        return [
            ((0.3 * w, 0.02, 0), (0.7 * w, d - 0.02, 0.06), dark),
            ((0, 0.06, 0.06), (w, d - 0.06, h), c),
            ((0.02, d - 0.06, 0.09), (w - 0.02, d - 0.05, h - 0.03), (88, 104, 128)),
        ]
    if name == "lamp":
        return [((0.3 * w, 0.3 * d, 0), (0.7 * w, 0.7 * d, 0.06), (150, 146, 140)),
                ((0.45 * w, 0.45 * d, 0.06), (0.55 * w, 0.55 * d, 0.5 * h), (150, 146, 140)),
                ((0.05 * w, 0.05 * d, 0.5 * h), (0.95 * w, 0.95 * d, h), c)]  # fmt: skip
    if name == "picture":
        return [((0, 0, 0), (w, 0.03, h), (92, 72, 58)),
                ((0.04, 0.03, 0.04), (w - 0.04, 0.035, h - 0.04), c)]  # fmt: skip
    return [whole]


def box(low: tuple[float, ...], high: tuple[float, ...]) -> np.ndarray:
    """The triangles of a box: float64 [12, 3, 3]."""
    corners = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * _CORNERS
    return corners[_FACES]


def to_room(
    points: np.ndarray, x: int, y: int, z: float, turn: int, w: float, d: float
) -> np.ndarray:
    """Turn and move points of a model into its room.

    Args:
        points: float [..., 3] of the model.
        x: lowest cell, and `y`.
        z: what it stands on, in metres.
        turn: the direction that its front faces: +x, +y, -x, -y.
        w: width in metres, and `d`, depth.
    """
    u, v, up = np.moveaxis(points, -1, 0)
    along = {0: (v, w - u), 1: (u, v), 2: (d - v, u), 3: (w - u, d - v)}[turn]
    return np.stack([x * CELL + along[0], y * CELL + along[1], z + up], -1)
