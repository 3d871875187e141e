"""What EdgeLoop pays and measures."""

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
    ),
    "gain": Metric("Final `iou` less that of the cuboids at the start.", better="higher"),
    **gold.METRICS,
    "components": Metric("Pieces of the exported mesh.", "judge", gold=True, better="lower"),
    "boundary_ratio": Metric(
        "Edges of one face alone, of all edges of the exported mesh, 0 .. 1.",
        "judge",
        gold=True,
        better="lower",
    ),
    "self_intersections": Metric(
        "Pairs of faces of the exported mesh that cross.", "judge", gold=True, better="lower"
    ),
    "watertight": Metric(
        "Whether every edge of the exported mesh has exactly two faces, 0 or 1.",
        "judge",
        gold=True,
        better="higher",
    ),
}
