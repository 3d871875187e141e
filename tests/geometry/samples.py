"""What the tests beside this one feed in."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

seeds = st.integers(0, 2**31 - 1)


def grids(seed: int, rows: int, shape: tuple[int, int, int], share: float = 0.4) -> torch.Tensor:
    """Independent voxels, one row empty, one full: bool [rows, *shape]."""
    found = np.random.default_rng(seed).random((rows, *shape)) < share
    found[0], found[-1] = False, True
    return torch.from_numpy(found)


def cuboids(seed: int, rows: int, count: int, size: int) -> torch.Tensor:
    """Corners within the grid and a little outside, some cuboids empty: int64 [rows, count, 6]."""
    rng = np.random.default_rng(seed)
    low = rng.integers(-2, size, (rows, count, 3))
    side = rng.integers(-1, size // 2 + 2, (rows, count, 3))
    return torch.from_numpy(np.concatenate([low, low + side], 2))
