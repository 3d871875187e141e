"""What a loop's surroundings say about its moves.

A move of a corner shifts two sides of the solid, up to the neighbouring loops; what it sweeps over
is a wedge on either side of the loop. How much of that wedge the target fills is measured in four
cross-sections.
"""

import torch
from torch import Tensor

from genenvs.geometry import packed
from genenvs.tasks.edge_loop.loops import LOOPS, Cage, across
from genenvs.tasks.edge_loop.moves import PER_LOOP, STEPS

PLACES = (-0.75, -0.25, 0.25, 0.75)  # of the cross-sections, on the way to the neighbouring loops
GAIN = 64.0  # a wedge of a 64th of the target's volume reads 1


def sections(grid: Tensor, axis: Tensor, layer: Tensor) -> Tensor:
    """Cross-sections of packed grids.

    Args:
        grid: int64 [B, T, T].
        axis: int64 [B], across which to cut.
        layer: int64 [B, Q], where.

    Returns:
        int64 [B, Q, T]: bit v of word u, with the two axes across in ascending order.
    """
    rows = torch.arange(len(grid), device=grid.device)[:, None]
    found = torch.where((axis == 0)[:, None, None], grid[rows, layer], grid.mT[rows, layer])
    flat = (axis == 2).nonzero()[:, 0]
    bits = grid[flat, None] >> layer[flat, :, None, None] & 1
    found[flat] = (bits << torch.arange(grid.shape[-1], device=grid.device)).sum(-1)
    return found


def wedges(
    cage: Cage, corner: Tensor, current: Tensor, unit: Tensor, target: Tensor, rest: Tensor
) -> Tensor:
    """What each move of a loop would add to the solid, outside all other cuboids.

    Args:
        cage: of B rows.
        corner: float32 [B, 10, 2, 3].
        current: int64 [B], the loop.
        unit: float32 [B].
        target: int64 [B, T, T].
        rest: int64 [B, T, T], what other cuboids fill anyway.

    Returns:
        float32 [B, 2, 36]: voxels of the target, and voxels beside it, negative where a move takes
        them away; about, because of the cross-sections; 0 for moves along the loop's own axis.
    """
    size = target.shape[-1]
    one = current[:, None]
    axis = cage.axis.gather(1, cage.owner.gather(1, one))[:, 0]  # [B]
    sides = current[:, None] + torch.tensor([-1, 1], device=one.device)  # the neighbours
    there = (sides >= 0) & (sides < LOOPS)
    sides = sides.clamp(0, LOOPS - 1)
    there &= cage.owner.gather(1, sides) == cage.owner.gather(1, one)  # [B, 2]
    number = torch.cat([one, sides], 1)[..., None, None].expand(-1, -1, 2, 3)
    loops = corner.gather(1, number)  # [B, 3, 2, 3]: this one, the one before, the one after
    place = torch.tensor(PLACES, device=axis.device)
    way = (place > 0).long()  # [Q]: which neighbour
    next_loop = loops[:, 1 + way]  # [B, Q, 2, 3]
    cut = torch.lerp(loops[:, :1], next_loop, place.abs()[None, :, None, None])
    own = axis[:, None, None, None]
    at = cut.gather(-1, own.expand(*cut.shape[:-1], 1))[:, :, 0, 0]  # [B, Q]
    run = next_loop.gather(-1, own.expand(*cut.shape[:-1], 1))[:, :, 0, 0]
    run = (run - loops[:, 0, 0].gather(-1, axis[:, None])).abs() * size / 2  # layers of each
    run = torch.where(there[:, way], run, 0.0)
    layer = (at * size).long().clamp(0, size - 1)
    wanted, taken = sections(target, axis, layer), sections(rest, axis, layer)
    both = torch.stack([wanted & ~taken, ~wanted & ~taken], 2)  # [B, Q, 2, T]
    both = torch.stack([both, packed.transpose(both)], 3)  # [B, Q, grid, uv, T]
    sides_uv = across(cut, axis[:, None, None].expand(-1, *cut.shape[1:3])) * size  # [B, Q, 2, 2]
    # Of a word across, only what lies between the two other sides is swept over.
    bound = sides_uv.round().long().clamp(0, size).flip(-1)  # [B, Q, corner, vu]
    within = packed.runs(bound[:, :, 0], bound[:, :, 1])[:, :, None, :, None]  # [B, Q, 1, uv, 1]
    profile = packed.popcount(both & within).float()
    total = torch.nn.functional.pad(profile.cumsum(-1), (1, 0))  # [B, Q, grid, uv, T + 1]
    shift = torch.tensor([0, *STEPS], device=axis.device) * (1 - place.abs())[:, None]  # [Q, 7]
    edge = sides_uv.mT[..., None] + shift[:, None, None] * (unit * size)[:, None, None, None, None]
    # [B, Q, uv, corner, 7], read off between two layers
    edge = edge.clamp(0, size)[:, :, None].expand(-1, -1, 2, -1, -1, -1)
    floor = edge.long().clamp(max=size - 1)
    wide = total[..., None, :].expand(*edge.shape[:-1], -1)
    lower, upper = wide.gather(-1, floor), wide.gather(-1, floor + 1)
    found = torch.lerp(lower, upper, edge - floor)
    swept = found[..., 1:] - found[..., :1]  # [B, Q, grid, uv, corner, 6]
    swept = torch.stack(
        [-swept[..., 0, :], swept[..., 1, :]], -2
    )  # the lowest corner adds downwards
    volume = (swept * run[:, :, None, None, None, None]).sum(1)  # [B, grid, uv, corner, 6]
    result = volume.new_zeros(len(axis), 2, 2, 3, len(STEPS))
    index = torch.tensor([[1, 2], [0, 2], [0, 1]], device=axis.device)[axis]  # [B, uv]
    index = index[:, None, None, :, None].expand(-1, 2, 2, -1, len(STEPS))
    return result.scatter_(3, index, volume.transpose(2, 3)).view(-1, 2, PER_LOOP)
