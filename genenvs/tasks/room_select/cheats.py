"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

import numpy as np

from genenvs.tasks.room_select.task import FINISH


def _always(envs: Any, action: int) -> Any:
    actions = np.full(envs.num_envs, action)
    return lambda observation, info: actions


def finish_at_once(envs: Any) -> Any:
    """Place nothing."""
    return _always(envs, FINISH)


def stall(envs: Any) -> Any:
    """Ask for beds: one at most is asked for, the rest is illegal."""
    return _always(envs, 0)


def small_first(envs: Any) -> Any:
    """The reference's order backwards: chairs before tables, lamps before what carries them."""

    def policy(observation: Any, info: Any) -> np.ndarray:
        mask = np.asarray(info["action_mask"])[:, :FINISH]
        last = FINISH - 1 - mask[:, ::-1].argmax(1)
        return np.where(mask.any(1), last, FINISH)

    return policy
