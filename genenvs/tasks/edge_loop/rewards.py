"""What EdgeLoop pays and measures."""

import math

from genenvs.core.rewards import Metric, Term
from genenvs.shapes import gold

TERMS = {
    "iou": Term(
        1.0, "Change of the intersection over union with the target at 64^3.", change_of="iou"
    )
}
METRICS = {
    "iou": Metric(
        "Intersection over union of the solid and the target at 64^3, 0 .. 1.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "gain": Metric(
        "Final `iou` less that of the cuboids at the start.", better="higher", range=(-1.0, 1.0)
    ),
    **gold.METRICS,
    "components": Metric(
        "Parts of the solid that share no face at 64^3; a target has one, or few.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "overlap": Metric(
        "Share of the cuboids' summed volume that lies in others as well, 0 .. 1; cuboids without"
        " loops count as one.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
    "self_intersections": Metric(
        "Pairs of triangles, of the surfaces of two cuboids, that cross: what a modeller has to cut"
        " and weld before the mesh is one.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
}
