"""Where a thing may stand, what keeps its rules there, and putting it down.

A place is a cell of the lattice of 20 cm and a turn: the direction, 0 .. 3, that the thing's front
faces (+x, +y, -x, -y). The lattice holds the middle of nothing but the line of its back and the
lower end of its width, so that sizes in steps of 10 cm stand flush with any wall behind them.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genenvs.geometry.packed import popcount
from genenvs.rooms import bits
from genenvs.rooms.bits import LATTICE, sample
from genenvs.rooms.catalogue import (
    FLOOR,
    FRONT,
    HEAD,
    HEAD_DEPTH,
    HUNG,
    SOFA,
    SUPPORTERS,
    SURFACE,
    TALL,
    TOP,
    index,
    table,
)  # fmt: skip
from genenvs.rooms.plans import Plans, along
from genenvs.rooms.requests import ITEMS

PLACES = 4 * LATTICE * LATTICE  # turn * 1024 + i * 32 + j
_MARKS = SOFA + 4
_TABLE, _DESK, _BED, _SOFA = (index(name) for name in ("table", "desk", "bed", "sofa"))
_ALL = -1  # a word with every bit


class Furnishing(NamedTuple):
    """What stands in B rooms; grids as in `genenvs.rooms.bits`.

    Attributes:
        items: int64 [B, 14, 4], type (-1: none), lowest cell x and y, turn; in order.
        right: bool [B, 14], whether the item kept all its rules when it was placed.
        number: int64 [B], of items.
        taken: int64 [B, 64], floor under furniture.
        access: int64 [B, 64], floor in front of furniture that has to stay free.
        upper: int64 [B, 64], what no picture can hang at: tall things and pictures.
        tops: int64 [B, S, 64], free tops by type of what is under them, `SUPPORTERS`.
        marks: int64 [B, 6, 64], parts that partners look for: tables and desks; heads of beds;
            sofas that face 0 .. 3.
    """

    items: Tensor
    right: Tensor
    number: Tensor
    taken: Tensor
    access: Tensor
    upper: Tensor
    tops: Tensor
    marks: Tensor


class Things(NamedTuple):
    """One thing of each of B rooms.

    Attributes:
        type: int64 [B].
        width: int64 [B], cells.
        depth: int64 [B], cells.
        height: int64 [B], centimetres.
    """

    type: Tensor
    width: Tensor
    depth: Tensor
    height: Tensor

    def extent(self, turn: Tensor) -> tuple[Tensor, Tensor]:
        """Cells along x and along y."""
        sideways = turn % 2 == 1
        return (
            torch.where(sideways, self.width, self.depth),
            torch.where(sideways, self.depth, self.width),
        )


class Survey(NamedTuple):
    """Every place of a thing: int64 [B, 4, 32] each, bit 2 j of [turn, i] for the cell (i, j).

    Attributes:
        legal: inside the room, or on what carries it, and in nobody's way.
        on_wall: its back is on a wall, without a window if it is tall; set where no rule asks.
        paired: its partner is where it belongs; set where it has none.
        off_strip: no door is obstructed.
        clear: it stands in nothing's access and its own is free.
        snug: one of its sides touches a wall or furniture.
    """

    legal: Tensor
    on_wall: Tensor
    paired: Tensor
    off_strip: Tensor
    clear: Tensor
    snug: Tensor

    @property
    def right(self) -> Tensor:
        """Legal and all rules kept."""
        return self.legal & self.on_wall & self.paired & self.off_strip & self.clear


def nothing(plans: Plans) -> Furnishing:
    """Empty rooms."""
    rows = plans.floor
    zero = torch.zeros_like(rows)
    return Furnishing(
        items=rows.new_full((len(rows), ITEMS, 4), -1),
        right=torch.zeros(len(rows), ITEMS, dtype=torch.bool, device=rows.device),
        number=torch.zeros_like(rows[:, 0]),
        taken=zero,
        access=zero.clone(),
        upper=zero.clone(),
        tops=rows.new_zeros(len(rows), len(SUPPORTERS), rows.shape[1]),
        marks=rows.new_zeros(len(rows), _MARKS, rows.shape[1]),
    )


def survey(plans: Plans, now: Furnishing, things: Things) -> Survey:
    """Look at every place of a thing in each room.

    Args:
        plans: of the B rooms.
        now: what stands there.
        things: what is to be placed.
    """
    facts = table(plans.floor.device)
    w, d = things.width, things.depth
    layer, access = facts.layer[things.type], facts.access[things.type]
    floor, hung = layer == FLOOR, layer == HUNG
    free = plans.floor & ~now.taken
    usable = _usable(plans, now, things, free)
    ground = floor[:, None]
    strips = torch.where(ground, plans.strips, 0)
    others = torch.where(ground, now.access, 0)
    own = torch.where(ground, free, plans.floor)
    # Four grids, for depth along x and for depth along y: eight erosions in one go.
    grids = torch.stack([usable, usable & ~strips, usable & ~others, own], 1)
    deep = torch.stack([d, d, d, access.clamp(min=1)], 1)
    wide = w[:, None].expand_as(deep)
    even, odd = bits.erode(
        torch.stack([grids, grids], 1), torch.stack([deep, wide], 1), torch.stack([wide, deep], 1)
    ).unbind(1)
    zero = torch.zeros_like(w)
    at = _anchored(even, odd, zero, 2 - d)  # [B, 3 + 1, 4, 32]
    legal, off_strip, unhindered = at[:, 0], at[:, 1], at[:, 2]
    ahead = _anchored(even[:, 3:], odd[:, 3:], d, 2 - d - access)[:, 0]
    clear = unhindered & torch.where((access > 0)[:, None, None], ahead, _ALL)
    backed = _backed(plans, things, facts.tall[things.type] | hung)
    legal = torch.where(hung[:, None, None], legal & backed, legal)
    return Survey(
        legal=legal,
        on_wall=torch.where(facts.wall[things.type][:, None, None], backed, _ALL),
        paired=_paired(now, things),
        off_strip=off_strip,
        clear=clear,
        snug=_snug(free, w, d),
    )


def _usable(plans: Plans, now: Furnishing, things: Things, free: Tensor) -> Tensor:
    """Cells that the thing may cover: int64 [B, 64]."""
    facts = table(plans.floor.device)
    layer = facts.layer[things.type][:, None]
    standing = torch.where((things.height >= TALL)[:, None], free & ~now.upper, free)
    hosts = facts.stands[things.type][:, [index(name) for name in SUPPORTERS]]  # [B, S]
    tops = torch.zeros_like(free)
    for k in range(len(SUPPORTERS)):
        tops = tops | torch.where(hosts[:, k, None], now.tops[:, k], 0)
    return torch.where(
        layer == FLOOR, standing, torch.where(layer == TOP, tops, plans.floor & ~now.upper)
    )


def _anchored(even: Tensor, odd: Tensor, forwards: Tensor, backwards: Tensor) -> Tensor:
    """Read eroded grids at the places of the four turns.

    Args:
        even: int64 [B, K, 64], for depth along x.
        odd: for depth along y.
        forwards: int64 [B], where along its front's direction a thing that faces upwards is read,
            from the lattice.
        backwards: the same for one that faces downwards.

    Returns:
        int64 [B, K, 4, 32].
    """
    k = even.shape[1]
    ahead, back = forwards[:, None].expand(-1, k), backwards[:, None].expand(-1, k)
    zero = torch.zeros_like(ahead)
    return torch.stack(
        [sample(even, ahead, zero), sample(odd, zero, ahead),
         sample(even, back, zero), sample(odd, zero, back)], 2,
    )  # fmt: skip


def _backed(plans: Plans, things: Things, bare: Tensor) -> Tensor:
    """Where the whole back is on a wall, one without windows where `bare`: int64 [B, 4, 32]."""
    walls = torch.where(bare[:, None, None], plans.walls & ~plans.glass, plans.walls)
    wide = things.width[:, None].expand(-1, 2)
    even = bits.erode_y(walls[:, ::2], wide)
    odd = bits.erode_x(walls[:, 1::2], wide)
    zero, one = torch.zeros_like(things.width), torch.ones_like(things.width)
    return torch.stack(
        [sample(even[:, 0], zero, zero), sample(odd[:, 0], zero, zero),
         sample(even[:, 1], one, zero), sample(odd[:, 1], zero, one)], 1,
    )  # fmt: skip


def _paired(now: Furnishing, things: Things) -> Tensor:
    """Where the thing sees its partner, everywhere if it has none: int64 [B, 4, 32]."""
    facts = table(now.taken.device)
    paired = facts.paired[things.type]
    found = now.taken.new_full((len(paired), 4, LATTICE), _ALL)
    rows = needed(paired)
    kind, width, depth, _ = (field[rows] for field in things)
    marks = facts.marks[kind][..., None].expand(-1, -1, now.marks.shape[-1])
    seen = _look(now.marks[rows].gather(1, marks), facts.near[kind], facts.reach[kind])
    front = _edges(seen, width, depth, sides=False)
    sides = _edges(seen, width, depth, sides=True)
    ahead = (facts.look[kind] == FRONT)[:, None, None]
    seen = torch.where(ahead, front[0], sides[0] | sides[1])
    found[rows] = torch.where(paired[rows][:, None, None], seen, _ALL)
    return found


def _look(marks: Tensor, near: Tensor, reach: Tensor) -> Tensor:
    """From where a mark is seen: marks along direction r, int64 [B, 4, 64], to the same.

    Args:
        marks: what is looked for along each direction.
        near: int64 [B], cells to the first that counts.
        reach: int64 [B], how many count, at most 32.
    """
    upwards, downwards = marks[:, :2], marks[:, 2:]
    both = torch.stack([upwards, downwards], 1)  # [B, 2, (x, y), 64]
    sign = torch.tensor([1, -1], device=marks.device)
    x, y = both.unbind(2)

    def move(by: Tensor) -> None:
        nonlocal x, y
        by = by[:, None] * sign
        x, y = x | bits.shift_x(x, by), y | bits.shift_y(y, by[..., None])

    first = near[:, None] * sign
    x, y = bits.shift_x(x, first), bits.shift_y(y, first[..., None])
    for step in bits.steps(reach):
        move(step)
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1)


def _edges(seen: Tensor, w: Tensor, d: Tensor, *, sides: bool) -> tuple[Tensor, ...]:
    """Read what is seen from the middle of edges: one or two int64 [B, 4, 32].

    Args:
        seen: int64 [B, 4, 64], along each direction, see `_look`.
        w: int64 [B], width.
        d: int64 [B], depth.
        sides: of both sides; else of the front.
    """
    zero = torch.zeros_like(w)
    east, north, west, south = seen.unbind(1)
    if not sides:
        front = [sample(east, d - 1, w // 2), sample(north, w // 2, d - 1),
                 sample(west, 2 - d, w // 2), sample(south, w // 2, 2 - d)]  # fmt: skip
        return (torch.stack(front, 1),)
    up, down = d // 2, 2 - d + d // 2  # the middle of its depth
    high = [sample(north, up, w - 1), sample(east, w - 1, up),
            sample(north, down, w - 1), sample(east, w - 1, down)]  # fmt: skip
    low = [sample(south, up, zero), sample(west, zero, up),
           sample(south, down, zero), sample(west, zero, down)]  # fmt: skip
    return torch.stack(high, 1), torch.stack(low, 1)


def _snug(free: Tensor, w: Tensor, d: Tensor) -> Tensor:
    """Where a side touches a wall or furniture: free floor int64 [B, 64] -> int64 [B, 4, 32]."""
    up, down, below = d // 2, 2 - d + d // 2, torch.full_like(w, -1)
    high = [sample(free, up, w), sample(free, w, up), sample(free, down, w), sample(free, w, down)]
    low = [sample(free, up, below), sample(free, below, up),
           sample(free, down, below), sample(free, below, down)]  # fmt: skip
    return ~(torch.stack(high, 1) & torch.stack(low, 1))


def decode(place: Tensor, things: Things) -> tuple[Tensor, Tensor, Tensor]:
    """The lowest cell x, y and the turn of a place: int64 [B] in 0 .. 4095."""
    turn = place // LATTICE**2
    x, y = 2 * (place // LATTICE % LATTICE), 2 * (place % LATTICE)
    x = torch.where(turn == 2, x + 2 - things.depth, x)
    y = torch.where(turn == 3, y + 2 - things.depth, y)
    return x, y, turn


def inside(floor: Tensor, things: Things, place: Tensor) -> Tensor:
    """Whether things stay within their rooms: floor int64 [B, 64], place int64 [B] -> bool [B]."""
    x, y, turn = decode(place, things)
    extent = things.extent(turn)
    # Counted, since a rectangle is cut at the edge of the grid.
    there = popcount(bits.rectangle(x, y, *extent) & floor).sum(1, dtype=torch.int64)
    return there == extent[0] * extent[1]


def at(words: Tensor, place: Tensor) -> Tensor:
    """Read a grid of a `Survey` at one place: int64 [B, 4, 32], int64 [B] -> bool [B]."""
    word = words.flatten(1).gather(1, (place // LATTICE)[:, None])[:, 0]
    return (word >> 2 * (place % LATTICE) & 1).bool()


def unpack(words: Tensor) -> Tensor:
    """A grid of a `Survey` as bool [B, 4096]."""
    if words.device.type == "cpu":  # several times as fast
        octets = words.contiguous().numpy().view(np.uint8).reshape(len(words), -1)
        pairs = np.unpackbits(octets, axis=1, bitorder="little").view(np.uint16)
        return torch.from_numpy(pairs != 0)  # of the two bits the second is never set
    return unpack_shifts(words)


def unpack_shifts(words: Tensor) -> Tensor:
    """`unpack` in integer arithmetic alone."""
    place = 2 * torch.arange(LATTICE, device=words.device)
    return (words[..., None] >> place & 1).bool().flatten(1)


def needed(mask: Tensor) -> Tensor | slice:
    """Rows to compute where only those of `mask` (bool [B]) count.

    On the CPU those alone; elsewhere all, since to count them would cost a round trip.
    """
    return mask.nonzero()[:, 0] if mask.device.type == "cpu" else slice(None)


def best(found: Survey, chance: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The best place: one that keeps all rules, else as many as it can, the first ones first.

    Rules come in the order doors, partner, wall, access; then a place with something beside it is
    preferred.

    Args:
        found: of the things.
        chance: float32 [B] in [0, 1), which of the best to take; None: the first.

    Returns:
        The place, int64 [B], and whether there is a legal one, bool [B].
    """
    left = found.legal.flatten(1)
    exists = (left != 0).any(1)
    rules = (found.right, found.off_strip, found.paired, found.on_wall, found.clear, found.snug)
    for rule in rules:
        narrow = left & rule.flatten(1)
        left = torch.where((narrow != 0).any(1, keepdim=True), narrow, left)
    rank = torch.zeros_like(left[:, 0])
    if chance is not None:
        rank = (chance * popcount(left).sum(1)).long()
    word, bit = bits.nth(left, rank)
    return word * LATTICE + bit // 2, exists


