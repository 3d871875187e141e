"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

from torch import Tensor

from genenvs.shapes.primitives import COUNT
from genenvs.tasks.primitive_model.moves import EACH, FACES, PASS


def stall(envs: Any) -> Any:
    """Do nothing."""
    return lambda observation, info: _state(envs).step * 0 + PASS


def delete_all(envs: Any) -> Any:
    """Delete every cuboid: `deleted` pays 0.27."""
    return lambda observation, info: _delete(_state(envs).step)


def delete_misses(envs: Any) -> Any:
    """Delete what holds less of the target than the average cuboid, and touch nothing else."""

    def act(observation: Any, info: Any) -> Tensor:
        state = _state(envs)
        single = state.single.gather(1, state.current[:, None])[:, 0]
        poor = (single < state.local_iou) & (state.deleted < COUNT - 1)
        return _delete(state.step).where(poor, PASS)

    return act


def _state(envs: Any) -> Any:
    return envs.unwrapped.state


def _delete(step: Tensor) -> Tensor:
    return EACH * (step % COUNT) + FACES
