"""First states of episodes that rows will come to, drawn many at a time before they are needed.

Where ends are ragged a step resets a few rows, and drawing few costs almost what drawing many does.
An episode depends on its stream and number alone, so that it may be drawn early, in any company:
what is in store is known by the two, and whatever a row comes to that is not there is drawn then.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from genenvs.core.task import State

ENOUGH = 48  # rows that are worth a draw of their own
EPISODES = 8  # of a row in store, at most
ROWS = 512  # in store, at most
BYTES = 1 << 25  # that they take, at most

Draw = Callable[[Tensor, Tensor], State]


class Ahead:
    """A store of first states; holds nothing that decides an episode."""

    def __init__(self, num_envs: int, draw: Draw) -> None:
        """Begin with an empty store.

        Args:
            num_envs: B, rows of the batch.
            draw: first states [K] of the episodes (int64 [K]) of streams (int64 [K]).
        """
        self._draw = draw
        self._number = np.arange(num_envs)[:, None]
        self.forget()

    @property
    def depth(self) -> int:
        """How many episodes of a row are drawn at a time, once their rows have come to some."""
        return self._depth

    def forget(self) -> None:
        """Empty the store and be sparing again: who goes elsewhere may not come by here."""
        self._state: State | None = None
        self._depth = min(EPISODES, ROWS // len(self._number))  # episodes of a row that fit
        self._reach = 1  # those that the next draw goes on for; doubles with every draw

    def first(self, rows: Tensor, stream: Tensor, episode: Tensor) -> State:
        """The first states of the episodes that rows begin now.

        Args:
            rows: int64 [K], which.
            stream: int64 [B], of all rows.
            episode: int64 [B], the one that begins now, or that a row is in.
        """
        # Elsewhere than on the host, what is in store could not be known without a synchronisation.
        if not self._depth or len(rows) >= ENOUGH or rows.device.type != "cpu":
            return self._draw(stream[rows], episode[rows])
        if self._state is None:
            found = self._draw(stream[rows], episode[rows])
            self._allocate(found)
            return found
        # numpy's small operations cost a third of torch's
        chosen = rows.numpy()
        begun = episode.numpy()[chosen]
        slots = chosen * self._depth + begun % self._depth
        here = (self._stream[slots] == stream.numpy()[chosen]) & (self._episode[slots] == begun)
        if not here.all():
            self._fill(chosen, stream.numpy(), episode.numpy())
        return self._state.rows(torch.from_numpy(slots))

    def _allocate(self, like: State) -> None:
        tensors = like.tensors()
        each = sum(value.nbytes for value in tensors.values()) // len(like.step)
        self._depth = min(self._depth, BYTES // max(1, each * len(self._number)))
        slots = len(self._number) * self._depth
        self._stream, self._episode = np.zeros(slots, np.int64), np.full(slots, -1)
        self._state = type(like)(
            **{name: value.new_empty(slots, *value.shape[1:]) for name, value in tensors.items()}
        )

    def _fill(self, rows: np.ndarray, stream: np.ndarray, episode: np.ndarray) -> None:
        """Draw what these rows begin, and what each row of the batch begins after that."""
        assert self._state is not None
        coming = episode + 1
        coming[rows] = episode[rows]
        wanted = coming[:, None] + np.arange(self._reach)  # [B, reach]
        slots = self._number * self._depth + wanted % self._depth
        streams = np.broadcast_to(stream[:, None], wanted.shape)
        lacking = (self._stream[slots] != streams) | (self._episode[slots] != wanted)
        slots, streams, wanted = slots[lacking], streams[lacking], wanted[lacking]
        drawn = self._draw(torch.from_numpy(streams), torch.from_numpy(wanted))
        self._state.put(torch.from_numpy(slots), drawn)
        self._stream[slots], self._episode[slots] = streams, wanted
        self._reach = min(2 * self._reach, self._depth)
