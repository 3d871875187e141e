"""A scripted dancer: of the codes that clips make likely, the one that pays most."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from genenvs.tasks.dance.task import Dance, DanceState

DEPTH = 6  # codes ahead: long enough to get faster, slower and faster again
FIRST = (8, 4)  # lower codes that are tried at once, and upper ones with each
THEN = (2, 2)  # and behind each way that is kept
KEPT = 12  # ways


def choose(task: "Dance", state: "DanceState") -> Tensor:
    """The first code of the best way that a beam search finds: int64 [B, 2].

    Ways are of codes that the clips make likely, and are judged as if the dance ended after them,
    paid as by default whatever the task pays.
    """
    weights = {name: term.weight / task.horizon for name, term in task.terms.items()}
    before = task.before(state)[:, None]  # [B, 1, 2]
    row = torch.arange(len(before), device=before.device)[:, None]
    speed = torch.zeros(len(before), 1, 0, device=before.device)
    cost, first = torch.zeros(len(before), 1, device=before.device), before
    for depth in range(DEPTH):
        lowers, uppers = THEN if depth else FIRST
        ways, many = before.shape[1], lowers * uppers
        likely = task.prior.likely(before.flatten(0, 1), lowers, uppers)
        likely = likely.view(len(row), ways * many, 2)
        here = before.repeat_interleave(many, 1)
        moved = task.codes.speed(here, likely)
        speed = torch.cat([speed.repeat_interleave(many, 1), moved], 2)
        apart = task.codes.apart[likely[..., 0], likely[..., 1]]
        cost = cost.repeat_interleave(many, 1) + weights["halves"] * apart
        cost = cost + weights["continuity"] * task.codes.gap(here, likely)
        first = first.repeat_interleave(many, 1) if depth else likely
        paid = weights["beats"] * task.horizon * task.scored(state, speed, "balanced")[1]
        best = (paid - cost).topk(min(KEPT, ways * many), 1).indices
        before, first, speed, cost = (x[row, best] for x in (likely, first, speed, cost))
    return first[:, 0]
