"""Furnished rooms in metres: where one can walk, and boxes around what stands there."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.geometry import packed
from genenvs.geometry.boxes import Boxes
from genenvs.rooms import instances
from genenvs.rooms.catalogue import CELL, FLOOR, HANGS, HUNG, SIDE, TOP, table
from genenvs.rooms.furnish import furnish
from genenvs.rooms.placing import Furnishing
from genenvs.rooms.plans import Plans
from genenvs.rooms.requests import Requests


class Furnished(NamedTuple):
    """N furnished rooms.

    A room's grid has 64 x 64 cells of 10 cm; cell (x, y) covers x / 10 .. (x + 1) / 10 metres
    along the first axis, and so on. z is up, the floor at 0.

    Attributes:
        plans: the empty rooms.
        requests: sizes of what stands in them.
        now: what stands where.
    """

    plans: Plans
    requests: Requests
    now: Furnishing

    def rows(self, index: Tensor) -> "Furnished":
        """The rooms `index` (int64 [K])."""
        return Furnished(
            self.plans.rows(index),
            self.requests.rows(index),
            Furnishing(*(f[index] for f in self.now)),
        )

    @property
    def inside(self) -> Tensor:
        """Cells of the room: bool [N, 64, 64], x first."""
        return packed.unpack(self.plans.floor, SIDE)

    @property
    def walkable(self) -> Tensor:
        """Cells of the room without furniture on the floor: bool [N, 64, 64], x first."""
        return packed.unpack(self.plans.floor & ~self.now.taken, SIDE)

    @property
    def present(self) -> Tensor:
        """Which of the 14 items of a room there are: bool [N, 14]."""
        return self.now.items[..., 0] >= 0

    @property
    def boxes(self) -> Boxes:
        """Boxes of the items in metres, float32 [N, 14, 3]; without sides where there is none."""
        low, high = bounds(self.requests, self.now)
        return Boxes((low + high) / 2, (high - low) / 2)


def bounds(requests: Requests, now: Furnishing) -> tuple[Tensor, Tensor]:
    """Lowest and highest corners of every item in metres: float32 [N, 14, 3] twice.

    What stands on something begins at its top, what hangs at 1.4 m; zeros where there is nothing.
    """
    kind, x, y, turn = now.items.unbind(-1)
    safe = kind.clamp(min=0)
    width, depth, height = (field.gather(1, safe) for field in requests[2:])
    sideways = turn % 2 == 1
    along_x, along_y = torch.where(sideways, width, depth), torch.where(sideways, depth, width)
    layer = table(kind.device).layer[safe]
    # Under a stacked thing's lowest cell is what carries it.
    under = (x[:, :, None] >= x[:, None]) & (x[:, :, None] < (x + along_x)[:, None])
    under &= (y[:, :, None] >= y[:, None]) & (y[:, :, None] < (y + along_y)[:, None])
    under &= ((layer == FLOOR) & (kind >= 0))[:, None]
    carried = torch.where(under, height[:, None], 0).amax(2) / 100
    base = torch.where(layer == TOP, carried, torch.where(layer == HUNG, HANGS, 0.0))
    low = torch.stack([x * CELL, y * CELL, base], -1)
    side = torch.stack([along_x * CELL, along_y * CELL, height / 100], -1)
    there = (kind >= 0)[..., None]
    return torch.where(there, low, 0.0).float(), torch.where(there, low + side, 0.0).float()


@lru_cache(maxsize=16)
def load(split: str, kind: str = instances.MIXTURE, device: str = "cpu") -> Furnished:
    """The rooms of a split with furniture, the same at every call; computed once a process.

    Every request is furnished greedily, with draws among equally good places.

    Args:
        split: `train` (2,048 rooms), `validation` (128) or `test` (512).
        kind: see `genenvs.rooms.instances.load`.
        device: where tensors live.
    """
    rooms = instances.load(split, kind)
    now, _ = furnish(rooms.plans, rooms.requests, rooms.key)
    return Furnished(
        rooms.plans.to(device), rooms.requests.to(device), Furnishing(*(f.to(device) for f in now))
    )
