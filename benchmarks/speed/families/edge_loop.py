"""EdgeLoop: the solid between the loops is filled anew at every step."""

from collections.abc import Callable
from typing import Any

from benchmarks.speed.families import Target
from genenvs.geometry import packed

ENV = "genenvs/EdgeLoop-v0"
FLOOR = "IoU at 64^3 of the union of five cuboids with ten loops"
WHY = (
    "The wedges between loops, which are observed: where each slice of the target lies. The floor "
    "is half of a step: the solid is rasterised loop by loop. Cuboids of a target are fitted "
    "when it is first met, for which `training`, a new environment every lap, pays each time."
)
# Of the floor: the prototype in torch, bit-packed with a loop over slabs, made 4,600.
TARGETS = (Target(ENV, 64, "torch", 5, "sync"), Target(ENV, 64, "floor", 4_600))


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """Rasterise, unite and compare."""
    return lambda: packed.iou(task.solid(state), state.target)


def parts(task: Any, state: Any) -> dict[str, Callable[[], Any]]:
    """What a step is made of beside it."""
    return {"observations": lambda: task.observe(state)}
