"""Furnished rooms as objects in metres, one by one: for pictures, files and physics."""

from dataclasses import dataclass

import numpy as np

from genenvs.rooms import models
from genenvs.rooms.catalogue import CATALOGUE, CELL, FLOOR, HUNG, NAMES
from genenvs.rooms.furnished import Furnished, bounds


@dataclass(frozen=True)
class Item:
    """One thing of one room.

    Attributes:
        name: its type and number: `chair 2`.
        kind: number of its type.
        turn: direction that its front faces: 0 .. 3 for +x, +y, -x, -y.
        cell: lowest cell, x and y.
        width: metres, and `depth`, `height`.
        low: lowest corner in metres.
        high: highest corner.
        hung: whether it hangs on a wall.
        standing: whether it stands on the floor.
    """

    name: str
    kind: int
    turn: int
    cell: tuple[int, int]
    width: float
    depth: float
    height: float
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    hung: bool
    standing: bool

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the model, see `models`, in the room."""
        return models.to_room(points, *self.cell, self.low[2], self.turn, self.width, self.depth)

    @property
    def mass(self) -> float:
        """Kilograms."""
        return CATALOGUE[self.kind].density * self.width * self.depth * self.height


def items(room: Furnished, index: int = 0) -> list[Item]:
    """What stands in one room, in the order of placing."""
    low, high = (side[index].cpu().numpy() for side in bounds(room.requests, room.now))
    sizes = [field[index].tolist() for field in room.requests[2:]]
    found, counts = [], dict.fromkeys(range(len(NAMES)), 0)
    for k, (kind, x, y, turn) in enumerate(room.now.items[index].tolist()):
        if kind < 0:
            continue
        counts[kind] += 1
        width, depth, height = (size[kind] for size in sizes)
        layer = CATALOGUE[kind].layer
        found.append(
            Item(
                name=f"{NAMES[kind]} {counts[kind]}",
                kind=kind,
                turn=turn,
                cell=(x, y),
                width=width * CELL,
                depth=depth * CELL,
                height=height / 100,
                low=tuple(low[k].tolist()),
                high=tuple(high[k].tolist()),
                hung=layer == HUNG,
                standing=layer == FLOOR,
            )
        )
    return found
