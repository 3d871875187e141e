"""Empty rooms: rectilinear outlines with doors and windows, drawn from a number."""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.geometry.packed import popcount
from genenvs.rooms import bits
from genenvs.rooms.catalogue import SIDE

DOORS, WINDOWS = 2, 3  # at most
STRIP = 9  # cells in front of a door that stay free
_LEAST, _MOST = 16, 32  # sides of the bounding box, in steps of 20 cm: 3.2 to 6.4 m
_NOTCH = 0.38  # of a side that a missing corner takes at most: two leave 0.6 m of passage
_OUTLINE, _DOORS, _WINDOWS = 1, 2, 3  # what a draw is for


class Plans(NamedTuple):
    """Empty rooms, N of them.

    Directions: 0 is +x, 1 +y, 2 -x, 3 -y. What stands on a wall is said to face away from it.

    Attributes:
        floor: int64 [N, 64], cells of the room, see `genenvs.rooms.bits`.
        walls: int64 [N, 4, 64], cells with a wall behind something that faces direction r there.
        glass: int64 [N, 4, 64], those of them whose wall is a window.
        strips: int64 [N, 64], cells in front of doors that have to stay free.
        doors: int64 [N, 2, 5]: lowest cell x and y, the direction it faces, width in cells, and 1
            where it hangs at its higher end, else 0; width 0 where there is none.
        windows: int64 [N, 3, 4]: x, y, direction and width.
    """

    floor: Tensor
    walls: Tensor
    glass: Tensor
    strips: Tensor
    doors: Tensor
    windows: Tensor

    def rows(self, index: Tensor) -> "Plans":
        """The rooms `index`."""
        return Plans(*(field[index] for field in self))

    def to(self, device: str | torch.device) -> "Plans":
        """On another device."""
        return Plans(*(field.to(device) for field in self))


def outlines(key: Tensor) -> Tensor:
    """Rectangles less up to two of their corners: int64 [N] -> floors int64 [N, 64].

    In the middle of the grid, on the lattice of 20 cm; between 3.2 and 6.4 m each way.
    """
    u = random.uniform(key, random.counter(0, _OUTLINE), 12)
    size = _LEAST + (u[:, :2] * (_MOST - _LEAST + 1)).long()  # [N, 2], in steps of 20 cm
    low = (_MOST - size) // 2
    zero = torch.zeros_like(low[:, 0])
    floor = bits.rectangle(2 * low[:, 0], 2 * low[:, 1], 2 * size[:, 0], 2 * size[:, 1])
    corners = random.permutation(key, random.counter(1, _OUTLINE), 4)
    for k, chance in enumerate((0.7, 0.35)):
        notch = 3 + (u[:, 3 + 3 * k : 5 + 3 * k] * (_NOTCH * size - 2)).long()
        notch = torch.where(u[:, 2 + 3 * k, None] < chance, notch, zero[:, None])
        at_high = torch.stack([corners[:, k] & 1, corners[:, k] >> 1], 1)
        at = low + at_high * (size - notch)
        floor = floor & ~bits.rectangle(
            2 * at[:, 0], 2 * at[:, 1], 2 * notch[:, 0], 2 * notch[:, 1]
        )
    return floor


def walls_of(floor: Tensor) -> Tensor:
    """Cells with a wall behind: floors int64 [N, 64] -> int64 [N, 4, 64], see `Plans.walls`."""
    one = torch.ones(len(floor), dtype=torch.int64, device=floor.device)
    behind = [
        bits.shift_x(floor, -one),
        bits.shift_y(floor, -one[:, None]),
        bits.shift_x(floor, one),
        bits.shift_y(floor, one[:, None]),
    ]
    return torch.stack([floor & ~there for there in behind], 1)


