"""RoomSelect: RoomLayout's survey, and the best place of it."""

from benchmarks.speed.families import Target
from benchmarks.speed.families.room_layout import FLOOR, WHY, floor

__all__ = ["FLOOR", "TARGETS", "WHY", "floor"]
TARGETS = (Target("genenvs/RoomSelect-v0", 64, "torch", 20, "sync"),)
