"""Whether a build stands, by its masses alone: what `fallen` pays for, cheap and batched.

A structure is a set of bricks that hang together by studs. It is cut between every two layers, and
below the first. Above a cut lies a mass; it is carried by the contacts, those cells of the
structure right above the cut that have a stud below (of the same structure, or of the ground). The
cut holds if the centre of that mass lies over the support polygon. A brick stands if its structure
reaches the ground and every cut below it holds.

The support polygon is the smallest one around the contacts with sides in 16 fixed directions: those
of the steps (1, 0), (2, 1), (1, 1), (1, 2) and what turning them gives. It holds the convex hull,
and equals it wherever the hull's sides have these directions.

No friction of studs enters, so a build that studs would hold may fall here, and as the parts above
a cut are taken together, one that leans may stand beside another that leans the other way. The
linear programme of `stability` is what `judge` reports.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry.components import Components, spread
from genenvs.tasks.brick_build import bricks
from genenvs.tasks.brick_build.bricks import EMPTY, SIZE

_STEPS = [(1, 0), (2, 1), (1, 1), (1, 2)]
_SLACK = 1e-3  # studs: rounding of float32 decides nothing


class Standing(NamedTuple):
    """What holds in every build.

    Attributes:
        structures: int64 [B], sets of bricks that hang together.
        connected: bool [B, N], a brick's structure reaches the ground.
        stands: bool [B, N], and every cut below it holds.
    """

    structures: Tensor
    connected: Tensor
    stands: Tensor


def judge(codes: Tensor) -> Standing:
    """Look at builds.

    Args:
        codes: integer [B, N], see `genenvs.tasks.brick_build.bricks.code`; `EMPTY` where there is
            no brick. No two bricks share a cell.
    """
    rows = len(codes)
    present = codes != EMPTY
    cells = bricks.cells(codes)  # [B, N, 12]
    label, number = structures(codes, cells)
    most = max(1, int(number.max())) if rows else 1
    z = bricks.decode(codes).z
    group = (label - 1).clamp(min=0)  # [B, N]
    lowest = torch.zeros(rows, most, dtype=torch.int64, device=codes.device)
    ground = lowest.scatter_add_(1, group, (present & (z == 0)).long()) > 0
    holds = _cuts(codes, cells, group, most)  # [B, G, Z]
    fallen = (~holds).cumsum(2) > 0  # a cut below that does not hold
    own = group * SIZE + z
    connected = present & ground.gather(1, group)
    stands = connected & ~fallen.flatten(1).gather(1, own)
    return Standing(number, connected, stands)


def structures(codes: Tensor, cells: Tensor) -> Components:
    """Label the bricks of every structure: integer [B, N] and int64 [B, N, 12] -> labels [B, N]."""
    rows, count = codes.shape
    index = torch.arange(count, device=codes.device)[:, None].expand(rows, -1, bricks.MOST_STUDS)
    # Which brick fills each cell, one layer of nothing below and above; `count`: none.
    world = torch.full((rows, (SIZE + 2) * SIZE**2 + 1), count, device=codes.device)
    plane = SIZE**2
    world.scatter_(1, cells.flatten(1) + plane, index.flatten(1))
    world[:, -plane - 1 :] = count  # what absent cells wrote
    around = torch.cat(
        [world.gather(1, (cells + shift).flatten(1)).view(cells.shape)
         for shift in (0, 2 * plane)], 2
    )  # fmt: skip  # [B, N, 24]: the bricks below and above each cell
    around = torch.where((cells < SIZE**3).repeat(1, 1, 2), around, count).flatten(1)

    def lowest(label: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(label, (0, 1), value=count)
        seen = padded.gather(1, around).view(rows, count, -1).amin(2)
        return torch.minimum(seen, label)

    return spread(codes != EMPTY, lowest)


def _cuts(codes: Tensor, cells: Tensor, group: Tensor, most: int) -> Tensor:
    """Which cuts of which structures hold: bool [B, G, Z], those above the top too."""
    rows, device = len(codes), codes.device
    brick, x, y, z = bricks.decode(codes)
    mass = torch.where(codes != EMPTY, bricks.masses(device)[brick], 0.0)
    middle = [
        low + (bricks.table(side, device)[brick] - 1) / 2
        for low, side in ((x, "along_x"), (y, "along_y"))
    ]
    at = group * SIZE + z  # [B, N]
    sums = torch.zeros(3, rows, most * SIZE, device=device)
    for k, value in enumerate((mass, mass * middle[0], mass * middle[1])):
        sums[k].scatter_add_(1, at, value)
    above = sums.view(3, rows, most, SIZE).flip(3).cumsum(3).flip(3)
    centre = above[1:] / above[0].clamp(min=1e-9)  # [2, B, G, Z]

    full = torch.zeros(rows, (SIZE + 1) * SIZE**2 + 1, dtype=torch.bool, device=device)
    full[:, : SIZE**2] = True  # the ground
    full.scatter_(1, (cells + SIZE**2).flatten(1), True)
    carried = full.gather(1, cells.flatten(1)).view(cells.shape) & (cells < SIZE**3)
    directions = _directions(device)  # [D, 2]
    # How far the contacts reach in each direction: their middles, and half a cell's shadow more.
    reach = torch.full((rows, most * SIZE, len(directions)), -math.inf, device=device)
    place = torch.stack([cells // SIZE % SIZE, cells % SIZE], -1).float() @ directions.T
    place += directions.abs().sum(1) / 2
    place = torch.where(carried[..., None], place, -math.inf).amax(2)  # [B, N, D]
    reach.scatter_reduce_(1, at[..., None].expand(-1, -1, len(directions)), place, "amax")
    outward = torch.einsum("kbgz,dk->bgzd", centre, directions)
    inside = (outward <= reach.view(rows, most, SIZE, -1) + _SLACK).all(3)
    return inside | (above[0] <= 0)


def _directions(device: torch.device) -> Tensor:
    """Outward normals of the support polygon's sides: float32 [16, 2]."""
    quarter = [*_STEPS]
    for _ in range(3):
        quarter += [(-b, a) for a, b in quarter[-4:]]
    return torch.tensor(quarter, dtype=torch.float32, device=device)
