"""What a room is to hold: counts and sizes of every type, drawn from a number."""

from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.rooms.catalogue import CATALOGUE, NAMES, TYPES, index

ITEMS = 14  # in a room, at most
_COUNTS, _SIZES = 11, 12  # what a draw is for
# Kinds of rooms: least and greatest number of each type, 0 where a type is not named.
KINDS: dict[str, dict[str, tuple[int, int]]] = {
    "bedroom": {
        "bed": (1, 1), "wardrobe": (1, 1), "desk": (0, 1), "dresser": (0, 1), "bookshelf": (0, 1),
        "armchair": (0, 1), "nightstand": (1, 2), "chair": (0, 1), "plant": (0, 1),
        "lamp": (0, 2), "picture": (0, 2),
    },
    "living": {
        "sofa": (1, 2), "table": (0, 1), "dresser": (0, 1), "bookshelf": (0, 2),
        "tv stand": (1, 1), "armchair": (0, 2), "coffee table": (1, 1), "chair": (0, 3),
        "plant": (0, 2), "tv": (1, 1), "lamp": (0, 1), "picture": (0, 2),
    },
    "dining": {
        "table": (1, 2), "dresser": (0, 1), "bookshelf": (0, 1), "chair": (2, 6),
        "plant": (0, 2), "lamp": (0, 1), "picture": (0, 2),
    },
    "study": {
        "sofa": (0, 1), "desk": (1, 2), "dresser": (0, 1), "bookshelf": (1, 3),
        "armchair": (0, 1), "coffee table": (0, 1), "chair": (1, 2), "plant": (0, 1),
        "lamp": (0, 2), "picture": (0, 2),
    },
}  # fmt: skip
_NEEDS = {  # no more of a type than twice, say, of those it belongs to
    "chair": (4, ("table", "desk")),
    "coffee table": (1, ("sofa",)),
    "nightstand": (2, ("bed",)),
    "lamp": (1, ("nightstand", "desk", "dresser")),
    "tv": (1, ("tv stand",)),
}


class Requests(NamedTuple):
    """What N rooms are to hold.

    Attributes:
        kind: int64 [N], index into `KINDS`.
        counts: int64 [N, TYPES].
        width: int64 [N, TYPES], cells.
        depth: int64 [N, TYPES], cells.
        height: int64 [N, TYPES], centimetres.
    """

    kind: Tensor
    counts: Tensor
    width: Tensor
    depth: Tensor
    height: Tensor

    def rows(self, index: Tensor) -> "Requests":
        """The rooms `index`."""
        return Requests(*(field[index] for field in self))

    def to(self, device: str | torch.device) -> "Requests":
        """On another device."""
        return Requests(*(field.to(device) for field in self))


def draw(key: Tensor) -> Requests:
    """Requests of keys int64 [N], at most `ITEMS` things each."""
    kind = random.randint(key, random.counter(0, _COUNTS), 1, len(KINDS))[:, 0]
    u = random.uniform(key, random.counter(1, _COUNTS), TYPES)
    ranges = torch.tensor(
        [[wanted.get(name, (0, 0)) for name in NAMES] for wanted in KINDS.values()]
    ).to(key.device)[kind]  # [N, TYPES, 2]
    low, high = ranges.unbind(-1)
    counts = low + (u * (high - low + 1)).long()
    for name, (most, others) in _NEEDS.items():
        hosts = counts[:, [index(other) for other in others]].sum(1)
        counts[:, index(name)] = counts[:, index(name)].minimum(most * hosts)
    # What comes last in the catalogue is what a full room does without.
    room = ITEMS - (counts.cumsum(1) - counts)
    counts = counts.minimum(room.clamp(min=0))
    s = random.uniform(key, random.counter(0, _SIZES), 3 * TYPES).view(-1, 3, TYPES)
    sizes = []
    for k, name in enumerate(("width", "depth", "height")):
        low, high = torch.tensor([getattr(f, name) for f in CATALOGUE]).to(key.device).T
        sizes.append(low + (s[:, k] * (high - low + 1)).long())
    return Requests(kind, counts, *sizes)
