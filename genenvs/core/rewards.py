"""Reward terms and metrics: what a task declares about them, and their weighted sum."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One named part of the reward; an agent is paid `weight * value`.

    Attributes:
        weight: default weight.
        text: one sentence for the page.
        change_of: the step metric whose change this term is, where it is one: its sum over an
            episode is then the metric's final minus its initial value (a law).
    """

    weight: float
    text: str
    change_of: str | None = None


@dataclass(frozen=True)
class Metric:
    """One named measurement that nobody is paid for.

    Attributes:
        text: one sentence for the page, with unit and range.
        when: `step` (every step, free), `end` (once an episode, by `Task.outcome`), `judge` (slow,
            per row, in `evaluate` alone) or `set` (of a set of episodes, in `evaluate` alone).
        gold: whether it betrays a hacked reward.
        better: which direction is good, where one is.
        range: the least and the greatest value that there can be, whatever the arguments, infinite
            where nothing bounds it: a published result beyond it is refused. Every metric of a
            registered id has one.
    """

    text: str
    when: Literal["step", "end", "judge", "set"] = "end"
    gold: bool = False
    better: Literal["higher", "lower"] | None = None
    range: tuple[float, float] | None = None


def merge_weights(
    terms: Mapping[str, Term], overrides: Mapping[str, float] | None
) -> dict[str, float]:
    """The weight of every term: the defaults, with the user's overrides.

    Raises:
        TypeError: the overrides are no mapping.
        ValueError: an override names no term, or is no finite number.
    """
    weights = {name: term.weight for name, term in terms.items()}
    overrides = {} if overrides is None else overrides
    if not isinstance(overrides, Mapping):
        raise TypeError(f"reward_weights must be a dict, term -> weight; got {overrides!r}")
    for name, value in overrides.items():
        if name not in weights:
            raise ValueError(
                f"reward_weights names no term {name!r}; the terms are {', '.join(weights)}"
            )
        number = isinstance(value, int | float | np.integer | np.floating)
        if isinstance(value, bool) or not number or not abs(value) < 1e30:
            raise ValueError(f"reward_weights[{name!r}] must be a finite number; got {value!r}")
        weights[name] = float(value)
    return weights


def weighted_sum(weights: Mapping[str, float], terms: Mapping[str, Tensor]) -> Tensor:
    """Reward [B] float32: the sum of weight * term."""
    values = [value.detach() for value in terms.values()]
    host = all(value.device.type == "cpu" for value in values)
    numbers: list[Any] = [value.numpy() for value in values] if host else values  # a third the cost
    total, *rest = (weights[name] * value for name, value in zip(terms, numbers, strict=True))
    for product in rest:
        total = total + product
    return torch.from_numpy(total) if host else total