def put(
    floor: Tensor, now: Furnishing, things: Things, place: Tensor, right: Tensor, placed: Tensor
) -> Furnishing:
    """Put a thing down in every room.

    Args:
        floor: int64 [B, 64], of the rooms.
        now: is not written into.
        things: what is placed.
        place: int64 [B], a legal place.
        right: bool [B], whether it keeps all its rules there.
        placed: bool [B]; other rooms stay as they are.
    """
    facts = table(place.device)
    x, y, turn = decode(place, things)
    extent = things.extent(turn)
    cells = torch.where(placed[:, None], bits.rectangle(x, y, *extent), 0)
    layer = facts.layer[things.type]
    ground, upon = (layer == FLOOR)[:, None], (layer == TOP)[:, None]
    zone = front_zone(things, x, y, turn, facts.access[things.type]) & floor
    zone = torch.where(placed[:, None] & ground, zone, 0)
    high = (layer == HUNG) | (ground[:, 0] & (things.height >= TALL))
    kind = things.type[:, None, None]
    # The last row and column are left out, so that nothing stands on two neighbours at once.
    inner = torch.where(placed[:, None], bits.rectangle(x, y, extent[0] - 1, extent[1] - 1), 0)
    hosts = torch.tensor([index(name) for name in SUPPORTERS], device=place.device)
    tops = now.tops & ~torch.where(upon, cells, 0)[:, None]
    tops = tops | torch.where(kind == hosts[None, :, None], inner[:, None], 0)
    slot = torch.arange(ITEMS, device=place.device) == now.number[:, None]
    slot = slot & placed[:, None]  # [B, 14]; an ended row may be full
    item = torch.stack([things.type, x, y, turn], 1)
    return Furnishing(
        items=torch.where(slot[..., None], item[:, None], now.items),
        right=now.right | (slot & right[:, None]),
        number=now.number + slot.any(1),
        taken=now.taken | torch.where(ground, cells, 0),
        access=now.access | zone,
        upper=now.upper | torch.where(high[:, None], cells, 0),
        tops=tops,
        marks=now.marks | _marks(things, x, y, turn, cells),
    )


