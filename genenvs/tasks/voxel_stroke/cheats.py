"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

import torch

from genenvs.tasks.voxel_stroke import grids


def straight_on(envs: Any) -> Any:
    """One direction, always: to the wall, and then against it until the time is over."""
    actions = torch.zeros(envs.num_envs, dtype=torch.int64, device=envs.device)
    return lambda observation, info: actions


def hover(envs: Any) -> Any:
    """Never move: into the wall or, where none is near, back into the stroke."""

    def policy(observation: Any, info: Any) -> torch.Tensor:
        around = envs.task.around(envs.state)
        return (around != grids.TARGET).int().argmax(1)

    return policy
