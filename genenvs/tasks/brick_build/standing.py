"""How a build stands: what `strain` pays for, an estimate of `stability`, batched and cheap.

A structure is a set of bricks that hang together by studs; one without a brick on the ground falls.
A build is cut between every two layers, and below the first. What hangs together above a cut is
taken as one rigid body. It rests on the contact points between its lowest bricks and the studs
below the cut: if its centre of mass lies over their support polygon, their friction is not needed.
If not, it turns about that side of the polygon over which it hangs furthest, and every point behind
the side holds it back with the same drag:

    drag = mass * distance of the centre from the side / sum of the distances of the points

A point holds `Constants.friction`. The share of it that is used is the strain of the bricks that
lie on the cut. Where it is not enough the body falls, all bricks of it, and their strain is 1.

For a single body this is the linear programme of `stability`, if its support polygon is the
smallest one with sides in 16 fixed directions: those of the steps (1, 0), (2, 1), (1, 1), (1, 2)
and what turning them gives. It knows no forces inside a body, nor between neighbours in a layer,
and shares a drag among all bricks on the cut. `benchmarks.claims.brick_standing` measures how well
the two agree.
"""

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.core.components import spread
from genenvs.tasks.brick_build import bricks
from genenvs.tasks.brick_build.bricks import EMPTY, SIZE
from genenvs.tasks.brick_build.stability import CONSTANTS, FOUR, THREE

_STEPS = [(1, 0), (2, 1), (1, 1), (1, 2)]
_SLACK = 1e-3  # studs: rounding of float32 decides nothing
_ROWS = 64  # builds at a time: every cut of each is a row
_HOLDS = CONSTANTS.friction / CONSTANTS.gravity * 1_000  # grams, a contact point


class Standing(NamedTuple):
    """What holds in every build.

    Attributes:
        structures: int64 [B], sets of bricks that hang together.
        connected: bool [B, N], a brick's structure reaches the ground.
        stands: bool [B, N], and every body that holds the brick stays where it is.
        strain: float32 [B, N] in 0 .. 1, share of friction used below; 1 where a brick falls, 0
            where there is none.
    """

    structures: Tensor
    connected: Tensor
    stands: Tensor
    strain: Tensor


def judge(codes: Tensor) -> Standing:
    """Look at builds.

    Args:
        codes: integer [B, N], see `genenvs.tasks.brick_build.bricks.code`; `EMPTY` where there is
            no brick. No two bricks share a cell.
    """
    parts = [_judge(some) for some in codes.split(_ROWS)] or [_judge(codes)]
    return Standing(*(torch.cat(found) for found in zip(*parts, strict=True)))


