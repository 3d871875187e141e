"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

import numpy as np

from genenvs.tasks.edge_loop.moves import PER_LOOP, STAY, STEPS


def stay(envs: Any) -> Any:
    """Moves nothing, ever."""
    actions = np.full(envs.num_envs, STAY)
    return lambda observation, info: actions


def grow(envs: Any) -> Any:
    """Takes the largest move outwards that is legal: lowest corners down, else highest up."""
    return _first(envs, _largest(-1, 1))


def shrink(envs: Any) -> Any:
    """Takes the largest move inwards that is legal."""
    return _first(envs, _largest(1, -1))


def _largest(lowest: int, highest: int) -> tuple[int, ...]:
    """The largest moves of the lowest corner in one direction, then of the highest."""
    axes = range(0, PER_LOOP // 2, len(STEPS))
    down, up = STEPS.index(3 * lowest), STEPS.index(3 * highest)
    return (*(axis + down for axis in axes), *(PER_LOOP // 2 + axis + up for axis in axes))


def _first(envs: Any, order: tuple[int, ...]) -> Any:
    choices = np.array(order)

    def policy(observation: Any, info: Any) -> np.ndarray:
        current = np.asarray(observation["current"]).argmax(1)
        actions = current[:, None] * PER_LOOP + choices
        legal = np.take_along_axis(envs.action_masks().cpu().numpy(), actions, 1)
        first = actions[np.arange(len(actions)), legal.argmax(1)]
        return np.where(legal.any(1), first, STAY)

    return policy
