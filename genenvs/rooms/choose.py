"""Choose the rooms that ship: `python -m genenvs.rooms.choose` writes `accepted.json`."""

import argparse
import json
import math
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.core import random
from genenvs.core.files import replacing
from genenvs.core.task import SPLITS
from genenvs.rooms import furnish, instances
from genenvs.rooms.catalogue import TYPES
from genenvs.rooms.instances import Rooms
from genenvs.rooms.requests import ITEMS

EACH = {
    "layout": {"train": 2048, "validation": 128, "test": 512},
    "select": {"train": 1024, "validation": 128, "test": 256},
}
TRIES = 6  # furnishings, with other draws among equally good places, before a room is given up
# Random plays by which a room is judged, twice. Of one in which 40 % of all plays succeed, both
# shares stay below the limit with a chance of 0.4 %.
PLAYS = (64, 192)
LIMIT = 1 / 3
# Plays of each room anew, and of those in which more than a share of them succeed.
AGAIN, NEAR, MANY = 256, 0.34, 2_048
SEARCHED = 64  # orders of types among which one has to succeed where no play did
_CHUNK, _PLAYED = 8_192, 16_384  # rooms, and plays, at a time
_ORDERS, _PLAYS = 31, 32  # what a draw is for


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
    return furnish.succeeds(rooms.plans, rooms.requests, key, order)


def ordered(rooms: Rooms, orders: int) -> Tensor:
    """The share of random orders of types, all of a type in a row, that succeed: float32 [N]."""
    return _share(rooms, orders, 0, _ORDERS, TYPES)


def played(rooms: Rooms, plays: int, first: int = 0) -> Tensor:
    """The share of random plays that succeed: float32 [N].

    Every step draws uniformly from the types that are left, the mask of `RoomSelect` less finishing
    early, with which less would succeed.

    Args:
        rooms: N rooms.
        plays: of each.
        first: number of the first play; plays of other numbers are independent.
    """
    return _share(rooms, plays, first, _PLAYS, ITEMS, TYPES)


def _share(rooms: Rooms, times: int, first: int, purpose: int, *shape: int) -> Tensor:
    """The share of `times` random orders of that shape that succeed, see `furnish`."""
    some = rooms.rows(torch.arange(len(rooms)).repeat_interleave(times))
    key = random.mix(some.key, first + torch.arange(len(some)) % times)
    order = random.uniform(key, random.counter(0, purpose), math.prod(shape)).unflatten(1, shape)
    return succeeds(some, None, order).float().view(-1, times).mean(1)


def harder(rooms: Rooms) -> Tensor:
    """Whether few random plays succeed and some order does: bool [N]."""
    first, second = PLAYS
    share = played(rooms, first)
    found, again = share < LIMIT, torch.zeros_like(share)
    again[found] = played(rooms.rows(found.nonzero()[:, 0]), second, first)
    found &= again < LIMIT
    never = (found & (share + again == 0)).nonzero()[:, 0]
    found[never] = ordered(rooms.rows(never), SEARCHED) > 0
    return found


def played_again(rooms: Rooms) -> Tensor:
    """The share of plays other than those of `harder` that succeed: float32 [N].

    `AGAIN` plays of each room; `MANY` more in place of them where the share is above `NEAR`.
    """

    def share(index: Tensor, plays: int, first: int) -> Tensor:
        parts = index.split(max(1, _PLAYED // plays))
        return torch.cat([played(rooms.rows(part), plays, first) for part in parts])

    found = share(torch.arange(len(rooms)), AGAIN, 1_000)
    near = (found > NEAR).nonzero()[:, 0]
    found[near] = share(near, MANY, 5_000)
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
                    good = good[: each[split] - len(kept[split])]
                    bar.update(len(good))
                    kept[split] += good
    return kept


def main() -> None:
    """Choose a set anew, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=list(EACH), help=" or ".join(EACH))
    shipped = Path(__file__).with_name("accepted.json")
    parser.add_argument("--output", type=Path, default=shipped)
    parser.add_argument(
        "--again", action="store_true", help="only play rooms of select anew, which takes minutes"
    )
    given = parser.parse_args()
    if given.again:
        for split in SPLITS:
            share = played_again(instances.load(split, which="select"))
            print(f"{split}: {len(share)} rooms, {share.mean():.1%} of plays succeed,"
                  f" at most {share.max():.1%}")  # fmt: skip
        return
    if unknown := set(given.sets) - EACH.keys():
        parser.error(f"sets are {' and '.join(EACH)}; got {', '.join(sorted(unknown))}")
    known = json.loads(shipped.read_text()) if shipped.exists() else {}
    for which in given.sets:
        known[which] = choose(which, EACH[which])
    with replacing(given.output) as temporary:
        temporary.write_text(json.dumps(known, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
