"""Which instance and which random stream the episode `k` of a seed has."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genenvs.core.random import mix, shuffled, word

_EPISODE_KEY, _INSTANCE, _BRANCH = word("key"), word("instance"), word("branch")


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether an argument is an integer >= `least`; a bool is none, numpy's integers are."""
    number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return number and bool(value >= least)


class Episodes:
    """Maps (seed, episode) to (instance, key) within one split, without any state.

    Where instances are finite, or limited by the user, the episodes of a seed run through a keyed
    permutation of them, so that n episodes meet n different ones.
    """

    def __init__(self, split: str, size: int | None, limit: int | None) -> None:
        """Keep the number of instances to draw from.

        Args:
            split: its name enters every stream, so that the splits never meet.
            size: instances in the split, None where they are endless.
            limit: restrict the split to its first `limit` instances.

        Raises:
            ValueError: the limit is no positive integer, or above the size.
        """
        if limit is not None:
            if not is_whole(limit):
                raise ValueError(f"instances must be None or an integer >= 1; got {limit!r}")
            limit = int(limit)
            if size is not None and limit > size:
                raise ValueError(f"instances={limit}, but split {split!r} has only {size}")
        self.split = word(split)
        self.endless = size is None
        self.size = size
        self.count = limit if limit is not None else size
        self.limit = None if limit == size else limit  # what restricts the split, if anything does

    def stream(self, seed: Tensor) -> Tensor:
        """The stream of a seed: int64 [B] -> int64 [B]."""
        return mix(0, seed, self.split)

    def draw(self, stream: Tensor, episode: Tensor) -> tuple[Tensor, Tensor]:
        """The instance and the key (int64 [B] each) of an episode of each stream."""
        cycle = episode if self.count is None else episode // self.count
        streams = torch.stack([stream + _EPISODE_KEY, stream + _INSTANCE])  # [2, B]
        key, instance = mix(streams, torch.stack([episode, cycle])).unbind(0)
        if self.count is None:
            return instance, key
        return self.at(shuffled(instance, episode % self.count, self.count)), key

    def at(self, index: Tensor) -> Tensor:
        """The instance (int64 [B]) that stands at `index` of the split."""
        return mix(0, self.split, index) if self.endless else index


def branch_key(key: Tensor, branch: Tensor) -> Tensor:
    """The key of branch `branch` (int64 [B], from 0) of an episode."""
    return mix(key + _BRANCH, branch)
