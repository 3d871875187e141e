"""Families of shapes: part grammars that turn random numbers into lofts, batched.

A family is a function of random numbers float32 [N, DRAWS] in 0 .. 1 that returns its parts; a
number decides one thing, so that shapes vary smoothly with it. Coordinates are those of the unit
cube, z upwards; no part is thinner than `THIN`, so that a 16^3 grid shows it. Half of all shapes
are symmetric about the plane x = 1/2; in the others, mirrored parts have sizes of their own, or
something stands on one side alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genenvs.geometry.lofts import Lofts

DRAWS = 64  # numbers a family may use
MOST_PARTS = 16
THIN = 1 / 13  # reaches a voxel centre of a 16^3 grid wherever it lies
Number = Tensor | float
Part = tuple[int, list[Number], list[Number]]  # axis, first end, last end: see `taper`


class Draws:
    """Random numbers of every row, handed out one after the other."""

    def __init__(self, numbers: Tensor) -> None:
        """Keep numbers float32 [N, DRAWS]."""
        self._left = iter(numbers.unbind(1))
        self.symmetric = self.chance(0.5)

    def between(self, low: Number, high: Number) -> Tensor:
        """A number in low .. high for each row: float32 [N]."""
        return low + (high - low) * next(self._left)

    def chance(self, share: float) -> Tensor:
        """True in that share of rows: bool [N]."""
        return next(self._left) < share

    def twin(self, first: Tensor, low: Number, high: Number) -> Tensor:
        """What the mirrored part has: the same where the shape is symmetric, else its own."""
        return torch.where(self.symmetric, first, self.between(low, high))


def taper(axis: int, first: Sequence[Number], last: Sequence[Number]) -> Part:
    """A loft from one rectangle to another, each (where on the axis, u0, v0, u1, v1)."""
    return axis, list(first), list(last)


def box(x0: Number, y0: Number, z0: Number, x1: Number, y1: Number, z1: Number) -> Part:
    """A cuboid."""
    return taper(2, (z0, x0, y0, x1, y1), (z1, x0, y0, x1, y1))


def where(rows: Tensor, part: Part) -> Part:
    """The part in the rows (bool [N]) that have it, an empty one elsewhere."""
    axis, first, last = part
    return axis, first, [torch.where(rows, last[0], first[0]), *last[1:]]


def mirrored(part: Part) -> Part:
    """The part on the other side of the plane x = 1/2."""
    axis, first, last = part
    if axis == 0:
        return axis, [1 - last[0], *last[1:]], [1 - first[0], *first[1:]]
    flip = [[end[0], 1 - end[3], end[2], 1 - end[1], end[4]] for end in (first, last)]
    return axis, flip[0], flip[1]


def union(draw: Draws) -> list[Part]:
    """Two to six boxes that hang together, some of them tapered; Lin et al.'s simplest shapes."""
    parts: list[Part] = []
    centre = [torch.full_like(draw.between(0, 1), 0.5) for _ in range(3)]
    for k in range(3):
        half = [draw.between(0.08, 0.26) for _ in range(3)]
        low = [(c - h).clamp(0, 1) for c, h in zip(centre, half, strict=True)]
        high = [(c + h).clamp(0, 1) for c, h in zip(centre, half, strict=True)]
        shrink = torch.where(draw.chance(0.4), draw.between(0.2, 0.7), torch.zeros(()))
        inset = [(b - a).clamp(min=0) / 2 * shrink for a, b in zip(low, high, strict=True)]
        part = taper(
            2,
            (low[2], low[0], low[1], high[0], high[1]),
            (high[2], low[0] + inset[0], low[1] + inset[1], high[0] - inset[0], high[1] - inset[1]),
        )
        here = draw.chance(0.75) if k else torch.ones_like(draw.symmetric)
        parts += [where(here, part), where(here & draw.symmetric, mirrored(part))]
        # The next box is centred in the last one that is there, so that they overlap.
        centre = [
            torch.where(here, draw.between(a, b), c)
            for a, b, c in zip(low, high, centre, strict=True)
        ]
    return parts


