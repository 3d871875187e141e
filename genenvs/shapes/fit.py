"""A few cuboids that stand for a shape: the primitives of who has no better ones."""

import torch
from torch import Tensor

from genenvs.geometry.cuboids import spans

LEAST = 0.01  # of the shape's volume: what a further cuboid has to add
_ROWS = {"cpu": 4, "cuda": 1024}  # at a time, of 1.3 MB each


def cuboids(occupancy: Tensor, most: int) -> Tensor:
    """Greedy cuboids: each one the best there is beside those before it.

    Best is which adds most: the part of the target that it is the first to cover, less what it
    covers beside the target.

    Args:
        occupancy: float32 [B, R, R, R] in 0 .. 1, how much of each voxel the target fills.
        most: cuboids a row, at least 1.

    Returns:
        int64 [B, most, 6], see `genenvs.geometry.cuboids`, the one that adds most first; zeros
        where none would add `LEAST`, except that the first is always there.
    """
    found = torch.zeros(len(occupancy), most, 6, dtype=torch.int64, device=occupancy.device)
    rows = _ROWS.get(occupancy.device.type, _ROWS["cuda"])
    for start in range(0, len(occupancy), rows):
        part = occupancy[start : start + rows]
        # Integers: sums of them are exact in float32 whatever their order.
        worth = (part * 128).round() - 64
        least = LEAST * part.flatten(1).sum(1) * 64
        for k in range(most):
            cuboid, gain = heaviest(worth)
            if k:
                cuboid = cuboid * (gain > least)[:, None]
            found[start : start + rows, k] = cuboid
            x, y, z = spans(cuboid, worth.shape[-1]).unbind(1)
            inside = x[:, :, None, None] & y[:, None, :, None] & z[:, None, None]
            worth = worth.masked_fill(inside, 0)
    return found


def heaviest(worth: Tensor) -> tuple[Tensor, Tensor]:
    """The cuboid with the greatest sum, of all there are.

    Kadane's maximum subarray (Bentley, CACM 1984) along z, for all pairs of bounds in x and in y.

    Args:
        worth: float32 [B, R, R, R].

    Returns:
        int64 [B, 6], and the sum float32 [B].
    """
    size = worth.shape[-1]
    low, high = torch.triu_indices(size, size, device=worth.device)
    high = high + 1
    sums = torch.nn.functional.pad(worth, (1, 0, 1, 0, 1, 0)).cumsum(1).cumsum(2).cumsum(3)
    sums = sums.movedim(3, 0)  # [z, B, x, y]
    slabs = (sums[:, :, high] - sums[:, :, low]).mT.contiguous()  # [z, B, y, x pair]
    column = slabs[:, :, high] - slabs[:, :, low]  # [z, B, y pair, x pair]: sums over 0 .. z
    lowest, best = column[0].clone(), column[1] - column[0]
    for top in range(1, size):
        torch.minimum(lowest, column[top], out=lowest)
        torch.maximum(best, column[top + 1] - lowest, out=best)
    gain, place = best.flatten(1).max(1)
    y, x = place // len(low), place % len(low)
    row = torch.arange(len(place), device=place.device)
    chosen = column[:, row, y, x]  # [z, B]
    heights = chosen[high] - chosen[low]  # [z pair, B]
    z = heights.argmax(0)
    return torch.stack([low[x], low[y], low[z], high[x], high[y], high[z]], 1), gain