def front_zone(things: Things, x: Tensor, y: Tensor, turn: Tensor, depth: Tensor) -> Tensor:
    """The rectangle in front of things, `depth` cells deep: int64 [B, 64]."""
    ahead_x = torch.where(turn == 0, x + things.depth, torch.where(turn == 2, x - 1, x))
    ahead_y = torch.where(turn == 1, y + things.depth, torch.where(turn == 3, y - 1, y))
    return along(ahead_x, ahead_y, turn, things.width, depth)


def _marks(things: Things, x: Tensor, y: Tensor, turn: Tensor, cells: Tensor) -> Tensor:
    """What partners will look for: int64 [B, 6, 64]."""
    kind = things.type
    found = cells.new_zeros(len(kind), _MARKS, cells.shape[1])
    surface = (kind == _TABLE) | (kind == _DESK)
    found[:, SURFACE] = torch.where(surface[:, None], cells, 0)
    head_x = torch.where(turn == 2, x + things.depth - HEAD_DEPTH, x)
    head_y = torch.where(turn == 3, y + things.depth - HEAD_DEPTH, y)
    sideways = turn % 2 == 1
    head = cells & bits.rectangle(
        head_x, head_y,
        torch.where(sideways, things.width, HEAD_DEPTH),
        torch.where(sideways, HEAD_DEPTH, things.width),
    )  # fmt: skip
    found[:, HEAD] = torch.where((kind == _BED)[:, None], head, 0)
    faces = torch.arange(4, device=kind.device) == turn[:, None]  # [B, 4]
    found[:, SOFA:] = torch.where((faces & (kind == _SOFA)[:, None])[..., None], cells[:, None], 0)
    return found
