"""Choose the rooms that ship: `python -m genenvs.rooms.choose` writes `accepted.json`."""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.core import random
from genenvs.core.files import replacing
from genenvs.core.task import SPLITS
from genenvs.rooms import instances
from genenvs.rooms.catalogue import TYPES
from genenvs.rooms.furnish import furnish
from genenvs.rooms.instances import Rooms

EACH = {
    "layout": {"train": 2048, "validation": 128, "test": 512},
    "select": {"train": 1024, "validation": 128, "test": 256},
}
TRIES = 6  # furnishings, with other draws among equally good places, before a room is given up
ORDERS = 32  # random orders by which a room is judged
SEARCHED = 64  # orders among which one has to succeed
SHARE = 0.4  # of the random orders that may succeed at most
_CHUNK = 8_192
_ORDERS = 31  # what a draw is for


def solvable(rooms: Rooms) -> Tensor:
    """Whether a greedy furnishing meets the request with all rules kept: bool [N]."""
    found = torch.zeros(len(rooms), dtype=torch.bool)
    for k in range(TRIES):
        rest = (~found).nonzero()[:, 0]
        if len(rest):
            some = rooms.rows(rest)
            found[rest] = succeeds(some, None if k == 0 else random.mix(some.key, k))
    return found


def succeeds(rooms: Rooms, key: Tensor | None = None, order: Tensor | None = None) -> Tensor:
    """Whether all that is asked for stands and keeps its rules: bool [N]; see `furnish`."""
    furnished, _ = furnish(rooms.plans, rooms.requests, key, order)
    return furnished.right.sum(1) == rooms.requests.counts.sum(1)


def ordered(rooms: Rooms, orders: int) -> Tensor:
    """The share of random orders of types that succeed: float32 [N]."""
    repeated = rooms.rows(torch.arange(len(rooms)).repeat_interleave(orders))
    which = torch.arange(len(repeated)) % orders
    order = random.uniform(random.mix(repeated.key, which), random.counter(0, _ORDERS), TYPES)
    return succeeds(repeated, None, order).float().view(-1, orders).mean(1)


def harder(rooms: Rooms) -> Tensor:
    """Whether few orders succeed and some do: bool [N]."""
    share = ordered(rooms, ORDERS)
    found = (share < SHARE) & (share > 0)
    rest = (share == 0).nonzero()[:, 0]
    if len(rest):
        found[rest] = ordered(rooms.rows(rest), SEARCHED) > 0
    return found


def choose(which: str, each: dict[str, int]) -> dict[str, list[int]]:
    """Accepted numbers of every split of a set."""
    kept: dict[str, list[int]] = {split: [] for split in SPLITS}
    first = 0 if which == "layout" else 1 << 30  # no room is in two sets
    with tqdm(total=sum(each.values())) as bar:
        while any(len(kept[split]) < each[split] for split in SPLITS):
            numbers = torch.arange(first, first + _CHUNK)
            first += _CHUNK
            rooms = instances.draw(numbers)
            outline, request = instances.split_of(rooms)
            for k, split in enumerate(SPLITS):
                mine = ((outline == k) & (request == k)).nonzero()[:, 0]
                mine = mine[: 3 * (each[split] - len(kept[split]))]
                for part in mine.split(256 if which == "layout" else 32):
                    if len(kept[split]) >= each[split]:
                        break
                    test = solvable if which == "layout" else harder
                    good = numbers[part][test(rooms.rows(part))].tolist()
                    bar.update(len(good))
                    kept[split] += good[: each[split] - len(kept[split])]
    return kept


def main() -> None:
    """Choose a set anew, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(EACH))
    path = Path(__file__).with_name("accepted.json")
    known = json.loads(path.read_text()) if path.exists() else {}
    for which in parser.parse_args().sets:
        known[which] = choose(which, EACH[which])
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(known, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
