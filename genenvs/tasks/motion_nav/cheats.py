"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

import torch
from torch import Tensor

from genenvs.motion.frames import PLACE
from genenvs.tasks.motion_nav import planning

NEAR = 0.06  # metres: nearer than a centimetre the goal would be reached


def mean_walk(envs: Any) -> Any:
    """Always the same latent: walk on as one walks."""
    return lambda observation, info: torch.zeros_like(_state(envs).latents[:, 0])


def straight(envs: Any) -> Any:
    """Go straight to the goal, whatever is in the way."""

    def value(frames: Tensor, goal: Tensor) -> Tensor:
        return -(goal - _ahead(frames)).norm(dim=-1)

    return _choose(envs, value)


def hover(envs: Any) -> Any:
    """Go to the goal, stay about it and never touch it, as the published terms ask."""

    def value(frames: Tensor, goal: Tensor) -> Tensor:
        nearest = (goal[:, None] - frames[..., :2]).norm(dim=-1).amin(1)
        return -(goal - _ahead(frames)).norm(dim=-1) - 100.0 * (nearest < NEAR)

    return _choose(envs, value)


def stand(envs: Any) -> Any:
    """Stay about where one is, as far as this walker can."""

    def value(frames: Tensor, goal: Tensor) -> Tensor:
        return -(frames[:, -1, :2] - frames[:, 0, :2]).norm(dim=-1)

    return _choose(envs, value)


def _ahead(frames: Tensor) -> Tensor:
    heading = frames[:, -1, PLACE - 1]
    return frames[:, -1, :2] + 0.2 * torch.stack([heading.cos(), heading.sin()], 1)


def _choose(envs: Any, value: Any) -> Any:
    """Of the reference's choices the one of most value."""

    def act(observation: Any, info: Any) -> Tensor:
        state, task = _state(envs), envs.unwrapped.task
        actions = planning.choices(task.device)
        many = state.repeat(len(actions))
        frames = task.walk_on(many, actions.repeat(len(state.step), 1))
        found = value(frames, many.goal).reshape(-1, len(actions))
        return actions[found.argmax(1)]

    return act


def _state(envs: Any) -> Any:
    return envs.unwrapped.state
