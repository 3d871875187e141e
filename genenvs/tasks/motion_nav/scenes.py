"""Where episodes take place: rooms with what stands in them, a start and a goal.

Grids are those of `genenvs.rooms.bits`: 64 x 64 cells of 10 cm in 64 words. The cell (i, j) spans
i .. i + 1 and j .. j + 1 tenths of a metre along x and y.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.geometry.packed import pack, popcount
from genenvs.rooms import bits, instances
from genenvs.rooms.catalogue import CELL, SIDE
from genenvs.rooms.furnish import furnish

NEAREST, FARTHEST = 1.5, 5.0  # metres from start to goal, straight
STEPS = 50  # of a way round what stands there, every other of which may be diagonal
BODY = 3  # cells: nothing blocked as near to start, goal and the way
MOST_ROOMS = 1_024
EACH = {"train": 2, "validation": 4, "test": 2}  # walks in every furnished room
BOXES = 8
NUMBER = {"train": 2_048, "validation": 512, "test": 1_024}  # of rooms with boxes
_CHOICES = 16  # goals of which the first is taken that something hides
_GAP = 8  # cells between boxes, and between a box and a wall that it does not touch
_ASIDE = 1.05  # radians: how far from the goal a walk may look at first
_SPLIT = random.word("motion nav")
_ROOM, _BOX, _ENDS = 1, 2, 3  # what a draw is for


class Scene(NamedTuple):
    """What N episodes ask for.

    Attributes:
        floor: int64 [N, 64], cells of the room.
        walkable: int64 [N, 64], those where nothing stands.
        start: float64 [N, 3], x, y and heading.
        goal: float64 [N, 2].
    """

    floor: Tensor
    walkable: Tensor
    start: Tensor
    goal: Tensor


@lru_cache(maxsize=16)
def load(rooms: str, split: str, device: str = "cpu") -> Scene:
    """The scenes of a split, those in which no straight way leads to the goal; once a process.

    Args:
        rooms: `furnished` or `boxes`.
        split: `train`, `validation` or `test`.
        device: where tensors live.
    """
    if rooms == "boxes":
        index = torch.arange(NUMBER[split])
        scene = boxes(random.mix(_SPLIT, random.word(split), index))
    else:
        scene = furnished(split)
    here, there = ((place / CELL).floor().long() for place in (scene.start[:, :2], scene.goal))
    good = in_the_way(scene.walkable, here, there[:, None])[:, 0] > 0
    return Scene(*(field[good].to(device) for field in scene))


def furnished(split: str) -> Scene:
    """The first rooms of RoomLayout's split as its greedy reference furnishes them."""
    rooms = instances.load(split)
    rooms = rooms.rows(torch.arange(min(MOST_ROOMS, len(rooms))))
    now, _ = furnish(rooms.plans, rooms.requests, rooms.key)
    walkable = rooms.plans.floor & ~now.taken
    again = torch.arange(EACH[split]).repeat_interleave(len(walkable))
    key = random.mix(rooms.key.repeat(EACH[split]), _SPLIT, again)
    floor, walkable = (x.repeat(EACH[split], 1) for x in (rooms.plans.floor, walkable))
    return Scene(floor, walkable, *ends(key, walkable))


def boxes(key: Tensor) -> Scene:
    """Rectangular rooms with up to eight boxes, drawn from int64 [N].

    Boxes touch a wall or keep 0.8 m from it, and from each other.
    """
    u = random.uniform(key, random.counter(0, _ROOM), 2)
    size = 40 + (u * 25).long()  # [B, 2] cells
    low = (SIDE - size) // 2
    floor = bits.rectangle(low[:, 0], low[:, 1], size[:, 0], size[:, 1])
    blocked = torch.zeros_like(floor)
    for k in range(BOXES):
        v = random.uniform(key, random.counter(k, _BOX), 4)
        side = 4 + (v[:, :2] * 13).long()
        at = low + (v[:, 2:] * (size - side + 1)).long()
        # Too near a wall to pass: pushed against it.
        at = torch.where(at - low < _GAP, low, at)
        at = torch.where(low + size - at - side < _GAP, low + size - side, at)
        box = bits.rectangle(at[:, 0], at[:, 1], side[:, 0], side[:, 1])
        room = side + 2 * _GAP
        around = bits.rectangle(at[:, 0] - _GAP, at[:, 1] - _GAP, room[:, 0], room[:, 1])
        fits = ((around & blocked) == 0).all(1, keepdim=True)
        blocked = blocked | torch.where(fits, box, 0)
    walkable = floor & ~blocked
    return Scene(floor, walkable, *ends(key, walkable))


