"""RoomSelect: RoomLayout's survey, and the best place of it."""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.families import Target
from benchmarks.speed.families.room_layout import FLOOR, WHY, surveyed

__all__ = ["FLOOR", "TARGETS", "WHY", "floor"]
TARGETS = (Target("genenvs/RoomSelect-v0", 64, "torch", 20, "sync"),)


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """What each place of the thing that is added would mean."""
    return surveyed(task, state, action)
