"""Finished rooms in a physics engine: what drifts, tips over, or overlaps."""

import numpy as np
import torch
from torch import Tensor

from genenvs.rooms.catalogue import CELL, WALL
from genenvs.rooms.furnished import Furnished
from genenvs.rooms.furniture import Models
from genenvs.rooms.scenes import Item, items
from genenvs.rooms.viewer import grids
from genenvs.simulators.engine import Body, settle_all

GAP = 0.002  # metres between things that stand flush, so that rounding does not push them apart
TIPPED = np.radians(15)
_THICK = 0.1  # metres, walls
_STEPS = ((-1, 0), (0, -1), (1, 0), (0, 1))


def settle(
    room: Furnished, models: Models, engine: str, processes: int | None = None
) -> dict[str, Tensor]:
    """Settle N rooms for a second each.

    Args:
        room: the rooms.
        models: the user's own furniture.
        engine: `mujoco` or `pybullet`.
        processes: see `genenvs.simulators.engine.settle_all`.

    Returns:
        float32 [N] each, see `rewards.PHYSICS`, under names that end in the engine's.
    """
    scenes = [bodies(room, models, k) for k in range(len(room.now.number))]
    found = settle_all(scenes, engine, processes=processes)
    values = {
        "drift": [1000 * float(s.drift.mean()) if len(s.drift) else 0.0 for s in found],
        "tipped": [float((s.tilt > TIPPED).mean()) if len(s.tilt) else 0.0 for s in found],
        "penetration": [1000 * s.penetration for s in found],
    }
    device = room.now.number.device
    return {f"{name}_{engine}": torch.tensor(v, device=device) for name, v in values.items()}


def bodies(room: Furnished, models: Models, index: int = 0) -> list[Body]:
    """A room as rigid bodies: things, then walls. What hangs on a wall is fixed to it."""
    found = [_body(item, models) for item in items(room, index)]
    return found + walls(room, index)


def _body(item: Item, models: Models) -> Body:
    low, high = np.array(item.low), np.array(item.high)
    hull = None
    if item.kind in models:
        points = item.place(models[item.kind].triangles).reshape(-1, 3)
        low, high = points.min(0), points.max(0)
        points = np.unique(points.round(6), axis=0)
        hull = _few(points) - (low + high) / 2
    else:  # the whole of its cells, less the gap; its foot stays where it is
        gap = np.array([GAP / 2, GAP / 2, 0.0])
        low, high = low + gap, high - gap
    return Body(
        name=item.name,
        centre=tuple(((low + high) / 2).tolist()),
        half=tuple(((high - low) / 2).tolist()),
        mass=0.0 if item.hung else item.mass,
        hull=None if hull is None else hull * (1 - GAP),
    )


def _few(points: np.ndarray, count: int = 64) -> np.ndarray:
    """The outermost of many points in directions all around: at most `count`, for a convex hull."""
    if len(points) <= count:
        return points
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k  # a spiral on the sphere
    radius = np.sqrt(1 - z * z)
    towards = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    return points[np.unique((points @ np.concatenate([towards, axes]).T).argmax(0))]


def walls(room: Furnished, index: int) -> list[Body]:
    """The walls, doors closed, a body for every straight piece."""
    inside, _, _ = grids(room.rows(torch.tensor([index])))
    padded = np.pad(inside, 1)
    found: list[Body] = []
    for r, (dx, dy) in enumerate(_STEPS):
        behind = padded[1 + dx :, 1 + dy :][: len(inside), : len(inside)]
        edge = inside & ~behind
        lines = edge if r % 2 == 0 else edge.T  # rows that run along the wall
        for line in np.flatnonzero(lines.any(1)):
            for first, stop in _runs(lines[line]):
                away = (line + (r >= 2)) * CELL + (_THICK / 2) * (1 if r >= 2 else -1)
                middle, half = (first + stop) * CELL / 2, (stop - first) * CELL / 2
                x, y = (middle, away) if r % 2 else (away, middle)
                a, b = (half, _THICK / 2) if r % 2 else (_THICK / 2, half)
                name = f"wall {len(found)}"
                found.append(Body(name, (x, y, WALL / 2), (a, b, WALL / 2), 0.0))
    return found


def _runs(cells: np.ndarray) -> list[tuple[int, int]]:
    """The stretches of set cells: first and last plus one."""
    steps = np.diff(np.pad(cells.astype(int), 1))
    return list(zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(),
                    strict=True))  # fmt: skip
