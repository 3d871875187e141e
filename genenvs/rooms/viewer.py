"""Pictures of rooms: from above, and at an angle with the walls behind."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genenvs.geometry.packed import unpack
from genenvs.images.sheets import sheet
from genenvs.images.solids import Solid
from genenvs.images.solids import picture as draw
from genenvs.rooms.catalogue import CATALOGUE, CELL, SIDE, WALL
from genenvs.rooms.furnished import Furnished
from genenvs.rooms.furniture import Model
from genenvs.rooms.models import box, parts
from genenvs.rooms.scenes import Item, items

PANEL = 300  # pixels
_FLOOR, _DOOR, _OUTSIDE = (232, 218, 194), (242, 190, 148), (246, 246, 243)
_WALL, _GLASS, _LEAF = (255, 253, 246), (168, 216, 255), (196, 148, 108)
_AZIMUTH, _ELEVATION = -58.0, 42.0
_BEHIND = (0, 3)  # walls that face the camera


def picture(room: Furnished, caption: str, models: Mapping[int, Model] | None = None) -> np.ndarray:
    """One room (N = 1) from above and at an angle: uint8 [H, W, 3].

    Args:
        room: what to show.
        caption: one line below.
        models: the user's own furniture by type.
    """
    inside, strips, glass = grids(room)
    cells = np.argwhere(inside)
    low, high = cells.min(0) * CELL, (cells.max(0) + 1) * CELL
    things = solids(room, models or {})

    def ground(points: np.ndarray) -> np.ndarray:
        at = np.floor(points / CELL).astype(int)
        there: Any = ((at >= 0) & (at < SIDE)).all(1)
        x, y = np.where(there[:, None], at, 0).T
        colours = np.where((there & inside[x, y])[:, None], _FLOOR, _OUTSIDE)
        # Boards of 40 cm.
        seam = (there & inside[x, y])[:, None] & (np.mod(points[:, 1:], 0.4) < 0.012)
        colours = np.where(seam, np.array(_FLOOR) * 0.94, colours)
        return np.where((there & strips[x, y] & inside[x, y])[:, None], _DOOR, colours)

    side = float((high - low).max()) / 2 + 0.25
    middle = (low + high) / 2
    above = draw(
        [*things, walls(room, inside, glass, range(4), 0.08)], PANEL,
        low=(*(middle - side * 0.72), 0.0), high=(*(middle + side * 0.72), 0.01),
        azimuth=-90.0, elevation=89.99, ground=ground,
    )  # fmt: skip
    tilted = draw(
        [*things, walls(room, inside, glass, _BEHIND, WALL)], PANEL,
        low=(*(low - 0.1), 0.0), high=(*(high + 0.1), WALL * 0.7),
        azimuth=_AZIMUTH, elevation=_ELEVATION, ground=ground,
    )  # fmt: skip
    return sheet([("from above", above), ("at an angle", tilted)], caption)


def grids(room: Furnished) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Floor, strips of doors: bool [64, 64]; windows by wall: bool [4, 64, 64]."""
    plans = room.plans
    return (
        room.inside[0].cpu().numpy(),
        unpack(plans.strips)[0].cpu().numpy(),
        unpack(plans.glass)[0].cpu().numpy(),
    )


def solids(room: Furnished, models: Mapping[int, Model]) -> list[Solid]:
    """What stands in a room (N = 1)."""
    return [solid(item, models) for item in items(room)]


def solid(item: Item, models: Mapping[int, Model]) -> Solid:
    """One thing where it stands."""
    if item.kind in models:
        return Solid(item.place(models[item.kind].triangles), CATALOGUE[item.kind].colour)
    made = parts(item.kind, item.width, item.depth, item.height)
    triangles = np.concatenate([item.place(box(low, high)) for low, high, _ in made])
    colour = np.repeat([c for *_, c in made], 12, 0)
    return Solid(triangles, colour, np.repeat(np.arange(len(made)), 12))


def walls(
    room: Furnished, inside: np.ndarray, glass: np.ndarray, directions: Any, tall: float
) -> Solid:
    """Walls that face some directions as one solid; doors and windows in their colours."""
    doors = np.zeros((4, SIDE, SIDE), bool)
    for x, y, r, width, _ in room.plans.doors[0].tolist():
        sideways = r % 2 == 1
        doors[r, x : x + (width if sideways else 1), y : y + (1 if sideways else width)] |= (
            width > 0
        )
    panes, colours = [], []
    steps = ((-1, 0), (0, -1), (1, 0), (0, 1))
    padded = np.pad(inside, 1)
    for r in directions:
        dx, dy = steps[r]
        behind = padded[1 + dx : 1 + dx + SIDE, 1 + dy : 1 + dy + SIDE]
        for x, y in np.argwhere(inside & ~behind):
            at = np.array([x + (r == 2), y + (r == 3)]) * CELL
            along = np.array([0.0, CELL]) if r % 2 == 0 else np.array([CELL, 0.0])
            bands: list[tuple[float, float, tuple[int, int, int]]] = [(0, tall, _WALL)]
            if doors[r, x, y]:
                bands = [(0, min(2.0, tall), _LEAF), (2.0, tall, _WALL)]
            elif glass[r, x, y]:
                bands = [(0, min(0.8, tall), _WALL if tall > 1 else _GLASS),
                         (0.8, 2.1, _GLASS), (2.1, tall, _WALL)]  # fmt: skip
            for low, high, colour in bands:
                if high > low:
                    a, b = (*at, low), (*(at + along), low)
                    c, d = (*(at + along), high), (*at, high)
                    panes += [[a, b, c], [a, c, d]]
                    colours += [colour, colour]
    return Solid(np.array(panes, float).reshape(-1, 3, 3), np.array(colours))
