"""What a strip of shots tells of an editor, and what that says of shots that could come next.

Counts alone, no knowledge of the grammar: how often each value is in the strip, and how often a
value was kept, taken up again or followed by the next one of its scale. How to weigh them is left
to whoever reads them.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from genenvs.editing.styles import JOINS, LENGTHS, NONE, Films
from genenvs.video.attributes import COUNT, LOCATION, SIZES, STARTS, WIDTH, one_hot

TASTE, KEPT, AGAIN, ON = range(4)  # the hints of a value
HINTS = 4


@dataclass(frozen=True)
class Strip:
    """Counts of a batch of strips, as shares.

    Attributes:
        values: float32 [B, 36], of the shots that have each value.
        habits: float32 [B, 3, 8], of the shots after the first that keep the last one's value;
            after the second that have that of the one before; after the first that have the next.
    """

    values: Tensor
    habits: Tensor


def read(shots: Tensor) -> Strip:
    """Count a strip: int64 [B, M, 8] of at least three shots."""
    sizes = torch.tensor(SIZES, device=shots.device)
    last, new = shots[:, :-1], shots[:, 1:]
    habits = [new == last, shots[:, 2:] == shots[:, :-2], new == (last + 1) % sizes]
    return Strip(
        one_hot(shots).mean(1), torch.stack([habit.float().mean(1) for habit in habits], 1)
    )


def hints(values: Tensor, habits: Tensor, before: Tensor, last: Tensor) -> Tensor:
    """What the strip says of each value of the next shot.

    Args:
        values, habits: of `Strip`.
        before: int64 [B, 8], attributes of the shot before the last; `NONE` without one.
        last: int64 [B, 8], of the last.

    Returns:
        float32 [B, 36, 4] in 0 .. 1: how often the value is in the strip; where it is the last
        shot's, how often the strip keeps one; where it is that of the one before, how often the
        strip takes one up again; where it is the next on its scale, how often the strip walks on.
    """
    table, begins = _places(last.device)
    place = table[torch.stack([last, before, last], 1) + begins]  # [B, 3, 8]
    said = torch.zeros(len(last), HINTS - 1, WIDTH + 1, device=last.device)
    said.scatter_(2, place, habits)
    return torch.cat([values[:, None], said[..., :-1]], 1).mT


@cache
def _places(device: torch.device) -> tuple[Tensor, Tensor]:
    """Where among the 36 values the one is that a habit points at.

    Returns:
        int64 [96]: of each attribute's values and `NONE` the value itself, then the next on its
        scale; 36, beyond all, for `NONE`. And int64 [3, 8], where therein the habits' parts begin.
    """
    sizes, starts = torch.tensor(SIZES)[:, None], torch.tensor(STARTS)[:, None]
    value = torch.arange(NONE + 1)
    places = torch.stack([starts + value, starts + (value + 1) % sizes]).masked_fill(
        value == NONE, WIDTH
    )
    attribute = torch.arange(COUNT) * (NONE + 1)
    begins = torch.stack([attribute, attribute, COUNT * (NONE + 1) + attribute])
    return places.flatten().to(device), begins.to(device)


def lengths(films: Films) -> Tensor:
    """Share of a film's shots that last 1 .. 8 units: float32 [B, 8]."""
    return torch.nn.functional.one_hot(films.lengths - 1, LENGTHS).float().mean(1)


def joins(films: Films) -> Tensor:
    """Share of each transition, where the location stays, where it changes, at the beginning.

    Each of a film's transitions of one kind counts once, and one of each is added, so that none
    is impossible: float32 [B, 3, 4], in the order of `Styles.joins`.
    """
    place = films.attributes[:, :, LOCATION]
    case = torch.nn.functional.pad((place[:, 1:] != place[:, :-1]).long(), (1, 0), value=2)
    seen = torch.nn.functional.one_hot(case * len(JOINS) + films.joins, 3 * len(JOINS)).sum(1)
    counts = seen.view(-1, 3, len(JOINS)).float() + 1
    return counts / counts.sum(2, keepdim=True)
