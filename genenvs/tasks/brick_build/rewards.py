"""What a build is worth."""

import math

from genenvs.core.rewards import Metric, Term
from genenvs.shapes import gold

TERMS = {
    "iou": Term(1.0, "Change of the intersection over union with the target.", change_of="iou"),
    "invalid": Term(0.005, "Minus 1 for an illegal action; who heeds the mask pays nothing."),
    "unconnected": Term(
        0.2,
        "Minus the share of the volume without a path of studs to the ground, once, at the end."
        " Always 0 unless `floating` lets bricks be placed on nothing.",
    ),
    "strain": Term(
        0.5,
        "Minus the mean strain of the bricks by volume, once, at the end: the estimated share of"
        " friction that is used below a brick, 1 where it falls or is unconnected.",
    ),
}

METRICS = {
    "iou": Metric(
        "Intersection over union of build and target, 0 .. 1.",
        when="step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "invalid": Metric(
        "Illegal actions so far; nothing happened then.",
        "step",
        better="lower",
        range=(0.0, math.inf),
    ),
    "precision": Metric(
        "Share of the build that lies in the target; 1 of nothing.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "recall": Metric("Share of the target that is built.", better="higher", range=(0.0, 1.0)),
    "bricks": Metric("Number of bricks.", range=(0.0, math.inf)),
    "strain": Metric(
        "Mean strain of the bricks, as the term has it, 0 .. 1.", better="lower", range=(0.0, 1.0)
    ),
    "fallen": Metric(
        "Share of the volume whose strain is 1: it falls.", better="lower", range=(0.0, 1.0)
    ),
    "structures": Metric(
        "Sets of bricks that hang together by studs.",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "stability": Metric(
        "BrickGPT's stability by a linear programme: the mean over bricks of the share of friction"
        " that is left where a brick is held weakest, 0 .. 1; 0 where nothing was built.",
        when="judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "stable": Metric(
        "1 where the linear programme finds no brick that falls; 0 where nothing was built.",
        when="judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    **gold.METRICS,
}