def _judge(codes: Tensor) -> Standing:
    rows, count = codes.shape
    present, z = codes != EMPTY, bricks.decode(codes).z
    cells = bricks.cells(codes)  # [B, N, 12]
    below, above = _touching(cells)
    near = _once(torch.cat([below, above], 2), count)  # [B, K, N]

    def label(there: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        around = neighbours.flatten(1)

        def lowest(labels: Tensor) -> Tensor:
            padded = torch.nn.functional.pad(labels, (0, 1), value=count)
            seen = padded.gather(1, around).view(neighbours.shape).unbind(1)
            return reduce(torch.minimum, seen, labels)  # amin of int64 takes five times as long

        found = spread(there, lowest)
        return (found.label - 1).clamp(min=0), found.number

    whole, number = label(present, near)
    ground = torch.zeros_like(whole).scatter_add_(1, whole, (present & (z == 0)).long()) > 0
    connected = present & ground.gather(1, whole)

    cuts = 1 + int(z.max()) if codes.numel() else 1
    over = present[:, None] & (z[:, None] >= torch.arange(cuts, device=codes.device)[:, None])
    body, bodies = label(over.flatten(0, 1), near.repeat_interleave(cuts, 0))
    most = max(1, int(bodies.max())) if rows else 1
    drag = _drags(codes, cells, below, over, body.view(over.shape), most)  # [B, Z, G]
    drag = torch.where(over, drag.gather(2, body.view(over.shape)), 0.0)  # [B, Z, N]
    own = drag.gather(1, z[:, None])[:, 0]
    stands = connected & (drag.amax(1) < _HOLDS)
    strain = torch.where(stands, own / _HOLDS, 1.0) * present
    return Standing(number, connected, stands, strain)


def _touching(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Which brick, or the ground, lies below and above every cell: int64 [B, N, 12], twice.

    A brick is its index, nothing is N, the ground -1.
    """
    rows, count, _ = cells.shape
    plane = SIZE**2
    index = torch.arange(count, device=cells.device)[:, None].expand(cells.shape)
    # One layer of ground below and one of nothing above.
    world = torch.full((rows, (SIZE + 2) * plane + 1), count, device=cells.device)
    world.scatter_(1, cells.flatten(1) + plane, index.flatten(1))
    world[:, :plane], world[:, -plane - 1 :] = -1, count  # absent cells wrote behind the last
    there = cells < SIZE**3
    below, above = (
        torch.where(there, world.gather(1, (cells + up).flatten(1)).view(cells.shape), count)
        for up in (0, 2 * plane)
    )
    return below, above


def _once(touching: Tensor, nothing: int) -> Tensor:
    """Every neighbour once, in as few rows as will do: int64 [B, N, M] -> [B, K, N]."""
    if not touching.numel():
        return touching.mT
    found = torch.where(touching < 0, nothing, touching).sort(2).values
    again = torch.nn.functional.pad(found[..., 1:] == found[..., :-1], (1, 0))
    found = torch.where(again, nothing, found).sort(2).values
    return found[..., : max(1, int((found < nothing).sum(2).max()))].mT.contiguous()


def _drags(
    codes: Tensor, cells: Tensor, below: Tensor, over: Tensor, body: Tensor, most: int
) -> Tensor:
    """Grams at every contact point of every body above every cut: [B, Z, G]; inf on nothing.

    Args:
        codes: [B, N].
        cells: [B, N, 12].
        below: [B, N, 12], see `_touching`.
        over: bool [B, Z, N], whether a brick lies above the cut.
        body: int64 [B, Z, N], in which body.
        most: bodies at most.
    """
    rows, cuts, count = over.shape
    device = codes.device
    brick, x, y, z = bricks.decode(codes)
    middle = [
        low + (bricks.table(side, device)[brick] - 1) / 2
        for low, side in ((x, "along_x"), (y, "along_y"))
    ]
    grams = bricks.masses(device)[brick]
    sums = torch.zeros(3, rows, cuts, most, device=device)
    for k, value in enumerate((grams, grams * middle[0], grams * middle[1])):
        sums[k].scatter_add_(2, body, torch.where(over, value[:, None], 0.0))
    mass = sums[0]

    narrow = torch.minimum(*(bricks.table(s, device)[brick] for s in ("along_x", "along_y"))) == 1
    directions = _directions(device)  # [D, 2]
    forms = [torch.tensor(form, dtype=torch.float32, device=device) for form in (THREE, FOUR)]
    ahead = torch.stack([(form @ directions.T).amax(0) for form in forms])[narrow.long()]
    rests = below != count  # [B, N, 12]
    place = torch.stack([cells // SIZE % SIZE, cells % SIZE], -1).float() @ directions.T
    furthest = torch.where(rests[..., None], place, -math.inf).amax(2) + ahead  # [B, N, D]
    points = torch.where(narrow, len(FOUR), len(THREE))  # a stud; they lie about its middle
    number = points * rests.sum(2)
    behind = points[..., None] * torch.where(rests[..., None], place, 0.0).sum(2)

    own = z * most + body.gather(1, z[:, None])[:, 0]  # [B, N], the body that begins with a brick
    spread_out = own[..., None].expand(furthest.shape)
    side = torch.full((rows, cuts * most, len(directions)), -math.inf, device=device)
    present = (codes != EMPTY)[..., None]
    furthest = torch.where(present, furthest, -math.inf)
    side = side.scatter_reduce_(1, spread_out, furthest, "amax").view(rows, cuts, most, -1)
    total = torch.zeros(rows, cuts * most, device=device)
    total = total.scatter_add_(1, own, (number * present[..., 0]).float()).view(mass.shape)
    moments = torch.zeros(rows, cuts * most, len(directions), device=device)
    moments = moments.scatter_add_(1, spread_out, behind * present).view(side.shape)

    centre = sums[1:] / mass.clamp(min=1e-9)
    beyond = torch.einsum("kbzg,dk->bzgd", centre, directions) - side
    lever = total[..., None] * side - moments
    drag = torch.where(beyond > _SLACK, mass[..., None] * beyond / lever.clamp(min=1e-6), 0.0)
    return torch.where(total > 0, drag.amax(3), torch.where(mass > 0, math.inf, 0.0))


def _directions(device: torch.device) -> Tensor:
    """Outward normals of the support polygon's sides: float32 [16, 2]."""
    quarter = [*_STEPS]
    for _ in range(3):
        quarter += [(-b, a) for a, b in quarter[-4:]]
    return torch.tensor(quarter, dtype=torch.float32, device=device)
