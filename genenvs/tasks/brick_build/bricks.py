"""The bricks: eight types, fourteen with their orientations, and the placements on a layer.

A brick is one layer high. Turned, it is `along_x` by `along_y` studs; its place is its lowest
corner. A placement is an integer: oriented brick, then x, then y.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SIZE = 20  # studs a side of the world, and layers; BrickGPT's


@dataclass(frozen=True)
class Type:
    """A type of brick.

    Attributes:
        short: studs of the shorter side.
        long: studs of the longer side.
        grams: mass, of BrickGPT's `brick_library.json`.
        part: its number in the LDraw library; its long side lies along x there.
        colour: code in LDraw's colour table.
        rgb: the same colour, each of three in 0 .. 255.
    """

    short: int
    long: int
    grams: float
    part: str
    colour: int
    rgb: tuple[int, int, int]


TYPES = (
    Type(1, 1, 0.43, "3005", 22, (129, 0, 123)),
    Type(1, 2, 0.81, "3004", 25, (254, 138, 24)),
    Type(1, 4, 1.57, "3010", 14, (242, 205, 55)),
    Type(1, 6, 2.30, "3009", 2, (35, 120, 65)),
    Type(1, 8, 3.00, "3008", 3, (0, 143, 155)),
    Type(2, 2, 1.15, "3003", 27, (187, 233, 11)),
    Type(2, 4, 2.15, "3001", 4, (201, 26, 9)),
    Type(2, 6, 3.23, "2456", 1, (0, 85, 191)),
)


@dataclass(frozen=True)
class Brick:
    """A type in one of its orientations.

    Attributes:
        type: what it is.
        along_x: studs along x.
        along_y: studs along y.
    """

    type: Type
    along_x: int
    along_y: int

    @property
    def area(self) -> int:
        """Its studs."""
        return self.along_x * self.along_y


ORIENTED = tuple(
    Brick(kind, *sides)
    for kind in TYPES
    for sides in sorted({(kind.short, kind.long), (kind.long, kind.short)})
)
MOST_STUDS = max(brick.area for brick in ORIENTED)
PLACEMENTS = len(ORIENTED) * SIZE * SIZE  # on one layer
EMPTY = -1  # where a list of bricks holds none


class Placed(NamedTuple):
    """Bricks of a build, int64 of one shape each.

    Attributes:
        brick: index into `ORIENTED`.
        x: of the lowest corner.
        y: of the lowest corner.
        z: layer.
    """

    brick: Tensor
    x: Tensor
    y: Tensor
    z: Tensor


def code(placement: Tensor, layer: Tensor) -> Tensor:
    """One number for a brick in the world."""
    return layer * PLACEMENTS + placement


def decode(codes: Tensor) -> Placed:
    """What `code` named; of `EMPTY` the first brick at 0."""
    codes = codes.long().clamp(min=0)
    place = codes % PLACEMENTS
    return Placed(place // SIZE**2, place // SIZE % SIZE, place % SIZE, codes // PLACEMENTS)


def table(attribute: str, device: torch.device) -> Tensor:
    """A number of every oriented brick: int64 [14] (`along_x`, `along_y`, `area`)."""
    return torch.tensor([getattr(brick, attribute) for brick in ORIENTED], device=device)


def masses(device: torch.device) -> Tensor:
    """Grams of every oriented brick: float32 [14]."""
    return torch.tensor([brick.type.grams for brick in ORIENTED], device=device)


def cells(codes: Tensor) -> Tensor:
    """The cells that bricks fill.

    Args:
        codes: integer [..., N], `EMPTY` where there is none.

    Returns:
        int64 [..., N, 12]: indices into a world [z, x, y], flattened; `SIZE**3` for none.
    """
    brick, x, y, z = decode(codes)
    along_x, along_y = (table(k, codes.device)[brick] for k in ("along_x", "along_y"))
    k = torch.arange(MOST_STUDS, device=codes.device)
    dx, dy = k // along_y[..., None], k % along_y[..., None]
    at = (z[..., None] * SIZE + x[..., None] + dx) * SIZE + y[..., None] + dy
    inside = (dx < along_x[..., None]) & (codes != EMPTY)[..., None]
    return torch.where(inside, at, SIZE**3)


def voxels(codes: Tensor) -> Tensor:
    """Builds as voxels: integer [B, N] -> bool [B, X, Y, Z]."""
    world = torch.zeros(len(codes), SIZE**3 + 1, dtype=torch.bool, device=codes.device)
    world.scatter_(1, cells(codes).flatten(1), True)
    return world[:, :-1].view(-1, SIZE, SIZE, SIZE).permute(0, 2, 3, 1)
