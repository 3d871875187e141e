"""Predictors without a grammar; printed beside the scores."""

from typing import Any

import torch
from torch import Tensor

from genenvs.editing.styles import VALUES
from genenvs.video.attributes import COUNT


def constant(envs: Any) -> Any:
    """The first value of every attribute, always."""
    return lambda observation, info: torch.zeros(envs.num_envs, COUNT, dtype=torch.int64)


def repeat(envs: Any) -> Any:
    """The shot before."""
    return lambda observation, info: envs.state.recent[:, -1].clone()


def most_frequent(envs: Any) -> Any:
    """Of each attribute the value that the example strip has most often: no look at the shots."""

    def policy(observation: Any, info: Any) -> Tensor:
        strip = envs.state.strip[..., None] == torch.arange(VALUES, device=envs.state.strip.device)
        return strip.sum(1).argmax(2)

    return policy
