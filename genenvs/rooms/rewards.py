"""What furnishing pays and what it is measured by; facts of every room as tensors [B]."""

import math

import torch
from torch import Tensor

from genenvs.core.rewards import Metric, Term

KEPT = ("placed", "wall", "pairs", "door", "clearance", "quality")  # counts of a room's things
TERMS = {
    "placed": Term(1.0, "Change of the share of the requested things that stand.", "placed"),
    "wall": Term(0.5, "Change of the share that stand with their back to a wall.", "wall"),
    "pairs": Term(0.5, "Change of the share that stand where their partner wants them.", "pairs"),
    "door": Term(-0.5, "Change of the share that obstruct a door.", "door"),
    "clearance": Term(
        -0.5, "Change of the share that stand in what has to stay free.", "clearance"
    ),
    "success": Term(1.0, "At the end: 1 where all that was asked for stands and keeps its rules."),
}
# What illegal actions cost. The search of RoomSelect never collides or leaves the room.
OUT_OF_TURN = {"invalid": Term(-0.05, "1 for an illegal action.")}
RAW = {
    "collision": Term(
        -0.05, "1 for a place in the room where something else is, or nothing carries the thing."
    ),
    "outside": Term(-0.05, "1 for a place that reaches beyond the room."),
    "out_of_turn": Term(-0.05, "1 for any other illegal action."),
}
PHYSICS = {
    "drift": ("Mean way that things moved while physics settled, in mm", (0.0, math.inf)),
    "tipped": ("Share of things that tipped by more than 15 degrees", (0.0, 1.0)),
    "penetration": (
        "Deepest overlap of two things, or of thing and wall, at first, in mm",
        (0.0, math.inf),
    ),
}
METRICS = {
    "placed": Metric(
        "Share of the requested things that stand, 0 .. 1.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "wall": Metric(
        "Share of them that belong to a wall and stand there.", "step", range=(0.0, 1.0)
    ),
    "pairs": Metric(
        "Share of them that belong to a partner and stand there.", "step", range=(0.0, 1.0)
    ),
    "door": Metric("Share that obstruct a door.", "step", better="lower", range=(0.0, 1.0)),
    "clearance": Metric(
        "Share that stand in another's access or lack their own.",
        "step",
        better="lower",
        range=(0.0, 1.0),
    ),
    "quality": Metric(
        "Share of the requested things that stand and keep all their rules.",
        "step",
        better="higher",
        range=(0.0, 1.0),
    ),
    "invalid": Metric("1 where the action was illegal.", "step", better="lower", range=(0.0, 1.0)),
    "success": Metric("1 where quality is 1.", "end", better="higher", range=(0.0, 1.0)),
    "set_aside": Metric(
        "Share of the requested things that found no place.",
        "end",
        better="lower",
        range=(0.0, 1.0),
    ),
    "reachable": Metric(
        "PhyScene's reachability for a body of 0.3 m radius, 0 .. 1.",
        "judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "walkable": Metric(
        "PhyScene's walkability: largest walkable part of all that is.",
        "judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "entered": Metric(
        "Share of doors from which the largest walkable part is reached.",
        "judge",
        gold=True,
        better="higher",
        range=(0.0, 1.0),
    ),
    "pull_out": Metric(
        "Share of chairs that cannot be pulled out by 0.4 m.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
    "door_swing": Metric(
        "Share of doors that hit furniture when they open.",
        "judge",
        gold=True,
        better="lower",
        range=(0.0, 1.0),
    ),
}


def shares(kept: Tensor, total: Tensor) -> dict[str, Tensor]:
    """The step metrics of counts.

    Args:
        kept: int64 [B, 6], see `KEPT`.
        total: int64 [B], things asked for, at least 1.

    Returns:
        float32 [B] each.
    """
    found = kept.float() / total[:, None]
    return dict(zip(KEPT, found.unbind(1), strict=True))


def physics(engine: str) -> dict[str, Metric]:
    """The metrics of one physics engine, whose name they carry: no column mixes two."""
    return {
        f"{name}_{engine}": Metric(
            f"{text} ({engine}).", "judge", gold=True, better="lower", range=span
        )
        for name, (text, span) in PHYSICS.items()
    }


def success(kept: Tensor, total: Tensor) -> Tensor:
    """Whether everything asked for keeps its rules: float32 [B]."""
    return (kept[:, KEPT.index("quality")] == total).to(torch.float32)
