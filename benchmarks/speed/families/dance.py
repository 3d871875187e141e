"""Dance: codes are decoded to joints, whose speed is paid."""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.families import Target

ENV = "genenvs/Dance-v0"
FLOOR = "where the joints of two codes are"
WHY = (
    "A dance that ends is scored whole, beat by beat, and new music is drawn: many small "
    "operations, as many for one row as for hundreds."
)
TARGETS = (Target(ENV, 1_024, "torch", 20_000), Target(ENV, 64, "torch", 5, "sync"))


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """The speed of the joints."""
    before = task.before(state)
    return lambda: task.codes.speed(before, before)
