"""The rooms of a split: what an episode asks for, by index."""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.rooms import plans, requests
from genenvs.rooms.plans import Plans
from genenvs.rooms.requests import KINDS, Requests

SHARES = {"train": 8, "validation": 1, "test": 2}  # of eleven
MIXTURE = "mixed"
SETS = ("layout", "select")  # lists of accepted numbers, made by `genenvs.rooms.choose`
_ROOMS = random.word("rooms")


@dataclass(frozen=True)
class Rooms:
    """The rooms of one split.

    Attributes:
        plans: N empty rooms.
        requests: what they are to hold.
        key: int64 [N], the room's own random stream.
    """

    plans: Plans
    requests: Requests
    key: Tensor

    def __len__(self) -> int:
        """How many there are."""
        return len(self.key)

    def rows(self, index: Tensor) -> "Rooms":
        """The rooms `index` (int64 [K])."""
        return Rooms(self.plans.rows(index), self.requests.rows(index), self.key[index])

    def to(self, device: str | torch.device) -> "Rooms":
        """On another device."""
        return Rooms(self.plans.to(device), self.requests.to(device), self.key.to(device))


def draw(number: Tensor) -> Rooms:
    """The rooms of numbers int64 [N], each drawn from its number alone."""
    key = random.mix(_ROOMS, number)
    return Rooms(plans.draw(key), requests.draw(key), key)


def split_of(rooms: Rooms) -> tuple[Tensor, Tensor]:
    """The split of each outline, and of each request: index into `SHARES`, int64 [N] twice.

    It follows from the hash of the cells, or of the counts: rooms that agree in one of them never
    stand on two sides.
    """
    limits = torch.tensor(list(SHARES.values())).cumsum(0)

    def place(columns: Tensor) -> Tensor:
        hashed = random.mix(_ROOMS, *columns.cpu().unbind(1))
        return torch.bucketize((hashed >> 8) % int(limits[-1]), limits, right=True)

    return place(rooms.plans.floor), place(rooms.requests.counts)


@cache
def accepted() -> dict[str, dict[str, list[int]]]:
    """Numbers of rooms that were found solvable, by set and split."""
    text = resources.files("genenvs.rooms").joinpath("accepted.json").read_text(encoding="utf-8")
    return json.loads(text)


@lru_cache(maxsize=32)
def load(split: str, kind: str = MIXTURE, which: str = "layout") -> Rooms:
    """The rooms of a split; computed once a process for each set of arguments.

    Outlines and requests of two splits never agree (see `split_of`). Every request was seen to be
    met with all rules kept: of `layout` by a greedy furnishing, in one of a few draws; of `select`
    by some order, and by less than 40 % of random plays.

    Args:
        split: `train`, `validation` or `test`.
        kind: `mixed`, or a kind of room alone: `bedroom`, `living`, `dining`, `study`.
        which: `layout`, or `select` for rooms in which the order of things matters.

    Raises:
        ValueError: no such split, kind or set.
    """
    if kind != MIXTURE and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join([MIXTURE, *KINDS])}; got {kind!r}")
    if split not in SHARES or which not in SETS:
        raise ValueError(f"no rooms of split {split!r} in {which!r}")
    rooms = draw(torch.tensor(accepted()[which][split]))
    if kind != MIXTURE:
        rooms = rooms.rows((rooms.requests.kind == list(KINDS).index(kind)).nonzero()[:, 0])
    return rooms
