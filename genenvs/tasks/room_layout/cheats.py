"""Policies that should score no better than they do; printed beside the scores."""

from typing import Any

import numpy as np

from genenvs.tasks.room_layout.task import FINISH


def _always(envs: Any, action: int) -> Any:
    actions = np.full(envs.num_envs, action)
    return lambda observation, info: actions


def finish_at_once(envs: Any) -> Any:
    """Place nothing."""
    return _always(envs, FINISH)


def stall(envs: Any) -> Any:
    """Put nothing down, again and again: illegal while nothing is in hand."""
    return _always(envs, 0)


def first_place(envs: Any) -> Any:
    """The first type that is left, at the first legal place: all along one wall."""

    def policy(observation: Any, info: Any) -> np.ndarray:
        return np.asarray(info["action_mask"]).argmax(1)

    return policy


def same_corner(envs: Any) -> Any:
    """Pile things into the last corner: the last type that is left, at the last legal place."""

    def policy(observation: Any, info: Any) -> np.ndarray:
        mask = np.asarray(info["action_mask"])[:, :FINISH]
        last = FINISH - 1 - mask[:, ::-1].argmax(1)
        return np.where(mask.any(1), last, FINISH)

    return policy
