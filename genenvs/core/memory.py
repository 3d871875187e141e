"""Too little memory: the batch is split and the split is remembered, with a warning."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ALLOCATION_FAILED = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(eq=False)
class Limit:
    """How many rows go through a network at once; falls when memory does not suffice.

    Attributes:
        rows: the present limit.
        what: what to call it in messages, for example "sprites: max_batch".
    """

    rows: int
    what: str


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it came of, says that an allocation failed, on a GPU or a host."""
    if error is None:
        return False
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return (
        isinstance(error, torch.cuda.OutOfMemoryError | MemoryError)
        or any(said in text for said in ALLOCATION_FAILED)
        or out_of_memory(error.__cause__)
    )


def in_parts(
    limit: Limit,
    function: Callable[[slice], Tensor],
    rows: int,
    cost: int = 1,
    whole: bool = False,
) -> Tensor:
    """Apply a function to parts of a batch and concatenate what it returns.

    Args:
        limit: rows at once; halved, with a warning, whenever an allocation fails.
        function: of the rows to look at; returns a tensor with as many rows.
        rows: the batch.
        cost: how many rows of a network one row takes.
        whole: never split, because a graph of gradients is recorded, whose memory a split does
            not reduce.

    Raises:
        RuntimeError: not enough memory for a single row, or for `whole`; the message names a
            batch that is half as large.
    """
    while True:
        size = rows if whole else max(1, limit.rows // cost)
        try:
            if rows <= size:
                return function(slice(0, rows))
            starts = range(0, rows, size)
            return torch.cat([function(slice(start, start + size)) for start in starts])
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            failed = min(size, rows)
            if whole or failed == 1:
                raise RuntimeError(
                    f"{limit.what}: too little memory for {failed} "
                    + ("row" if failed == 1 else "rows")
                    + (f" with gradients; try {failed // 2} at a time" if failed > 1 else "")
                    + (
                        "; use a smaller dtype, image_size or generator, or another device"
                        if failed == 1
                        else ", or gradient checkpointing"
                    )
                ) from error
        # Outside the handler, so that the error's frames no longer hold the tensors.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        limit.rows = max(1, failed // 2) * cost
        warnings.warn(
            f"{limit.what}: too little memory for {failed * cost} rows; "
            f"from now on {limit.rows} at a time",
            UserWarning,
            stacklevel=3,
        )