def table(draw: Draws) -> list[Part]:
    """A top on four legs or on one column, with drawers on one side where it is asymmetric."""
    wide, deep, tall = draw.between(0.3, 0.48), draw.between(0.2, 0.46), draw.between(0.35, 0.8)
    thick, leg = draw.between(THIN, 0.14), draw.between(THIN, 0.15)
    narrow = draw.between(0.6, 1.0)  # legs taper downwards
    inset = draw.between(0.0, 0.08)
    column, foot = draw.chance(0.3), draw.between(0.12, 0.24)
    low, under = torch.zeros_like(wide), tall - thick
    parts = [box(0.5 - wide, 0.5 - deep, under, 0.5 + wide, 0.5 + deep, tall)]
    for x in (-1, 1):
        for y in (-1, 1):
            a, b = 0.5 + x * (wide - inset), 0.5 + y * (deep - inset)
            ends = []
            for size in ((leg * narrow).clamp(min=THIN), leg):
                c, d = a - x * size, b - y * size
                ends.append((a.minimum(c), b.minimum(d), a.maximum(c), b.maximum(d)))
            parts.append(where(~column, taper(2, (low, *ends[0]), (under, *ends[1]))))
    half = leg / 2 + 0.02
    parts.append(where(column, box(0.5 - half, 0.5 - half, low, 0.5 + half, 0.5 + half, under)))
    base = box(0.5 - foot, 0.5 - foot, low, 0.5 + foot, 0.5 + foot, low + THIN)
    parts.append(where(column, base))
    width, depth = draw.between(0.15, 0.28), draw.between(0.15, 0.35)
    drawers = box(
        0.5 + wide - width, 0.5 - deep, under - depth.minimum(under), 0.5 + wide, 0.5 + deep, under
    )
    parts.append(where(~draw.symmetric, drawers))
    return parts


def chair(draw: Draws) -> list[Part]:
    """A seat on four legs, a leaning back, perhaps arms; one arm alone where asymmetric."""
    wide, deep = draw.between(0.2, 0.34), draw.between(0.2, 0.32)
    seat, thick = draw.between(0.3, 0.48), draw.between(THIN, 0.12)
    leg, tall = draw.between(THIN, 0.11), draw.between(0.75, 1.0)
    lean, slab = draw.between(0.0, 0.14), draw.between(THIN, 0.11)
    low = torch.zeros_like(wide)
    left, right, front, rear = 0.5 - wide, 0.5 + wide, 0.46 - deep, 0.46 + deep
    parts = [box(left, front, seat - thick, right, rear, seat)]
    for a, b in ((left, left + leg), (right - leg, right)):
        for c, d in ((front, front + leg), (rear - leg, rear)):
            parts.append(box(a, c, low, b, d, seat - thick))
    top = draw.between(0.7, 1.0)  # the back narrows upwards
    upper = (seat, left, rear - slab, right, rear)
    parts.append(
        taper(2, upper, (tall, 0.5 - wide * top, rear - slab + lean, 0.5 + wide * top, rear + lean))
    )
    arms, height, width = draw.chance(0.5), draw.between(0.14, 0.24), draw.between(THIN, 0.1)
    arm = box(left, front, seat, left + width, rear, seat + height)
    parts.append(where(arms | ~draw.symmetric, arm))
    parts.append(where(arms & draw.symmetric, mirrored(arm)))
    return parts


def shelf(draw: Draws) -> list[Part]:
    """Two sides, boards between them, perhaps a back; things on the boards where asymmetric."""
    wide, deep, tall = draw.between(0.25, 0.46), draw.between(0.12, 0.26), draw.between(0.6, 1.0)
    thick, boards = draw.between(THIN, 0.1), draw.between(2.0, 5.0).floor()
    low = torch.zeros_like(wide)
    left, right, front, rear = 0.5 - wide, 0.5 + wide, 0.5 - deep, 0.5 + deep
    parts = [
        box(left, front, low, left + thick, rear, tall),
        box(right - thick, front, low, right, rear, tall),
        where(draw.chance(0.6), box(left, rear - THIN, low, right, rear, tall)),
    ]
    gap = (tall - thick) / (boards - 1)
    for k in range(5):
        board = box(left, front, gap * k, right, rear, gap * k + thick)
        parts.append(where(boards > k, board))
    for k in range(3):
        start, width = draw.between(0.0, 0.6), draw.between(0.2, 0.4)
        x = left + thick + start * (2 * wide - 2 * thick)
        z = gap * k + thick
        item = box(x, front, z, x + width * (2 * wide - 2 * thick), rear, z + gap * 0.55)
        parts.append(where(~draw.symmetric & (boards > k + 1) & draw.chance(0.7), item))
    return parts


