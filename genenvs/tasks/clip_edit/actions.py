"""The joint action of ClipEdit: a clip, then what of it, then how the film goes over to it."""

import torch
from torch import Tensor

from genenvs.editing.briefs import CLIPS, INS, SHORTEST
from genenvs.editing.styles import DISSOLVE, JOINS, LENGTHS, WIPE

FINISH = CLIPS  # 0 .. 15 are clips
RANGE = FINISH + 1  # the first of 64: in-point * 8 + length - 1
JOIN = RANGE + INS * LENGTHS  # the first of 4
ACTIONS = JOIN + len(JOINS)  # 85
CHOOSE_CLIP, CHOOSE_RANGE, CHOOSE_JOIN = range(3)  # phases
_FIRST = (1 << SHORTEST) - 1  # the units at which a shot may begin


def bits(start: Tensor, length: Tensor) -> Tensor:
    """Units `start` .. `start + length - 1` of a clip as bits, int64."""
    return ((1 << length) - 1) << start


def range_bits(device: torch.device) -> Tensor:
    """Bits of every in-point and length: int64 [8, 8]."""
    start = torch.arange(INS, device=device)[:, None]
    return bits(start, torch.arange(1, LENGTHS + 1, device=device))


def mask(
    phase: Tensor, used: Tensor, clip: Tensor, left: Tensor, first: Tensor, ranges: Tensor
) -> Tensor:
    """What is legal.

    Args:
        phase: int64 [B].
        used: int64 [B, 16], units of each clip that are in the film, or beyond its end, as bits.
        clip: int64 [B], that was chosen.
        left: int64 [B], units that the film still lacks.
        first: bool [B], whether the next shot is the first.
        ranges: `range_bits`.

    Returns:
        bool [B, 85].
    """
    legal = torch.zeros(len(phase), ACTIONS, dtype=torch.bool, device=phase.device)
    choosing = (phase == CHOOSE_CLIP)[:, None]
    some = (left > 0)[:, None]
    legal[:, :FINISH] = choosing & some & ((used & _FIRST) != _FIRST)
    legal[:, FINISH] = choosing[:, 0]
    taken = used.gather(1, clip[:, None])[:, :, None]  # [B, 1, 1]
    length = torch.arange(1, LENGTHS + 1, device=phase.device)
    free = ((taken & ranges) == 0) & (length <= left[:, None])[:, None]  # [B, 8, 8]
    legal[:, RANGE:JOIN] = free.flatten(1) & (phase == CHOOSE_RANGE)[:, None]
    legal[:, JOIN:] = (phase == CHOOSE_JOIN)[:, None]
    legal[:, [JOIN + DISSOLVE, JOIN + WIPE]] &= ~first[:, None]
    return legal
