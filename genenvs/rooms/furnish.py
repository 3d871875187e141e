"""Furnish rooms greedily: each thing, the largest types first, at its best place."""

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.rooms import placing
from genenvs.rooms.catalogue import TYPES
from genenvs.rooms.placing import Furnishing, Things
from genenvs.rooms.plans import Plans
from genenvs.rooms.requests import ITEMS, Requests

_PLACES = 21  # what a draw is for


def things(requests: Requests, kind: Tensor, rows: Tensor | None = None) -> Things:
    """The thing of type `kind` (int64 [B]) that each room asks for.

    Args:
        requests: of the rooms.
        kind: one type for each.
        rows: int64 [B], which rooms; None: all.
    """
    rows = torch.arange(len(kind), device=kind.device) if rows is None else rows
    return Things(kind, *(field[rows, kind] for field in requests[2:]))


def furnish(
    plans: Plans, requests: Requests, key: Tensor | None = None, order: Tensor | None = None
) -> tuple[Furnishing, Tensor]:
    """Furnish B rooms.

    Args:
        plans: empty rooms.
        requests: what they are to hold.
        key: int64 [B]: draws among equally good places; None: the first of them.
        order: float32 [B, TYPES], types of lower numbers first, or [B, ITEMS, TYPES], which of
            those that are left comes first in every step; None: the catalogue's order.

    Returns:
        What stands there, and what found no place: counts int64 [B, TYPES].
    """
    now, left = placing.nothing(plans), requests.counts.clone()
    lost = torch.zeros_like(left)
    for step in range(ITEMS):
        now, left, gone, _ = _place_one(plans, requests, now, left, key, order, step)
        lost += gone
    return now, lost


def succeeds(
    plans: Plans, requests: Requests, key: Tensor | None = None, order: Tensor | None = None
) -> Tensor:
    """Whether `furnish` puts down all that is asked for with all rules kept: bool [B].

    Rooms are left at the first thing that has no place or breaks a rule: where one play in five
    succeeds, a quarter of the work.
    """
    found = torch.zeros_like(requests.kind, dtype=torch.bool)
    rows = torch.arange(len(found), device=found.device)
    now, left = placing.nothing(plans), requests.counts.clone()
    for step in range(ITEMS):
        now, left, gone, right = _place_one(plans, requests, now, left, key, order, step)
        good, done = right & ~gone.any(1), ~left.any(1)
        found[rows[good & done]] = True
        on = (good & ~done).nonzero()[:, 0]
        if not len(on):
            break
        rows, left, now = rows[on], left[on], Furnishing(*(field[on] for field in now))
        plans, requests = plans.rows(on), requests.rows(on)
        key, order = (None if x is None else x[on] for x in (key, order))
    return found


def _place_one(
    plans: Plans, requests: Requests, now: Furnishing, left: Tensor,
    key: Tensor | None, order: Tensor | None, step: int,
) -> tuple[Furnishing, Tensor, Tensor, Tensor]:  # fmt: skip
    """Place the next thing of those `left` (int64 [B, TYPES]) in every room; see `furnish`.

    Returns:
        What stands there then, what is left, what of it has no place and is left no longer, and
        whether the thing was placed with all rules kept, bool [B].
    """
    waiting = left > 0
    some = waiting.any(1)
    ranks = torch.arange(TYPES, device=left.device) if order is None else order
    rank = ranks[:, step] if ranks.ndim == 3 else ranks
    kind = torch.where(waiting, rank, torch.inf).argmin(1)
    thing = things(requests, kind)
    found = placing.survey(plans, now, thing)
    chance = None
    if key is not None:
        chance = random.uniform(key, random.counter(step, _PLACES), 1)[:, 0]
    place, exists = placing.best(found, chance)
    placed = some & exists
    right = placing.at(found.right, place)
    now = placing.put(plans.floor, now, thing, place, right, placed)
    one = torch.nn.functional.one_hot(kind, TYPES)
    gone = torch.where((some & ~exists)[:, None], one * left, 0)
    return now, left - gone - one * placed[:, None], gone, right & placed
