"""Feet on the ground and bodies in what they should not be in: DIMOS's metrics, and stricter ones.

DIMOS: Zhao et al., ICCV 2023. Two of its metrics are called penetration: walking, the share of
frames in which the feet are on walkable ground (higher is better); sitting, a depth (lower is).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """What still counts as a foot at rest on the floor.

    Attributes:
        height: metres, DIMOS.
        speed: m/s, DIMOS's score.
        planted: m/s below which a foot on the floor is planted: EDGE's 0.01 m a frame at 30 fps
            (Tseng et al., CVPR 2023). Recorded feet roll, so 0.075 would find hardly any.
    """

    height: float = 0.05
    speed: float = 0.075
    planted: float = 0.3


TOLERANCE = Tolerance()


def velocity(points: Tensor, fps: float) -> Tensor:
    """Central differences, one-sided at both ends: [B, T, ...] -> the same, a second; T >= 2.

    Raises:
        ValueError: fewer than two frames.
    """
    if points.shape[1] < 2:
        raise ValueError(f"a velocity needs two frames; got {points.shape[1]}")
    inner = (points[:, 2:] - points[:, :-2]) * (fps / 2)
    first, last = points[:, 1:2] - points[:, :1], points[:, -1:] - points[:, -2:-1]
    return torch.cat([first * fps, inner, last * fps], 1)


def planted(feet: Tensor, fps: float, tolerance: Tolerance = TOLERANCE) -> Tensor:
    """Say which points of feet stand on the floor at z = 0.

    Args:
        feet: float [B, T, K, 3], metres; soles, see `genenvs.motion.humanoid.soles`.
        fps: frames a second.
        tolerance: see there.

    Returns:
        bool [B, T, K]: low and slow.
    """
    slow = velocity(feet, fps).norm(dim=-1) <= tolerance.planted
    return slow & (feet[..., 2] <= tolerance.height)


def contact_score(feet: Tensor, fps: float, tolerance: Tolerance = TOLERANCE) -> Tensor:
    """Return DIMOS's contact score (its `evaluation/cal_metric_locomotion.py`).

    The mean over frames of exp(-(min_k |v_k| - 0.075)+) exp(-(|min_k z_k| - 0.05)+), without the
    first and the last, which have no central difference. One planted foot is enough for a 1,
    whatever the other does: see `slide`.

    Args:
        feet: float [B, T, K, 3], metres, T >= 3; there ankles and feet, K = 4.
        fps: frames a second; there 40.
        tolerance: height and speed that cost nothing.

    Returns:
        [B], in (0, 1].

    Raises:
        ValueError: fewer than three frames.
    """
    if feet.shape[1] < 3:
        raise ValueError(f"the score needs three frames; got {feet.shape[1]}")
    speed = velocity(feet, fps)[:, 1:-1].norm(dim=-1).amin(-1)
    height = feet[:, 1:-1, :, 2].amin(-1).abs()
    excess = (speed - tolerance.speed).clamp(min=0) + (height - tolerance.height).clamp(min=0)
    return (-excess).exp().mean(1)


def slide(feet: Tensor, fps: float, tolerance: Tolerance = TOLERANCE) -> Tensor:
    """Return how far all planted points slide: horizontal metres in all, mean over points, [B].

    A step from one frame to the next counts where the point is planted at both.
    """
    still = planted(feet, fps, tolerance)
    step = (feet[:, 1:, :, :2] - feet[:, :-1, :, :2]).norm(dim=-1)
    return (step * (still[:, 1:] & still[:, :-1])).sum(1).mean(-1)


def inside(points: Tensor, triangles: Tensor) -> Tensor:
    """Say which points lie on a walkable ground of triangles, their edges included.

    Args:
        points: float [B, N, 2].
        triangles: float [B, F, 3, 2], either orientation.

    Returns:
        bool [B, N].
    """
    corner, following = triangles, triangles.roll(-1, 2)
    along = (following - corner)[:, None]  # [B, 1, F, 3, 2]
    away = points[:, :, None, None] - corner[:, None]  # [B, N, F, 3, 2]
    side = along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0]
    return ((side >= 0).all(-1) | (side <= 0).all(-1)).any(-1)


def walkable_score(on_ground: Tensor) -> Tensor:
    """Return DIMOS's penetration score of walking, higher is better.

    Args:
        on_ground: bool [B, T, K], which points of the feet are over walkable ground; see `inside`.

    Returns:
        float32 [B], the share of frames in which all of them are.
    """
    return on_ground.all(-1).float().mean(1)


class Depth(NamedTuple):
    """DIMOS's penetration of sitting and lying (`cal_metric_interaction.py`), lower is better.

    Attributes:
        mean: [B], over frames.
        largest: [B], of all frames.
    """

    mean: Tensor
    largest: Tensor


def penetration(distances: Tensor) -> Depth:
    """Sum the depths of all points of a body in each frame.

    Args:
        distances: float [B, T, V], signed distances of points of the body to an object, metres,
            negative inside; or heights over the floor, `genenvs.motion.humanoid.lowest`.

    Returns:
        Metres summed over points: comparable only at one number of points (there 10,475).
    """
    depth = (-distances).clamp(min=0).sum(-1)
    return Depth(depth.mean(1), depth.amax(1))
