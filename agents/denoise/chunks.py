"""Gradients in chunks that fit into memory."""

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from genenvs.core.memory import out_of_memory

T = TypeVar("T")


def in_chunks_that_fit(agent: Any, what: str, rows: int, attempt: Callable[[], T]) -> T:
    """Give what `attempt` gives; where memory does not suffice, again with half of `agent.chunk`.

    Args:
        agent: has `chunk`, which stays as small as it became, and an `optimizer`.
        what: the rows are called in the warning.
        rows: that the attempt goes through, `agent.chunk` at once.
        attempt: a whole gradient, added to none. It may break off half done, in the forward pass
            or in the backward one, and is then begun anew: it must draw no random numbers.

    Raises:
        RuntimeError, MemoryError: too little memory for a chunk of one; or what else went wrong.
    """
    while True:
        try:
            return attempt()
        except (RuntimeError, MemoryError) as error:
            if agent.chunk == 1 or not out_of_memory(error):
                raise
        # Outside the handler, so that the error's frames no longer hold the tensors. A part of the
        # gradients is there already: all of them are computed anew.
        agent.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        failed = min(agent.chunk, rows)
        agent.chunk = max(1, failed // 2)
        warnings.warn(
            f"too little memory for the gradient of {failed} {what} at once; from now on"
            f" chunk is {agent.chunk}",
            UserWarning,
            stacklevel=3,
        )
