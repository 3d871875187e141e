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
    ranks = torch.arange(TYPES, device=left.device) if order is None else order
    for step in range(ITEMS):
        waiting = left > 0
        some = waiting.any(1)
        rank = ranks[:, step] if ranks.ndim == 3 else ranks
        kind = torch.where(waiting, rank, torch.inf).argmin(1)
        thing = things(requests, kind)
        found = placing.survey(plans, now, thing)
        chance = None
        if key is not None:
            chance = random.uniform(key, random.counter(step, _PLACES), 1)[:, 0]
        place, exists = placing.best(found, chance)
        right = placing.at(found.right, place)
        now = placing.put(plans.floor, now, thing, place, right, some & exists)
        one = torch.nn.functional.one_hot(kind, TYPES)
        gone = torch.where((some & ~exists)[:, None], one * left, 0)
        lost += gone
        left = left - gone - one * (some & exists)[:, None]
    return now, lost
