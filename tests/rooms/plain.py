"""A room as plain numpy, cell by cell: what the packed grids are held against."""

from __future__ import annotations

from genenvs.geometry import packed
from genenvs.rooms.catalogue import (
    CATALOGUE,
    FLOOR,
    FRONT,
    HEAD,
    HEAD_DEPTH,
    HUNG,
    NAMES,
    SIDE,
    SOFA,
    SURFACE,
    TALL,
    TOP,
)  # fmt: skip

STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


class Plain:
    """One room."""

    def __init__(self, inside, glass, strips, walls, sizes) -> None:
        """Grids bool [64, 64], by direction [4, 64, 64]; sizes: (width, depth, height) by type."""
        self.inside, self.glass, self.strips, self.walls = inside, glass, strips, walls
        self.sizes = sizes
        self.items: list[tuple[int, int, int, int]] = []

    def extent(self, kind, turn):
        width, depth, _ = self.sizes[kind]
        return (width, depth) if turn % 2 else (depth, width)

    def cells(self, item):
        kind, x, y, turn = item
        a, b = self.extent(kind, turn)
        return [(i, j) for i in range(x, x + a) for j in range(y, y + b)]

    def lowest(self, kind, place):
        turn, i, j = place // 1024, place // 32 % 32, place % 32
        depth = self.sizes[kind][1]
        x = 2 * i + 2 - depth if turn == 2 else 2 * i
        y = 2 * j + 2 - depth if turn == 3 else 2 * j
        return kind, x, y, turn

    def edge(self, item, direction):
        """The outermost row of cells of an item on one side, ascending."""
        kind, x, y, turn = item
        a, b = self.extent(kind, turn)
        if direction % 2 == 0:
            return [(x + a - 1 if direction == 0 else x, j) for j in range(y, y + b)]
        return [(i, y + b - 1 if direction == 1 else y) for i in range(x, x + a)]

    def covered(self, test):
        return {c for item in self.items if test(item) for c in self.cells(item)}

    def zone(self, item):
        """The cells in front of an item that have to stay free."""
        turn = item[3]
        dx, dy = STEPS[turn]
        deep = CATALOGUE[item[0]].access
        return [
            (i + k * dx, j + k * dy)
            for i, j in self.edge(item, turn) for k in range(1, deep + 1)
        ]  # fmt: skip

    def floor(self, cell):
        return 0 <= cell[0] < 64 and 0 <= cell[1] < 64 and bool(self.inside[cell])

    def backed(self, item):
        kind, turn = item[0], item[3]
        bare = CATALOGUE[kind].tall or CATALOGUE[kind].layer == HUNG
        return all(
            self.walls[turn][c] and not (bare and self.glass[turn][c])
            for c in self.edge(item, (turn + 2) % 4)
        )

    def legal(self, item):
        kind = item[0]
        type_ = CATALOGUE[kind]
        cells = self.cells(item)
        if not all(self.floor(c) for c in cells):
            return False
        standing = self.covered(lambda i: CATALOGUE[i[0]].layer == FLOOR)
        upper = self.covered(
            lambda i: (
                CATALOGUE[i[0]].layer == HUNG
                or (CATALOGUE[i[0]].layer == FLOOR and self.sizes[i[0]][2] >= TALL)
            )
        )
        if type_.layer == FLOOR:
            taken = standing | (upper if self.sizes[kind][2] >= TALL else set())
            return not taken & set(cells)
        if type_.layer == HUNG:
            return not upper & set(cells) and self.backed(item)
        tops = set()
        for other in self.items:
            if NAMES[other[0]] in type_.supports:
                a, b = self.extent(other[0], other[3])
                _, x, y, _ = other
                tops |= {(i, j) for i in range(x, x + a - 1) for j in range(y, y + b - 1)}
        tops -= self.covered(lambda i: CATALOGUE[i[0]].layer == TOP)
        return set(cells) <= tops

    def paired(self, item):
        kind, turn = item[0], item[3]
        partner = CATALOGUE[kind].partner
        if partner is None:
            return True
        looks = [turn] if partner.look == FRONT else [(turn + 1) % 4, (turn + 3) % 4]
        for r in looks:
            edge = self.edge(item, r)
            i, j = edge[len(edge) // 2]
            seen = self.part(partner.part, r)
            dx, dy = STEPS[r]
            for k in range(partner.near, partner.far + 1):
                if (i + k * dx, j + k * dy) in seen:
                    return True
        return False

    def part(self, part, r):
        if part == SURFACE:
            return self.covered(lambda i: NAMES[i[0]] in ("table", "desk"))
        if part == SOFA:
            return self.covered(lambda i: NAMES[i[0]] == "sofa" and i[3] == (r + 2) % 4)
        assert part == HEAD
        found = set()
        for item in self.items:
            if NAMES[item[0]] == "bed":
                dx, dy = STEPS[item[3]]
                found |= {
                    (i + k * dx, j + k * dy)
                    for i, j in self.edge(item, (item[3] + 2) % 4) for k in range(HEAD_DEPTH)
                }  # fmt: skip
        return found

    def rules(self, item):
        """On wall, paired, off the doors' strips, clear."""
        type_ = CATALOGUE[item[0]]
        cells = set(self.cells(item))
        ground = type_.layer == FLOOR
        strip = ground and any(self.strips[c] for c in cells)
        mine = [i for i in self.items if CATALOGUE[i[0]].layer == FLOOR]
        hinders = ground and any(cells & set(self.zone(i)) for i in mine)
        blocked = self.covered(lambda i: CATALOGUE[i[0]].layer == FLOOR) if ground else set()
        own = all(self.floor(c) and c not in blocked for c in self.zone(item))
        return (
            not type_.wall or self.backed(item),
            self.paired(item),
            not strip,
            not hinders and own,
        )


def plain_room(rooms, row) -> Plain:
    """One of `genenvs.rooms.instances.Rooms`, empty."""
    plans, requests = rooms.plans, rooms.requests
    grids = (packed.unpack(words[row], SIDE).numpy()
             for words in (plans.floor, plans.glass, plans.strips, plans.walls))  # fmt: skip
    sizes = list(zip(*(field[row].tolist() for field in requests[2:]), strict=True))
    return Plain(*grids, sizes)
