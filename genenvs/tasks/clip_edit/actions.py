"""The joint action of ClipEdit: a clip, then what of it, then how the film goes over to it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genenvs.editing.briefs import CLIPS, INS, LONGEST, MARKED
from genenvs.editing.styles import JOINS, LENGTHS
from genenvs.video.film import DISSOLVE, WIPE

FINISH = CLIPS  # 0 .. 15 are clips
RANGE = FINISH + 1  # the first of 64: in-point * 8 + length - 1
JOIN = RANGE + INS * LENGTHS  # the first of 4
ACTIONS = JOIN + len(JOINS)  # 85
CHOOSE_CLIP, CHOOSE_RANGE, CHOOSE_JOIN = range(3)  # phases
STEPS = 3  # of a shot
NOTHING = -1_000  # a bound that no length and no time left is below


CHOSEN, RANGED, JOINED, FINISHED, ILLEGAL = range(5)  # what an action does


@dataclass(frozen=True)
class Tables:
    """What is known of actions beforehand.

    Attributes:
        kind: int64 [85], what each does where it is legal.
        then: int64 [5, 3], the phase after an action of a kind in a phase.
        said: int64 [85, 3], what each sets: clip, in-point, length.
        sets: bool [5, 3], which of these an action of a kind sets; a transition empties all.
        phases: bool [6, 85], what each phase allows, in the first shot and later.
        ends: int64 [85], the unit of a clip at which a range ends; nothing else has one.
        needs: int64 [85], units that must be left of the film.
        shown: float32 [13, 9, 8, 9], units that a range shows of what is marked: by the first unit
            and the units of that, in-point and length.
    """

    kind: Tensor
    then: Tensor
    said: Tensor
    sets: Tensor
    phases: Tensor
    ends: Tensor
    needs: Tensor
    shown: Tensor

    def mask(
        self, phase: Tensor, used: Tensor, length: Tensor, left: Tensor, first: Tensor
    ) -> Tensor:
        """What is legal.

        Args:
            phase: int64 [B].
            used: bool [B, 16], clips that are in the film.
            length: int64 [B], of the clip that was chosen, units.
            left: int64 [B], units that the film still lacks.
            first: bool [B], whether the next shot is the first.

        Returns:
            bool [B, 85].
        """
        legal = self.phases[phase + STEPS * first]
        legal &= self.ends <= length[:, None]
        legal &= self.needs <= left[:, None]
        legal[:, :FINISH] &= ~used
        return legal


def tables(device: torch.device) -> Tables:
    """See the class."""
    action, cell = torch.arange(ACTIONS), torch.arange(INS * LENGTHS)
    kind = torch.full((ACTIONS,), CHOSEN)
    kind[FINISH], kind[RANGE:JOIN], kind[JOIN:] = FINISHED, RANGED, JOINED
    said = torch.zeros(ACTIONS, 3, dtype=torch.int64)
    said[:FINISH, 0] = action[:FINISH]
    said[RANGE:JOIN, 1], said[RANGE:JOIN, 2] = cell // LENGTHS, cell % LENGTHS + 1
    phases = torch.stack([(kind == CHOSEN) | (kind == FINISHED), kind == RANGED, kind == JOINED])
    opening = phases.clone()
    opening[:, [JOIN + DISSOLVE, JOIN + WIPE]] = False
    needs = torch.full((ACTIONS,), NOTHING)
    needs[:FINISH], needs[RANGE:JOIN] = 1, said[RANGE:JOIN, 2]
    stays = [CHOOSE_CLIP, CHOOSE_RANGE, CHOOSE_JOIN]
    first, marked, start, length = torch.meshgrid(
        torch.arange(LONGEST + 1),
        torch.arange(MARKED[1] + 1),
        torch.arange(INS),
        torch.arange(LENGTHS + 1),
        indexing="ij",
    )
    shown = torch.minimum(first + marked, start + length) - torch.maximum(first, start)
    found = Tables(
        kind=kind,
        then=torch.tensor([[CHOOSE_RANGE] * 3, [CHOOSE_JOIN] * 3, [CHOOSE_CLIP] * 3, stays, stays]),
        said=said,
        sets=torch.tensor(
            [[True, False, False], [False, True, True], [True] * 3, *[[False] * 3] * 2]
        ),
        phases=torch.cat([phases, opening]),
        ends=torch.where(kind == RANGED, said[:, 1] + said[:, 2], NOTHING),
        needs=needs,
        shown=shown.clamp(min=0).float(),
    )
    return Tables(**{name: value.to(device) for name, value in vars(found).items()})
