"""Times along a noise schedule, as every training draws them."""

import torch
from torch import Tensor


def stratified(rows: int, generator: torch.Generator) -> Tensor:
    """Return [rows] numbers in [0, 1), one from each of `rows` equal intervals, in random order.

    The loss differs by orders of magnitude along the schedule; spreading a batch evenly over it
    takes out most of that variance.
    """
    within = torch.rand(rows, generator=generator)
    return (torch.randperm(rows, generator=generator) + within) / rows
