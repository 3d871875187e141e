"""RoomLayout: all places of a thing are looked at in every step."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.speed.families import Target
from benchmarks.speed.measure import Row, Spread, in_turns, lap_of, row
from genenvs.rooms import furnished, gold, physics, placing
from genenvs.rooms.catalogue import TYPES
from genenvs.simulators.engine import installed

ENV = "genenvs/RoomLayout-v0"
FLOOR = "the survey of all 4,096 places for the rows that chose a thing"
WHY = (
    "Putting the thing down; the planes that are observed, made a second time for what ended; the "
    "mask: hundreds of operations on rows of bits. The survey is the largest part of a step."
)
TARGETS = (Target(ENV, 1_024, "torch", 10_000), Target(ENV, 64, "torch", 20, "sync"))
ROOMS = 8


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """What each place of the thing that is taken in hand would mean."""
    return surveyed(task, state, action - placing.PLACES)


def surveyed(task: Any, state: Any, kind: Any) -> Callable[[], Any]:
    """The survey of the rows that chose a type, for these; the others say something else."""
    chosen = (kind >= 0) & (kind < TYPES)
    looking = task.looking(state, kind.clamp(0, TYPES - 1), placing.needed(chosen))
    return lambda: placing.survey(*looking)


def parts(task: Any, state: Any) -> dict[str, Callable[[], Any]]:
    """What a step is made of beside it."""
    return {"masks of all 4,096 places": lambda: task.action_mask(state)}


def rows(device: str) -> Iterator[Row]:
    """Furnished rooms judged in one process: without physics, and settled by engines."""
    if device != "cpu":
        return
    some = furnished.load("validation").rows(torch.arange(ROOMS))
    calls: dict[str, Callable[[], Any]] = {"rooms judged without physics": partial(gold.gold, some)}
    for engine in installed():
        calls[f"rooms settled, {engine}"] = partial(physics.settle, some, {}, engine)
    laps = {what: lap_of(call, ROOMS) for what, call in calls.items()}
    for what, rates in in_turns(laps).items():
        yield row(what, ROOMS, Spread.of(rates))