def along(x: Tensor, y: Tensor, direction: Tensor, width: Tensor, depth: int | Tensor) -> Tensor:
    """The rectangle in front of a piece of wall: int64 [...] each -> int64 [..., 64].

    Args:
        x: lowest cell at the wall.
        y: the same.
        direction: in which it faces.
        width: cells along the wall.
        depth: cells away from it.
    """
    depth = torch.as_tensor(depth, device=x.device).expand_as(x)
    sideways = direction % 2 == 1  # it faces along y: the wall runs along x
    first_x = torch.where(direction == 2, x - depth + 1, x)
    first_y = torch.where(direction == 3, y - depth + 1, y)
    return bits.rectangle(
        first_x, first_y, torch.where(sideways, width, depth), torch.where(sideways, depth, width)
    )


def _pick(free: Tensor, width: Tensor, chance: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A run of free wall: x, y, direction [N] and its width, 0 where there is none.

    Args:
        free: int64 [N, 4, 64], wall that can be taken.
        width: int64 [N], at most 32.
        chance: float32 [N] in [0, 1): which of the places.
    """
    per_wall = width[:, None].expand(-1, 2)
    places = free.clone()
    places[:, ::2] = bits.erode_y(free[:, ::2], per_wall)
    places[:, 1::2] = bits.erode_x(free[:, 1::2].contiguous(), per_wall)
    words = places.flatten(1)  # [N, 256]
    count = popcount(words).sum(1, dtype=torch.int64)
    word, y = bits.nth(words, (chance * count).long())
    return word % SIDE, y, word // SIDE, torch.where(count > 0, width, 0)


def draw(key: Tensor) -> Plans:
    """Rooms of keys int64 [N]; each has at least one door."""
    floor = outlines(key)
    u = random.uniform(key, random.counter(0, _DOORS), 4 * DOORS)
    v = random.uniform(key, random.counter(0, _WINDOWS), 3 * WINDOWS)
    free = walls_of(floor)
    doors, windows = [], []
    for k in range(DOORS):
        wanted = 8 + (3 * u[:, 4 * k]).long()
        x, y, r, width = _pick(free, wanted, u[:, 4 * k + 1])
        if k:
            width = torch.where(u[:, 4 * k + 2] < 0.25, width, 0)
        hinge = (u[:, 4 * k + 3] < 0.5).long()
        doors.append(torch.stack([x, y, r, width, hinge], 1))
        free = free & ~_on_wall(x, y, r, width)
    for k in range(WINDOWS):
        wanted = 8 + (13 * v[:, 3 * k]).long()
        x, y, r, width = _pick(free, wanted, v[:, 3 * k + 1])
        if k:
            width = torch.where(v[:, 3 * k + 2] < 0.5, width, 0)
        windows.append(torch.stack([x, y, r, width], 1))
        free = free & ~_on_wall(x, y, r, width)
    return finish(floor, torch.stack(doors, 1), torch.stack(windows, 1))


def finish(floor: Tensor, doors: Tensor, windows: Tensor) -> Plans:
    """The plans of floors, doors and windows; see `Plans`."""
    walls = walls_of(floor)
    glass = torch.zeros_like(walls)
    for k in range(windows.shape[1]):
        glass = glass | (_on_wall(*windows[:, k].unbind(1)) & walls)
    strips = torch.zeros_like(floor)
    for k in range(doors.shape[1]):
        x, y, r, width, _ = doors[:, k].unbind(1)
        strips = strips | (along(x, y, r, width, STRIP) & floor)
        # A door is no wall for furniture, nor for pictures.
        walls = walls & ~_on_wall(x, y, r, width)
    return Plans(floor, walls, glass, strips, doors, windows)


def _on_wall(x: Tensor, y: Tensor, r: Tensor, width: Tensor) -> Tensor:
    """The cells of a piece of wall, on that wall alone: int64 [N, 4, 64]."""
    cells = along(x, y, r, width, 1)
    direction = torch.arange(4, device=x.device)
    return torch.where((r[:, None] == direction)[..., None], cells[:, None], 0)
