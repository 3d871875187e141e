"""What MotionNav pays and measures: the terms of DIMOS and their constants."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term
from genenvs.motion.feet import TOLERANCE, velocity


@dataclass(frozen=True)
class Constants:
    """DIMOS's, of `exp_GAMMAPrimitive/train_GAMMAPolicy_collision.py` and its configuration.

    Attributes:
        reached: metres from the goal at which it is reached.
        floor: metres, height of the lowest point of the feet at which `floor` is best.
        cell: what a cell that may not be walked on weighs in `penetration`.
        success: ours; 1 there.
    """

    reached: float = 0.05
    floor: float = 0.02
    cell: float = 2.0
    success: float = 10.0


CONSTANTS = Constants()

TERMS = {
    "goal": Term(1.0, "1 - sqrt(metres to the goal beyond 0.05), less 1."),
    "facing": Term(1.0, "(1 + cosine of the angle from heading to goal) / 2, less 1."),
    "floor": Term(1.0, "exp(-mean of |height of the lowest sole - 0.02 m|), less 1."),
    "skate": Term(1.0, "exp(-mean of (speed of the slowest sole - 0.075 m/s)+), less 1."),
    "penetration": Term(1.0, "exp(-2 x blocked cells round the feet), less 1."),
    "pose": Term(1.0, "exp(-how unusual the poses are), less 1."),
    "success": Term(1.0, "10 for the goal, once."),
}

METRICS = {
    "distance": Metric("Metres to the goal, 2D.", "step", better="lower", range=(0.0, math.inf)),
    "success": Metric(
        "1 where the goal was reached, within 5 cm, else 0.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "quality": Metric(
        "Success times contact score times walkable share, 0 .. 1.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "contact": Metric(
        "DIMOS's contact score, 0 .. 1: one foot on the floor and at rest is enough.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "walkable": Metric(
        "Share of frames with all four soles on walkable ground, 0 .. 1: DIMOS's penetration score"
        " of walking.",
        better="higher",
        range=(0.0, 1.0),
    ),
    "time": Metric(
        "Seconds until the goal is reached, or the end.", better="lower", range=(0.0, math.inf)
    ),
    "closest": Metric(
        "Metres to the goal at the nearest frame.", better="lower", range=(0.0, math.inf)
    ),
    "slide": Metric(
        "Metres that planted soles slide in a second of walk, mean of all four: the contact score"
        " is satisfied by one.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
    "jerk": Metric(
        "Mean jerk of the joints, m/s^3; the recorded walks have 88 to 202.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, math.inf),
    ),
}


def floor(soles: Tensor) -> Tensor:
    """`floor` before 1 is taken off: soles float [B, T, 4, 3] -> [B], in 0 .. 1."""
    low = soles[..., 2].amin(-1)
    return (-(low - CONSTANTS.floor).abs().mean(1)).exp()


def skate(soles: Tensor, fps: float) -> Tensor:
    """`skate` likewise, over the frames that have both neighbours."""
    speed = velocity(soles, fps)[:, 1:-1].norm(dim=-1).amin(-1)
    return (-(speed - TOLERANCE.speed).clamp(min=0).mean(1)).exp()


def goal(distance: Tensor) -> Tensor:
    """`goal` likewise, of metres [B] at the nearest frame: at most 1."""
    return 1 - (distance - CONSTANTS.reached).clamp(min=0).sqrt()


def facing(cosine: Tensor) -> Tensor:
    """`facing` likewise, of the cosine [B] of the angle between heading and goal."""
    return (1 + cosine) / 2


def penetration(points: Tensor, walkable: Tensor, soles: Tensor) -> Tensor:
    """`penetration` likewise.

    Args:
        points: float [N, 2], the map's points, in the frame of reference of the primitive.
        walkable: bool [B, N], what the map says there.
        soles: float [B, T, 4, 2], in the same frame.

    Returns:
        [B]: counted are points in the box round all soles of all frames that are not walkable.
    """
    ends = soles.flatten(1, 2)
    low, high = ends.amin(1), ends.amax(1)  # [B, 2]
    x, y = points.unbind(-1)
    inside = (x >= low[:, :1]) & (x <= high[:, :1]) & (y >= low[:, 1:]) & (y <= high[:, 1:])
    count = (inside & ~walkable).sum(1)
    return (-CONSTANTS.cell * count.to(soles.dtype)).exp()


def pose(unusual: Tensor) -> Tensor:
    """`pose` likewise, of deviations from the mean pose an axis, [B, T]."""
    return (-unusual.mean(1)).exp()


def heading_cosine(heading: Tensor, way: Tensor) -> Tensor:
    """The cosine between a heading [B] in radians and a way [B, 2]; 1 where there is none left."""
    length = way.norm(dim=-1)
    along = (torch.stack([heading.cos(), heading.sin()], -1) * way).sum(-1)
    return torch.where(length > 1e-9, along / length.clamp(min=1e-9), 1.0)
