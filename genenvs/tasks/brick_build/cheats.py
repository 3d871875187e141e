"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

import numpy as np

from genenvs.tasks.brick_build.task import NEXT_LAYER, STOP


def _always(envs: Any, action: int) -> Any:
    actions = np.full(envs.num_envs, action)
    return lambda observation, info: actions


def stop_at_once(envs: Any) -> Any:
    """Build nothing."""
    return _always(envs, STOP)


def stall(envs: Any) -> Any:
    """Place the first brick in the first corner, again and again."""
    return _always(envs, 0)


def rise(envs: Any) -> Any:
    """Go up without a brick."""
    return _always(envs, NEXT_LAYER)


def largest(envs: Any) -> Any:
    """Fill the world with the largest brick that is legal, ever at the lowest place."""

    def policy(observation: Any, info: Any) -> np.ndarray:
        mask = np.asarray(info["action_mask"])[:, :NEXT_LAYER]
        last = NEXT_LAYER - 1 - mask[:, ::-1].argmax(1)
        return np.where(mask.any(1), last, NEXT_LAYER)

    return policy