def aeroplane(draw: Draws) -> list[Part]:
    """A fuselage with nose and tail, swept wings, a tailplane, a fin, perhaps engines.

    Where it is asymmetric, the wings differ and one engine is missing.
    """
    body, floor = draw.between(0.07, 0.12), draw.between(0.1, 0.2)
    nose, tail = draw.between(0.12, 0.25), draw.between(0.2, 0.35)
    left, right, low, high = 0.5 - body, 0.5 + body, floor, floor + 2 * body
    tip = body * draw.between(0.3, 0.7)
    middle = floor + body
    fuselage = (left, low, right, high)
    parts = [
        taper(1, (0.0, 0.5 - tip, middle - tip, 0.5 + tip, middle + tip), (nose, *fuselage)),
        taper(1, (nose, *fuselage), (1 - tail, *fuselage)),
        taper(1, (1 - tail, *fuselage), (1.0, 0.5 - tip, high - 2 * tip, 0.5 + tip, high)),
    ]
    root, sweep = draw.between(0.16, 0.3), draw.between(0.0, 0.22)
    start, narrow = draw.between(0.25, 0.4), draw.between(0.35, 0.9)
    level, thick = draw.between(low, high - THIN), THIN
    span = draw.between(0.3, 0.5)
    for side, length in ((-1, span), (1, draw.twin(span, 0.2, 0.5))):
        inner = (start, level, start + root, level + thick)
        outer = (start + sweep, level, start + sweep + root * narrow, level + thick)
        wing = taper(0, (0.5 - length, *outer), (left + 0.01, *inner))
        parts.append(mirrored(wing) if side > 0 else wing)
    reach, chord = draw.between(0.14, 0.26), draw.between(0.09, 0.15)
    plane = box(0.5 - reach, 0.97 - chord, high - THIN, 0.5 + reach, 0.97, high)
    fin = draw.between(0.14, 0.3)
    root_fin = (high - 0.02, 0.5 - THIN / 2, 0.97 - chord * 1.6, 0.5 + THIN / 2, 0.98)
    top_fin = (high + fin, 0.5 - THIN / 2, 0.98 - chord * 0.8, 0.5 + THIN / 2, 0.99)
    parts += [plane, taper(2, root_fin, top_fin)]
    engines, out = draw.chance(0.6), draw.between(0.16, 0.24)
    e = THIN / 2 + 0.01
    engine = box(
        0.5 - out - e, start - 0.02, level - 2 * e, 0.5 - out + e, start + root, level + 0.02
    )
    parts.append(where(engines | ~draw.symmetric, engine))
    parts.append(where(engines & draw.symmetric, mirrored(engine)))
    return parts


def lamp(draw: Draws) -> list[Part]:
    """A base, a pole and a shade that widens downwards; on an arm where asymmetric."""
    foot, thick = draw.between(0.12, 0.25), draw.between(THIN, 0.12)
    pole, tall = draw.between(THIN / 2, 0.06), draw.between(0.6, 0.78)
    top, bottom = draw.between(0.08, 0.18), draw.between(0.18, 0.3)
    shade = draw.between(0.18, 0.22)
    low = torch.zeros_like(foot)
    shift = torch.where(draw.symmetric, low, draw.between(-0.24, -0.12))
    x = 0.5 - shift / 2  # base and shade lie on either side of the middle
    at = x + shift
    parts = [
        box(x - foot, 0.5 - foot, low, x + foot, 0.5 + foot, thick),
        box(x - pole, 0.5 - pole, thick, x + pole, 0.5 + pole, tall),
        taper(
            2,
            (tall - 0.02, at - bottom, 0.5 - bottom, at + bottom, 0.5 + bottom),
            (tall + shade, at - top, 0.5 - top, at + top, 0.5 + top),
        ),
    ]
    arm = box(at, 0.5 - pole, tall - THIN, x, 0.5 + pole, tall)
    parts.append(where(~draw.symmetric, arm))
    return parts


