"""The joint action of ClipEdit: a clip, then what of it, then how the film goes over to it."""

import torch
from torch import Tensor

from genenvs.editing.briefs import CLIPS, INS
from genenvs.editing.styles import JOINS, LENGTHS
from genenvs.video.film import DISSOLVE, WIPE

FINISH = CLIPS  # 0 .. 15 are clips
RANGE = FINISH + 1  # the first of 64: in-point * 8 + length - 1
JOIN = RANGE + INS * LENGTHS  # the first of 4
ACTIONS = JOIN + len(JOINS)  # 85
CHOOSE_CLIP, CHOOSE_RANGE, CHOOSE_JOIN = range(3)  # phases


def ends(device: torch.device) -> Tensor:
    """The unit of a clip at which each range ends: int64 [64]."""
    cell = torch.arange(INS * LENGTHS, device=device)
    return cell // LENGTHS + cell % LENGTHS + 1


def mask(
    phase: Tensor, used: Tensor, length: Tensor, left: Tensor, first: Tensor, ends: Tensor
) -> Tensor:
    """What is legal.

    Args:
        phase: int64 [B].
        used: bool [B, 16], clips that are in the film.
        length: int64 [B], of the clip that was chosen, units.
        left: int64 [B], units that the film still lacks.
        first: bool [B], whether the next shot is the first.
        ends: see the function.

    Returns:
        bool [B, 85].
    """
    legal = torch.zeros(len(phase), ACTIONS, dtype=torch.bool, device=phase.device)
    choosing = (phase == CHOOSE_CLIP)[:, None]
    legal[:, :FINISH] = choosing & ~used & (left > 0)[:, None]
    legal[:, FINISH] = choosing[:, 0]
    lasts = torch.arange(INS * LENGTHS, device=phase.device) % LENGTHS + 1
    fits = (ends <= length[:, None]) & (lasts <= left[:, None])
    legal[:, RANGE:JOIN] = fits & (phase == CHOOSE_RANGE)[:, None]
    legal[:, JOIN:] = (phase == CHOOSE_JOIN)[:, None]
    legal[:, [JOIN + DISSOLVE, JOIN + WIPE]] &= ~first[:, None]
    return legal
