"""Classifier-free guidance (Ho and Salimans, 2022): both branches in one evaluation."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genenvs.generators.families import Conditions

HIGHEST = 100.0  # far beyond what anybody samples with


def fixed(model: Any, guidance: float | None) -> float:
    """Return a scale that a whole task keeps, 1 for None.

    Args:
        model: a `TextToImage`.
        guidance: in 0..100.

    Raises:
        ValueError: out of range, or not 1 on a model that has no branch without a prompt.
    """
    scale = 1.0 if guidance is None else float(guidance)
    if not 0 <= scale <= HIGHEST:
        raise ValueError(f"guidance must be in 0..{HIGHEST:g}; got {guidance!r}")
    if scale != 1:
        model.unconditional()
    return scale


def scale_of(
    guidance: Tensor | float | None, rows: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the scale of each row, float32 [B] on `device`, and which are not 1, bool [B].

    Raises:
        ValueError: a tensor that is not [B].
    """
    if isinstance(guidance, Tensor):
        if guidance.shape != (rows,):
            raise ValueError(f"guidance must be a number or [{rows}]; got {list(guidance.shape)}")
        return guidance.to(device, torch.float32), guidance != 1
    value = 1.0 if guidance is None else float(guidance)
    # Made on the device, so that a number costs no copy; looked at on the host.
    return torch.full((rows,), value, device=device), torch.full((rows,), value != 1)


def both_branches(
    evaluate: Callable[[Tensor, Tensor, Conditions], Tensor],
    x: Tensor,
    time: Tensor,
    condition: Conditions,
    scale: Tensor,
    guided: Tensor | None,
    other: Conditions,
) -> Tensor:
    """Return without + scale (with - without), [B, C, h, w].

    Args:
        evaluate: (x, time, condition) -> output of the network.
        x: [B, C, h, w].
        time: [B].
        condition: rows [B, ...].
        scale: [B].
        guided: bool [B], rows whose other branch is evaluated; None is all.
        other: the other branch's condition, 1 or B rows.
    """
    size = len(x)
    every = torch.arange(size, device=x.device)
    rows = every if guided is None else guided.nonzero()[:, 0].to(x.device)
    both = {}
    for name, mine in condition.items():
        theirs = other[name]
        theirs = theirs.expand(len(rows), *mine.shape[1:]) if len(theirs) == 1 else theirs[rows]
        both[name] = torch.cat([mine, theirs])
    output = evaluate(torch.cat([x, x[rows]]), torch.cat([time, time[rows]]), both)
    given, without = output[:size], output[size:]
    # The same from the other side: a row at scale 1 is left exactly as it is.
    change = (scale[rows] - 1)[:, None, None, None] * (given[rows] - without)
    return given + change if guided is None else given.index_add(0, rows, change)


def gradient_asked(
    tensors: Sequence[Tensor], scale: Tensor | None, network: nn.Module | None
) -> bool:
    """Whether a gradient would flow through the network."""
    if any(each.requires_grad for each in tensors) or (scale is not None and scale.requires_grad):
        return True
    return network is not None and any(each.requires_grad for each in network.parameters())
