"""What a task needs of every target of its split, worked out once a process."""

from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from genenvs.geometry import sums, voxels
from genenvs.shapes.targets import Targets
from genenvs.tasks.primitive_model.moves import first_cuboids
from genenvs.tasks.primitive_model.survey import fold

_ROWS = 256  # targets at a time


@dataclass(frozen=True, eq=False)
class Goals:
    """The targets of a split as what is to be covered.

    Attributes:
        words: int64 [N, 3, 16, 4], of `fold`.
        volume: int64 [N], voxels.
        single: float32 [N, 27], IoU of each of the first cuboids alone.
        picture: uint8 [N, 16, 16, 16], 255 where the target is, never thickened.
    """

    targets: Targets
    words: Tensor
    volume: Tensor
    single: Tensor
    picture: Tensor


_known: WeakValueDictionary[tuple[int, bool], Goals] = WeakValueDictionary()


def goals(targets: Targets, thick: bool) -> Goals:
    """The goals of a split; tasks with the same targets share them.

    Args:
        targets: of `load`, at 16 voxels a side.
        thick: add a cross of one voxel, as Lin et al. do.
    """
    # By identity, which holds as long as the goals keep the targets alive.
    key = (id(targets), thick)
    found = _known.get(key)
    if found is None:
        found = _known[key] = _work_out(targets, thick)
    return found


def _work_out(targets: Targets, thick: bool) -> Goals:
    first = first_cuboids().to(targets.family.device)
    parts = []
    for index in torch.arange(len(targets), device=first.device).split(_ROWS):
        grid = targets.voxels(index)
        goal = voxels.dilate(grid) if thick else grid
        single = sums.local_iou(sums.table(goal), first.expand(len(index), -1, -1))
        picture = grid.to(torch.uint8) * 255
        parts.append((fold(goal), goal.flatten(1).sum(1), single, picture))
    words, volume, single, picture = (torch.cat(column) for column in zip(*parts, strict=True))
    return Goals(targets, words, volume, single, picture)
