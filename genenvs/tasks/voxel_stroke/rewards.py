"""What a stroke pays and how it is measured."""

import math

from torch import Tensor

from genenvs.core.rewards import Metric, Term
from genenvs.shapes import gold
from genenvs.tasks.voxel_stroke.grids import TARGET, VISITED

# Akizuki et al. (2020), as the survey of Liang et al. (2025) gives them in its table of 3-D tasks:
# +1 inside, -0.5 for a self-intersection, -1 outside.
TERMS = {
    "filled": Term(1.0, "1 for a cell of the target that was not visited yet."),
    "crossed": Term(0.5, "Minus 1 for a self-intersection: a cell of the stroke. Nothing moves."),
    "left": Term(1.0, "Minus 1 for a cell outside the target. Nothing moves."),
}

METRICS = {
    "coverage": Metric(
        "Share of the target's cells that the stroke visited, 0 .. 1.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "clean_coverage": Metric(
        "Coverage before the first fault, 0 .. 1: what one faultless stroke drew.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "self_intersections": Metric(
        "Faults of the first kind, a count.", better="lower", range=(0.0, math.inf)
    ),
    "exits": Metric(
        "Faults of the second kind, outside the target, a count.",
        better="lower",
        range=(0.0, math.inf),
    ),
    "length": Metric("Cells of the stroke, the first one included.", range=(1.0, math.inf)),
    "untouched_parts": Metric(
        "Pieces (26-connected components) of the target that the stroke left out: many small ones"
        " where it left holes behind, one where it never went. Tells strokes of equal coverage"
        " apart; by itself neither more nor fewer are better.",
        when="judge",
        gold=True,
        range=(0.0, math.inf),
    ),
    **gold.METRICS,
}


def stroke(cell: Tensor) -> dict[str, Tensor]:
    """The terms of moving towards cells: uint8 [B], read before anything is written."""
    return {
        "filled": (cell == TARGET).float(),
        "crossed": -(cell == TARGET | VISITED).float(),
        "left": -(cell == 0).float(),
    }
