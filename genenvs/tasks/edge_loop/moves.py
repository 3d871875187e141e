"""Actions: which corner goes where, and which of them are allowed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from genenvs.geometry import packed
from genenvs.tasks.edge_loop.loops import LOOPS

STEPS = (1, 2, 3, -3, -2, -1)  # in the authors' order
PER_LOOP = 2 * 3 * len(STEPS)  # corner, axis, step: 36
STAY = LOOPS * PER_LOOP  # 360: the action that moves nothing
ROUNDING = 1e-6  # what float32 may add up to before a bound counts as crossed


@dataclass(frozen=True)
class Scale:
    """Lin et al.'s lengths (`Mesh-Agent/environment.py`), in diagonals of the target's box.

    Attributes:
        unit: of a step.
        thickness: least distance of opposite sides of a loop, in units.
    """

    unit: float = 0.01
    thickness: float = 2.0


def extent(target: Tensor) -> tuple[Tensor, Tensor]:
    """Bounding box: packed grids int64 [B, T, T] -> lowest and highest corner, float32 [B, 3]."""
    size = target.shape[-1]
    filled = target != 0
    used = [filled.any(2), filled.any(1), packed.unpack(_union(target.flatten(1)), size)]
    first = [axis.long().argmax(1) for axis in used]
    last = [size - axis.flip(1).long().argmax(1) for axis in used]
    return torch.stack(first, 1) / size, torch.stack(last, 1) / size


def diagonal(target: Tensor) -> Tensor:
    """Diagonal of the bounding box: packed grids int64 [B, T, T] -> float32 [B], unit cube."""
    low, high = extent(target)
    return (high - low).square().sum(1).sqrt()


def _union(words: Tensor) -> Tensor:
    """All bits of a row: int64 [B, N] -> int64 [B]."""
    while words.shape[1] > 1:
        half = words.shape[1] // 2
        rest = words[:, 2 * half :]
        words = torch.cat([words[:, :half] | words[:, half : 2 * half], rest], 1)
    return words[:, 0]


def offsets(device: torch.device) -> Tensor:
    """What every action of a loop adds to its corners, in units: float32 [36, 2, 3]."""
    found = torch.zeros(2, 3, len(STEPS), 2, 3, device=device)
    step = torch.tensor(STEPS, dtype=torch.float32, device=device)
    for corner in range(2):
        for axis in range(3):
            found[corner, axis, :, corner, axis] = step
    return found.flatten(0, 2)


def tried(loop: Tensor, unit: Tensor) -> Tensor:
    """Where each action of a loop would put its corners.

    Args:
        loop: float32 [B, 2, 3].
        unit: float32 [B].

    Returns:
        float32 [B, 36, 2, 3].
    """
    return loop[:, None] + offsets(loop.device) * unit[:, None, None, None]


def legal(moved: Tensor, axis: Tensor, unit: Tensor) -> Tensor:
    """Whether a loop may be where an action puts it.

    Args:
        moved: float32 [B, 36, 2, 3], of `tried`.
        axis: int64 [B], along which the loop's cuboid lies: no move goes there.
        unit: float32 [B].

    Returns:
        bool [B, 36]: inside the unit cube, and not too thin.
    """
    inside = ((moved >= -ROUNDING) & (moved <= 1 + ROUNDING)).all(-1).all(-1)
    thin = Scale.thickness * unit[:, None, None] - ROUNDING
    along = torch.nn.functional.one_hot(axis, 3).bool()[:, None]  # [B, 1, 3]
    thick = (moved[:, :, 1] - moved[:, :, 0] >= thin) | along
    direction = torch.arange(PER_LOOP, device=axis.device) // len(STEPS) % 3
    return inside & thick.all(-1) & (direction != axis[:, None])


def forced(loop: Tensor, action: Tensor, axis: Tensor, unit: Tensor, floor: Tensor) -> Tensor:
    """Move a loop as published: what goes too far is stopped at the bound.

    The bounds are 0 and 1 in the authors' coordinates, which begin at the lowest corner of the
    target's bounding box and count in its diagonals.

    Args:
        loop: float32 [B, 2, 3].
        action: int64 [B], of the loop, 0 .. 35.
        axis: int64 [B].
        unit: float32 [B].
        floor: float32 [B, 3], that corner.

    Returns:
        float32 [B, 2, 3].
    """
    step = offsets(loop.device)[action]  # [B, 2, 3]
    along = torch.nn.functional.one_hot(axis, 3).bool()[:, None]
    low, high = floor, floor + (unit / Scale.unit)[:, None]
    moved = (loop + step * unit[:, None, None]).clamp(low[:, None], high[:, None])
    thin = Scale.thickness * unit[:, None]
    lowest = torch.minimum(moved[:, 0], loop[:, 1] - thin)
    highest = torch.maximum(moved[:, 1], loop[:, 0] + thin)
    stopped = torch.stack([lowest, highest], 1)
    return torch.where((step == 0) | along, loop, stopped)


def crosswise(axis: Tensor) -> Tensor:
    """The actions of a loop that are not along its axis int64 [B]: int64 [B, 24], ascending."""
    number = torch.arange(PER_LOOP, device=axis.device)
    along = number // len(STEPS) % 3
    table = torch.stack([number[along != k] for k in range(3)])
    return table[axis]
