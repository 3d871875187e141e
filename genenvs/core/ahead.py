"""First states of episodes that rows will come to, drawn many at a time before they are needed.

Where ends are ragged a step resets a few rows, and drawing few costs almost what drawing many does.
An episode depends on its stream and number alone, so that it may be drawn early, in any company:
what is in store is known by the two, and whatever a row comes to that is not there is drawn then.
"""

from collections.abc import Callable

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
        self._number = torch.arange(num_envs)[:, None]
        self.forget()

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
        slots = rows * self._depth + episode[rows] % self._depth
        here = (self._stream[slots] == stream[rows]) & (self._episode[slots] == episode[rows])
        if not bool(here.all()):
            self._fill(rows, stream, episode)
        return self._state.rows(slots)

    def _allocate(self, like: State) -> None:
        tensors = like.tensors()
        each = sum(value.nbytes for value in tensors.values()) // len(like.step)
        self._depth = min(self._depth, BYTES // max(1, each * len(self._number)))
        slots = len(self._number) * self._depth
        self._stream = torch.zeros(slots, dtype=torch.int64)
        self._episode = torch.full((slots,), -1)
        self._state = type(like)(
            **{name: value.new_empty(slots, *value.shape[1:]) for name, value in tensors.items()}
        )

    def _fill(self, rows: Tensor, stream: Tensor, episode: Tensor) -> None:
        """Draw what these rows begin, and what each row of the batch begins after that."""
        assert self._state is not None
        coming = (episode + 1).index_copy(0, rows, episode[rows])
        wanted = coming[:, None] + torch.arange(self._reach)  # [B, reach]
        slots = self._number * self._depth + wanted % self._depth
        streams = stream[:, None].expand_as(wanted)
        lacking = (self._stream[slots] != streams) | (self._episode[slots] != wanted)
        slots, streams, wanted = slots[lacking], streams[lacking], wanted[lacking]
        self._state.put(slots, self._draw(streams, wanted))
        self._stream[slots], self._episode[slots] = streams, wanted
        self._reach = min(2 * self._reach, self._depth)
