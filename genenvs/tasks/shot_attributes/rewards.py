"""What ShotAttributes pays and measures."""

import math
from functools import cache

import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term
from genenvs.video.attributes import COUNT, NAMES, SIZES

TERMS = {
    "agreement": Term(1.0, "Change of `accuracy`.", change_of="accuracy"),
}
METRICS = {
    "accuracy": Metric(
        "Attributes that are those of the edit, over all of the episode, 0 .. 1: those of shots to"
        " come count as wrong.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "bound": Metric(
        "The accuracy in expectation of who knows the editor's grammar and has seen what the agent"
        " may see: the entropy's limit.",
        range=(0.0, 1.0),
    ),
    **{
        f"accuracy_{name}": Metric(
            f"Accuracy of the {name} alone.", better="higher", range=(0.0, 1.0)
        )
        for name in NAMES
    },
    "plausible": Metric(
        "How likely the predictions are to who knows the grammar, on average: accuracy without"
        " luck. Over many episodes the two are alike, unless the edit was read and not inferred.",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "change_error": Metric(
        "How far the share of attributes that change from shot to shot is from the edit's: who"
        " repeats one answer is right often and has none of its rhythm.",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
    "variety": Metric(
        "Different predictions over all predictions, as a share of the edit's own.",
        gold=True,
        better="higher",
        range=(0.0, math.inf),  # whose own may be fewer
    ),
}


def changes(shots: Tensor) -> Tensor:
    """Share of attributes that differ from the shot before: int64 [B, T, 8] -> float32 [B]."""
    if shots.shape[1] < 2:
        return torch.zeros(len(shots), device=shots.device)
    return (shots[:, 1:] != shots[:, :-1]).float().mean((1, 2))


def different(shots: Tensor) -> Tensor:
    """How many shots are unlike every one before: int64 [B, T, 8] -> float32 [B]."""
    word = (shots * _powers(shots.device)).sum(2)  # a shot as one number
    same = word[:, :, None] == word[:, None]
    return (~same.tril(-1).any(2)).sum(1).float()


@cache
def _powers(device: torch.device) -> Tensor:
    return max(SIZES) ** torch.arange(COUNT, device=device)


def by_attribute(right: Tensor, steps: int) -> dict[str, Tensor]:
    """Accuracies by name, from how often each was right: int64 [B, 8]."""
    share = (right / steps).unbind(1)
    return {f"accuracy_{name}": value for name, value in zip(NAMES, share, strict=True)}


assert len(NAMES) == COUNT