def car(draw: Draws) -> list[Part]:
    """A body on four wheels with a tapered cabin; a pick-up, or a roof box, where asymmetric."""
    wide, wheel = draw.between(0.18, 0.26), draw.between(0.1, 0.16)
    floor = wheel * draw.between(0.45, 0.7)
    waist = floor + draw.between(0.14, 0.24)
    start, stop = draw.between(0.18, 0.34), draw.between(0.7, 0.95)
    roof = waist + draw.between(0.12, 0.24)
    rake, slope = draw.between(0.04, 0.14), draw.between(0.0, 0.14)
    low = torch.zeros_like(wide)
    left, right = 0.5 - wide, 0.5 + wide
    hood = draw.between(0.0, 0.08)
    parts = [
        taper(1, (0.0, left, floor, right, waist - hood), (start, left, floor, right, waist)),
        taper(1, (start, left, floor, right, waist), (1.0, left, floor, right, waist)),
        taper(
            2,
            (waist, left + 0.01, start, right - 0.01, stop),
            (roof, left + 0.04, start + rake, right - 0.04, stop - slope),
        ),
    ]
    front, rear = draw.between(0.08, 0.16), draw.between(0.84, 0.92)
    for y in (front, rear):
        for x in (left - 0.02, right + 0.02 - 0.1):
            parts.append(box(x, y - wheel / 2, low, x + 0.1, y + wheel / 2, wheel))
    # Not seen from the other side: a box on the left half of the roof, a spare wheel behind.
    cargo = box(left + 0.04, start + rake, roof, 0.5, stop - slope, roof + THIN)
    parts.append(where(~draw.symmetric, cargo))
    return parts


def corridor(draw: Draws) -> list[Part]:
    """A winding passage of constant width: the family that no other one prepares for.

    Ten runs, each along another axis than the one before, to where its number says.
    """
    draw.symmetric = torch.zeros_like(draw.symmetric)
    half = draw.between(0.055, 0.1)
    at = [draw.between(0.1, 0.9) for _ in range(3)]
    turn = draw.between(0.0, 3.0).floor().clamp(max=2)
    parts: list[Part] = []
    for _ in range(10):
        choice = draw.between(0.0, 1.0)
        # Away from the nearer wall, so that runs are long.
        new = [torch.where(p < 0.5, 0.55 + choice * 0.35, 0.1 + choice * 0.35) for p in at]
        goal = [torch.where(turn == k, n, p) for k, (n, p) in enumerate(zip(new, at, strict=True))]
        low = [a.minimum(b) - half for a, b in zip(at, goal, strict=True)]
        high = [a.maximum(b) + half for a, b in zip(at, goal, strict=True)]
        parts.append(box(*low, *high))
        at = goal
        turn = (turn + 1 + draw.chance(0.5).float()) % 3
    return parts


FAMILIES: dict[str, Callable[[Draws], list[Part]]] = {
    "union": union,
    "table": table,
    "chair": chair,
    "shelf": shelf,
    "aeroplane": aeroplane,
    "lamp": lamp,
    "car": car,
    "corridor": corridor,
}
HELD_OUT = ("corridor",)  # in no mixture


def grow(name: str, numbers: Tensor) -> tuple[Lofts, Tensor]:
    """The shapes of a family.

    Args:
        name: of `FAMILIES`.
        numbers: float32 [N, DRAWS] in 0 .. 1.

    Returns:
        Lofts of [N, MOST_PARTS] that stand on z = 0, within the unit cube, and whether each shape
        is symmetric: bool [N].
    """
    draw = Draws(numbers)
    parts = FAMILIES[name](draw)
    size, device = len(numbers), numbers.device
    empty = MOST_PARTS - len(parts)
    axis = torch.tensor([p[0] for p in parts] + [2] * empty, device=device).expand(size, -1)
    ends = torch.stack([
        torch.stack([
            torch.as_tensor(x, dtype=torch.float32, device=device).expand(size)
            for x in (*first, *last)
        ], -1)
        for _, first, last in parts
    ], 1).unflatten(-1, (2, 5))  # fmt: skip  # [N, parts, 2, 5]
    ends = torch.cat([ends, ends.new_zeros(size, empty, 2, 5)], 1)
    lofts = Lofts(axis.clone(), ends[..., 0], ends[..., 1:3], ends[..., 3:])
    return _settled(lofts), draw.symmetric


def _settled(lofts: Lofts) -> Lofts:
    """The same shapes standing on z = 0."""
    upright = lofts.axis == 2
    bottom = torch.where(upright[..., None], lofts.ends, lofts.low[..., 1]).amin(-1)
    drop = bottom.masked_fill(~lofts.present, torch.inf).amin(1)[:, None, None]  # [N, 1, 1]
    ends = torch.where(upright[..., None], lofts.ends - drop, lofts.ends)
    shift = torch.where(upright[..., None], 0.0, drop).unsqueeze(-1)  # of v, which is z
    across = torch.cat([torch.zeros_like(shift), shift], -1)
    return Lofts(lofts.axis, ends, lofts.low - across, lofts.high - across)
