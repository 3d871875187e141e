"""The furniture: sizes, where a thing may stand, what it has to keep to."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

CELL = 0.1  # metres, side of a cell
SIDE = 64  # cells a side of a room's grid

# Layers: what a thing stands on, and whom it can be in the way of.
FLOOR, TOP, HUNG = 0, 1, 2
# Rasters of parts that others look for, see `placing.Furnishing.marks`.
SURFACE, HEAD, SOFA = 0, 1, 2  # a table or desk; the head of a bed; a sofa that faces the looker
FRONT, SIDES = 0, 1  # where a thing looks for its partner


@dataclass(frozen=True)
class Partner:
    """What a thing belongs to: seen from the middle of its front or of either side.

    Attributes:
        part: `SURFACE`, `HEAD` or `SOFA`.
        look: `FRONT` or `SIDES`.
        near: cells from its edge to the first that counts; 1 is the adjacent one.
        far: to the last one.
    """

    part: int
    look: int
    near: int
    far: int


@dataclass(frozen=True)
class Furniture:
    """A type of furniture. Lengths in cells of 10 cm, heights in centimetres.

    Attributes:
        name: as files and tables have it.
        width: least and greatest, along its back.
        depth: least and greatest, from its back to its front.
        height: least and greatest.
        colour: RGB of pictures.
        density: kg / m^3 of its bounding box, for physics.
        layer: `FLOOR`, `TOP` (on one of `supports`) or `HUNG` (on a wall, its lower edge at
            `HANGS`).
        wall: its whole back belongs on a wall.
        tall: it belongs before no window.
        access: cells in front of it that have to stay free.
        partner: what it belongs to.
        supports: names of what it stands on, for `TOP`.
    """

    name: str
    width: tuple[int, int]
    depth: tuple[int, int]
    height: tuple[int, int]
    colour: tuple[int, int, int]
    density: float
    layer: int = FLOOR
    wall: bool = False
    tall: bool = False
    access: int = 0
    partner: Partner | None = None
    supports: tuple[str, ...] = ()


WALL = 2.4  # metres, height of walls
HANGS = 1.4  # metres above the floor: the lower edge of what hangs
# The order is that of the greedy reference: what others refer to, or stand on, goes first.
CATALOGUE = (
    Furniture("bed", (10, 18), (20, 22), (45, 60), (152, 178, 214), 120, wall=True, access=4),
    Furniture("sofa", (14, 20), (8, 10), (70, 90), (142, 108, 158), 80, wall=True, access=2),
    Furniture("wardrobe", (10, 18), (6, 6), (180, 220), (158, 116, 78), 150,
              wall=True, tall=True, access=6),
    Furniture("table", (8, 16), (8, 10), (72, 78), (196, 150, 96), 60),
    Furniture("desk", (10, 16), (6, 8), (70, 76), (206, 168, 116), 60, wall=True),
    Furniture("dresser", (8, 14), (4, 6), (80, 100), (178, 136, 92), 150, wall=True, access=5),
    Furniture("bookshelf", (6, 12), (4, 4), (160, 210), (134, 98, 66), 180,
              wall=True, tall=True, access=5),
    Furniture("tv stand", (12, 16), (4, 4), (40, 60), (96, 88, 84), 130, wall=True,
              access=2, partner=Partner(SOFA, FRONT, 10, 40)),
    Furniture("armchair", (8, 8), (8, 8), (75, 95), (186, 118, 122), 80, access=4),
    Furniture("coffee table", (8, 12), (4, 6), (35, 45), (214, 186, 140), 70,
              partner=Partner(SOFA, FRONT, 3, 6)),
    Furniture("nightstand", (4, 5), (4, 4), (45, 60), (190, 156, 112), 120, wall=True,
              partner=Partner(HEAD, SIDES, 1, 2)),
    Furniture("chair", (4, 5), (4, 5), (80, 95), (222, 142, 82), 60,
              partner=Partner(SURFACE, FRONT, 1, 2)),
    Furniture("plant", (3, 5), (3, 5), (60, 130), (98, 158, 96), 60),
    Furniture("tv", (8, 10), (2, 2), (45, 60), (52, 56, 66), 120, layer=TOP, access=4,
              supports=("tv stand",)),
    Furniture("lamp", (2, 2), (2, 2), (25, 40), (240, 212, 110), 200, layer=TOP,
              supports=("nightstand", "desk", "dresser")),
    Furniture("picture", (4, 12), (1, 1), (40, 70), (112, 158, 176), 300, layer=HUNG),
)  # fmt: skip
TYPES = len(CATALOGUE)
NAMES = tuple(item.name for item in CATALOGUE)
HEAD_DEPTH = 6  # cells of a bed, from its back, that are its head
TALL = 140  # centimetres from which a thing that stands takes a hung one's place
SUPPORTERS = tuple(name for name in NAMES if any(name in f.supports for f in CATALOGUE))


def index(name: str) -> int:
    """The number of a type.

    Raises:
        ValueError: no such type; lists them.
    """
    if name not in NAMES:
        raise ValueError(f"no furniture is called {name!r}; there are {', '.join(NAMES)}")
    return NAMES.index(name)


def highest(kind: int) -> float:
    """The height that a thing of a type may have, in metres: what hangs ends below the ceiling."""
    return round(WALL - HANGS, 2) if CATALOGUE[kind].layer == HUNG else WALL


@dataclass(frozen=True)
class Table:
    """The catalogue as tensors, [TYPES] each.

    Attributes:
        layer: int64.
        wall: bool.
        tall: bool.
        access: int64.
        paired: bool, whether it has a partner.
        look: int64, `FRONT` or `SIDES`.
        near: int64; 1 without a partner.
        reach: int64, cells from `near` to `far`; 1 without a partner.
        marks: int64 [TYPES, 4], the row of `Furnishing.marks` it looks for along each direction.
        stands: bool [TYPES, TYPES], stands[t, s]: t stands on s.
    """

    layer: Tensor
    wall: Tensor
    tall: Tensor
    access: Tensor
    paired: Tensor
    look: Tensor
    near: Tensor
    reach: Tensor
    marks: Tensor
    stands: Tensor


@cache
def table(device: str | torch.device = "cpu") -> Table:
    """The catalogue on a device."""
    nobody = Partner(SURFACE, FRONT, 1, 1)
    partners = [item.partner or nobody for item in CATALOGUE]

    def row(part: int) -> list[int]:
        # A sofa that one looks at along direction r faces r + 2.
        return [SOFA + (r + 2) % 4 for r in range(4)] if part == SOFA else [part] * 4

    def tensor(values: list[Any]) -> Tensor:
        return torch.tensor(values, device=device)

    return Table(
        layer=tensor([item.layer for item in CATALOGUE]),
        wall=tensor([item.wall for item in CATALOGUE]),
        tall=tensor([item.tall for item in CATALOGUE]),
        access=tensor([item.access for item in CATALOGUE]),
        paired=tensor([item.partner is not None for item in CATALOGUE]),
        look=tensor([p.look for p in partners]),
        near=tensor([p.near for p in partners]),
        reach=tensor([p.far - p.near + 1 for p in partners]),
        marks=tensor([row(p.part) for p in partners]),
        stands=tensor([[s in item.supports for s in NAMES] for item in CATALOGUE]),
    )