def ends(key: Tensor, walkable: Tensor) -> tuple[Tensor, Tensor]:
    """A start with room for a body, and a goal that can be reached from it; both amid a cell.

    Of some such goals one is taken to which no straight way leads, if there is one.

    Args:
        key: int64 [N], what chances derive from.
        walkable: int64 [N, 64]; where nothing is as far from the start as a goal should be the
            goal is the start.

    Returns:
        `start` and `goal` of a `Scene`.
    """
    free = roomy(walkable)
    u = random.uniform(key, random.counter(0, _ENDS), 2)
    x, y = _any_of(free, u[:, 0])
    reached = bits.rectangle(x, y, torch.ones_like(x), torch.ones_like(x))
    for step in range(STEPS):
        reached = _spread(reached, diagonal=step % 2 == 1) & free
    cell = torch.arange(SIDE, device=x.device)
    far = (cell - x[:, None]).square()[..., None] + (cell - y[:, None]).square()[:, None]
    within = (far >= (NEAREST / CELL) ** 2) & (far <= (FARTHEST / CELL) ** 2)
    goals = reached & pack(within)
    v = random.uniform(key, random.counter(1, _ENDS), _CHOICES)
    there = torch.stack([torch.stack(_any_of(goals, chance), 1) for chance in v.unbind(1)], 1)
    here = torch.stack([x, y], 1)
    best = in_the_way(walkable, here, there).argmax(1)
    i, j = there[torch.arange(len(best), device=best.device), best].unbind(1)
    none = (goals == 0).all(1)
    i, j = torch.where(none, x, i), torch.where(none, y, j)
    start, goal = ((torch.stack(at, 1).double() + 0.5) * CELL for at in ((x, y), (i, j)))
    way = goal - start
    heading = torch.atan2(way[:, 1], way[:, 0]) + (2 * u[:, 1].double() - 1) * _ASIDE
    return torch.cat([start, heading[:, None]], 1), goal


def in_the_way(walkable: Tensor, here: Tensor, there: Tensor) -> Tensor:
    """What is on the straight way from a cell to others.

    Args:
        walkable: int64 [N, 64].
        here: int64 [N, 2].
        there: int64 [N, K, 2].

    Returns:
        int64 [N, K]: 0 nothing, 1 there is no room for a body, 2 something stands there.
    """
    share = torch.linspace(0, 1, STEPS, device=here.device)[:, None]
    start, end = ((cell.double() + 0.5) * CELL for cell in (here[:, None, None], there[:, :, None]))
    places = (start + share * (end - start)).flatten(1, 2)  # [N, K * 50, 2]
    shape = (*there.shape[:2], -1)
    stands, narrow = (
        ~look_up(cells, places).reshape(shape) for cells in (walkable, roomy(walkable))
    )
    return narrow.any(-1).long() + stands.any(-1)


def _any_of(cells: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    """One of the cells of each grid: [N, 64] and float [N] in [0, 1) -> x and y, int64 [N]."""
    count = popcount(cells).sum(1, dtype=torch.int64)
    return bits.nth(cells, (chance * count).long())


def _spread(cells: Tensor, *, diagonal: bool) -> Tensor:
    """Cells and their four neighbours, or their eight: by turns about as far each way."""
    one = torch.ones_like(cells[:, 0])
    up = cells | bits.shift_y(cells, one[:, None]) | bits.shift_y(cells, -one[:, None])
    base = up if diagonal else cells
    return up | bits.shift_x(base, one) | bits.shift_x(base, -one)


def roomy(walkable: Tensor) -> Tensor:
    """Cells with nothing blocked within `BODY` cells, a square: [B, 64] -> [B, 64]."""
    length = torch.full_like(walkable[:, 0], 2 * BODY + 1)
    inner = bits.erode(walkable, length, length)
    back = torch.full_like(length, -BODY)
    return bits.shift_y(bits.shift_x(inner, back), back[:, None])


def look_up(walkable: Tensor, places: Tensor) -> Tensor:
    """Whether places may be walked on: [B, 64] at float [B, N, 2] metres -> bool [B, N]."""
    x, y = (places / CELL).floor().long().unbind(-1)
    within = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    word = walkable.gather(1, x.clamp(0, SIDE - 1))
    return (word >> y.clamp(0, SIDE - 1) & 1).bool() & within
