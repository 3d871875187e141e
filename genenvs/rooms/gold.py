"""What nobody is paid for: whether a finished room can be lived in.

`walkable` and `reachable` are PhyScene's R_walk and R_reach (Yang et al., CVPR 2024,
scripts/eval/walkable_metric.py), on cells of 10 cm instead of a raster of 256 x 256, over all parts
of the floor, where its branch for rooms without doors returns after the first. Furniture that
stands on the floor counts; what hangs or stands on other things is in nobody's way.
"""

import torch
from torch import Tensor

from genenvs.geometry import packed
from genenvs.geometry.components import voxel_components
from genenvs.rooms import bits, placing
from genenvs.rooms.catalogue import FLOOR, SIDE, index, table
from genenvs.rooms.furnished import Furnished
from genenvs.rooms.placing import Things
from genenvs.rooms.plans import along

RADIUS = 3  # cells: a body of 0.3 m radius
PULL = 4  # cells by which a chair is drawn back
_ENTRY = 6  # cells from a door within which a body has to be able to stand
_CHUNK = 64


def gold(room: Furnished) -> dict[str, Tensor]:
    """The gold metrics of N rooms: float32 [N] each, see `rewards.METRICS`."""
    rows = torch.arange(len(room.now.number), device=room.now.number.device)
    found = [_gold(room.rows(part)) for part in rows.split(_CHUNK)]
    return {name: torch.cat([each[name] for each in found]) for name in found[0]}


def _gold(room: Furnished) -> dict[str, Tensor]:
    free = body_room(room.walkable)
    label = voxel_components(free[:, None]).label[:, 0]  # [N, 64, 64]
    most = int(label.max())
    area = torch.stack([(label == k).flatten(1).sum(1) for k in range(1, most + 1)], 1) if most \
        else label.new_zeros(len(label), 1)  # fmt: skip
    total = area.sum(1)
    share = area / total.clamp(min=1)[:, None]  # [N, L]
    largest = label == area.argmax(1)[:, None, None] + 1
    return {
        "walkable": share.amax(1).float(),
        "reachable": _reachable(room, label, share),
        "entered": _entered(room, largest),
        "pull_out": _pull_out(room),
        "door_swing": _door_swing(room),
    }


def body_room(walkable: Tensor) -> Tensor:
    """Where the centre of a body can be: bool [N, 64, 64] -> the same.

    A cell counts if all cells whose centres lie within 0.3 m of its own are free.
    """
    reach = torch.arange(-RADIUS, RADIUS + 1, device=walkable.device)
    disc = (reach[:, None] ** 2 + reach**2 <= RADIUS**2).float()[None, None]
    blocked = torch.nn.functional.pad((~walkable).float()[:, None], (RADIUS,) * 4, value=1.0)
    return torch.nn.functional.conv2d(blocked, disc)[:, 0] < 0.5


def _standing(room: Furnished) -> Tensor:
    """Which items stand on the floor: bool [N, 14]."""
    layer = table(room.now.items.device).layer[room.now.items[..., 0].clamp(min=0)]
    return room.present & (layer == FLOOR)


def _each(room: Furnished) -> tuple[Things, Tensor, Tensor, Tensor]:
    """All items of all rooms as things, with x, y and turn: int64 [N, 14] each."""
    kind, x, y, turn = room.now.items.unbind(-1)
    kind = kind.clamp(min=0)
    sizes = (field.gather(1, kind) for field in room.requests[2:])
    return Things(kind, *sizes), x, y, turn


def _reachable(room: Furnished, label: Tensor, share: Tensor) -> Tensor:
    things, x, y, turn = _each(room)
    along_x, along_y = things.extent(turn)
    grown = RADIUS + 1
    near = bits.rectangle(x - grown, y - grown, along_x + 2 * grown, along_y + 2 * grown)
    cells = packed.unpack(near, SIDE)  # [N, 14, 64, 64]
    standing = _standing(room)
    touched = torch.zeros(standing.shape, device=label.device)
    for k in range(share.shape[1]):
        beside = (cells & (label == k + 1)[:, None]).flatten(2).any(2)
        touched += beside * share[:, k, None]
    count = standing.sum(1)
    return torch.where(count > 0, (touched * standing).sum(1) / count.clamp(min=1), 1.0).float()


def _entered(room: Furnished, largest: Tensor) -> Tensor:
    x, y, r, width, _ = room.plans.doors.unbind(-1)  # [N, 2]
    cells = packed.unpack(along(x, y, r, width, _ENTRY), SIDE)
    return _of_doors(room, (cells & largest[:, None]).flatten(2).any(2))


def _of_doors(room: Furnished, which: Tensor) -> Tensor:
    there = room.plans.doors[..., 3] > 0
    return ((which & there).sum(1) / there.sum(1).clamp(min=1)).float()


def _pull_out(room: Furnished) -> Tensor:
    things, x, y, turn = _each(room)
    # Behind a thing is what would be in front of it if it faced the other way.
    back = placing.front_zone(things, x, y, (turn + 2) % 4, torch.full_like(x, PULL))
    free = room.plans.floor & ~room.now.taken
    # Counted, since a rectangle is cut at the edge of the grid.
    clear = packed.popcount(back & free[:, None]).sum(2, dtype=torch.int64)
    stuck = clear < PULL * things.width
    chair = room.present & (things.type == index("chair"))
    return ((stuck & chair).sum(1) / chair.sum(1).clamp(min=1)).float()


def swings(doors: Tensor) -> Tensor:
    """The floor over which doors open: int64 [..., 5] -> bool [..., 64, 64]."""
    x, y, r, width, hinge = (v[..., None, None] for v in doors.unbind(-1))
    cell = torch.arange(SIDE, device=doors.device) + 0.5
    # Of the cell's centre: along the wall from the hinge, and away from the wall.
    along_wall = torch.where(r % 2 == 1, cell[:, None] - x, cell[None] - y)
    along_wall = torch.where(hinge == 1, width - along_wall, along_wall)
    away = torch.where(
        r % 2 == 0,
        torch.where(r == 0, cell[:, None] - x, x + 1 - cell[:, None]),
        torch.where(r == 1, cell[None] - y, y + 1 - cell[None]),
    )
    return (along_wall >= 0) & (away >= 0) & (along_wall**2 + away**2 <= width**2) & (width > 0)


def _door_swing(room: Furnished) -> Tensor:
    taken = packed.unpack(room.now.taken, SIDE)
    return _of_doors(room, (swings(room.plans.doors) & taken[:, None]).flatten(2).any(2))
