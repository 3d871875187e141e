"""VoxelStroke: a walk through bits."""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.families import Target

ENV = "genenvs/VoxelStroke-v0"
FLOOR = "reading the window that is observed"
WHY = (
    "New episodes: a walk ends in nearly every step of a batch, and to draw one takes as many "
    "small operations as to draw a thousand. At large batches the transition and the window."
)
TARGETS = (Target(ENV, 4_096, "torch", 800_000), Target(ENV, 64, "torch", 5, "sync"))


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """The window's bits around the cursor."""
    return lambda: task.windows.read(state.words, state.cursor)
