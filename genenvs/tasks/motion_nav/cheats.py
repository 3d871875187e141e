"""Policies that should score no better than they do; printed beside the scores."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genenvs.tasks.motion_nav import planning

if TYPE_CHECKING:
    from genenvs.tasks.motion_nav.task import MotionNav, NavState

CLOSE = 0.35  # metres from the goal at which this walker can go round in circles
_TOUCH = 0.1  # metres, so that no frame reaches it


def mean_walk(envs: Any) -> Any:
    """Always the same latent: walk on as one walks."""
    return lambda observation, info: torch.zeros_like(envs.unwrapped.state.latents[:, 0])


def straight(envs: Any) -> Any:
    """Go straight to the goal, whatever is in the way."""
    return _play(envs, lambda frames, state: -_apart(frames, state.goal))


def hover(envs: Any) -> Any:
    """Stay about the goal and never touch it, as the published terms ask."""
    return _play(envs, hovering)


def stand(envs: Any) -> Any:
    """Stay about where one is, as far as this walker can."""
    return _play(envs, standing)


def hovering(frames: Tensor, state: "NavState") -> Tensor:
    """What `hover` looks for in primitives [N, 10, 34] of a state's rows."""
    nearest = (state.goal[:, None] - frames[..., :2]).norm(dim=-1).amin(1)
    return -(_apart(frames, state.goal) - CLOSE).abs() - 100.0 * (_TOUCH - nearest).clamp(min=0)


def standing(frames: Tensor, state: "NavState") -> Tensor:
    """What `stand` looks for."""
    return -_apart(frames, state.first[:, -1, :2])


def _apart(frames: Tensor, place: Tensor) -> Tensor:
    """Metres from places [N, 2] to a little ahead of where a primitive ends."""
    heading = frames[:, -1, 2]
    ahead = frames[:, -1, :2] + 0.2 * torch.stack([heading.cos(), heading.sin()], 1)
    return (place - ahead).norm(dim=-1)


def choose(
    task: "MotionNav", state: "NavState", value: Callable[[Tensor, "NavState"], Tensor]
) -> Tensor:
    """Of the reference's choices the one of most value: float32 [B, 8]."""
    actions = planning.choices(task.device)
    many = state.repeat(len(actions))
    frames = task.walk_on(many, actions.repeat(len(state.step), 1))
    return actions[value(frames, many).reshape(-1, len(actions)).argmax(1)]


def _play(envs: Any, value: Callable[[Tensor, Any], Tensor]) -> Any:
    return lambda observation, info: choose(envs.unwrapped.task, envs.unwrapped.state, value)
