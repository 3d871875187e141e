"""MotionNav: a network makes the next half second of a walk."""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.families import Target

ENV = "genenvs/MotionNav-v0"
FLOOR = "the decoder of motion primitives"
WHY = (
    "Where feet and bodies are in the room: turning every joint into its frame, the contacts that "
    "are paid, the map around that is observed; and new episodes, ended in nearly every step."
)
TARGETS = (Target(ENV, 1_024, "torch", 50_000), Target(ENV, 64, "torch", 5, "sync"))


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """Half a second of everybody's walk."""
    return lambda: task.walk_on(state, action)
