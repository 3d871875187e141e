"""Poses of a walking humanoid as vectors, and what a frame of reference that follows it is.

A vector holds where the body is (x, y, heading), then its pose: height of the root, its tilt, and
the joints that turn, as rotation vectors and angles of hinges. Near the poses of walks these add
and scale like numbers; a body upside down or a joint beyond half a turn they cannot hold.
"""

from functools import cache

import torch
from torch import Tensor

from genenvs.motion import quaternions
from genenvs.motion.humanoid import ANKLES, JOINTS, foot_ends, humanoid
from genenvs.motion.skeleton import Skeleton, forward

PLACE = 3  # x and y in metres, heading in radians
_BALLS = tuple(
    JOINTS.index(name)
    for name in JOINTS
    if name.endswith(("chest", "neck", "hip", "ankle", "shoulder"))
)
_HINGES = tuple(JOINTS.index(name) for name in JOINTS if name.endswith(("knee", "elbow")))
POSE = 3 + 3 * len(_BALLS) + len(_HINGES)  # height, tilt about x and y, joints
WIDTH = PLACE + POSE
_LEGS = tuple(
    k for k, name in enumerate(JOINTS) if name == "root" or name.endswith(("hip", "knee", "ankle"))
)


def pack(root: Tensor, rotations: Tensor) -> Tensor:
    """Poses as vectors.

    Args:
        root: float [..., T, 3], metres.
        rotations: float [..., T, 15, 4].

    Returns:
        [..., T, 34]; the heading goes on beyond half a turn from frame to frame.
    """
    trunk = rotations[..., 0, :]
    about = quaternions.yaw(trunk)
    heading = _unwrapped(2 * torch.atan2(about[..., 3], about[..., 0]))
    tilt = quaternions.logarithm(quaternions.multiply(quaternions.conjugate(about), trunk))
    turns = quaternions.logarithm(rotations)
    axes = humanoid(str(root.device)).axes.to(root.dtype)
    parts = [root[..., :2], heading[..., None], root[..., 2:], tilt[..., :2]]
    parts += [turns[..., k, :] for k in _BALLS]
    parts += [(turns[..., k, :] * axes[k]).sum(-1, keepdim=True) for k in _HINGES]
    return torch.cat(parts, -1)


def unpack(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Root [..., 3] and rotations [..., 15, 4] of vectors [..., 34]."""
    root = torch.cat([frames[..., :2], frames[..., 3:4]], -1)
    return root, _turned(frames, range(len(JOINTS)))


def soles(frames: Tensor) -> Tensor:
    """Heel and toe of both feet, see `genenvs.motion.humanoid.soles`: [..., 34] -> [..., 4, 3].

    Of the legs alone: a third of the work of all joints.
    """
    root = torch.cat([frames[..., :2], frames[..., 3:4]], -1)
    places, turns = forward(_legs(str(frames.device)), root, _turned(frames, _LEGS))
    ankles = [_LEGS.index(k) for k in ANKLES]
    place, frame = (torch.stack([x[..., k, :] for k in ankles], -2) for x in (places, turns))
    return foot_ends(place, frame)


def seen_from(frames: Tensor, origin: Tensor) -> Tensor:
    """Frames as seen from a place: at the origin, looking along x.

    Args:
        frames: [..., T, 34].
        origin: [..., 3], x, y and heading.

    Returns:
        [..., T, 34].
    """
    moved = frames[..., :PLACE] - origin[..., None, :]
    turned = turn(moved[..., :2], -origin[..., None, 2])
    return torch.cat([turned, moved[..., 2:], frames[..., PLACE:]], -1)


def placed_at(frames: Tensor, origin: Tensor) -> Tensor:
    """The inverse of `seen_from`."""
    turned = turn(frames[..., :2], origin[..., None, 2])
    place = torch.cat([turned, frames[..., 2:PLACE]], -1) + origin[..., None, :]
    return torch.cat([place, frames[..., PLACE:]], -1)


def turn(points: Tensor, angle: Tensor) -> Tensor:
    """Points of a plane turned to the left: [..., 2] by radians [...]."""
    cosine, sine = angle.cos(), angle.sin()
    x, y = points.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


def _unwrapped(angles: Tensor) -> Tensor:
    step = angles.diff(dim=-1)
    turns = torch.round(step / (2 * torch.pi)).cumsum(-1)
    return torch.cat([angles[..., :1], angles[..., 1:] - 2 * torch.pi * turns], -1)


def _turned(frames: Tensor, joints: range | tuple[int, ...]) -> Tensor:
    """Rotations of some joints, the root first: [..., K, 4]."""
    nothing = torch.zeros_like(frames[..., :1])
    balls = frames[..., PLACE + 3 : PLACE + 3 + 3 * len(_BALLS)].unflatten(-1, (-1, 3))
    hinges = frames[..., PLACE + 3 + 3 * len(_BALLS) :]
    axes = humanoid(str(frames.device)).axes.to(frames.dtype)
    tilt = torch.cat([frames[..., PLACE + 1 : PLACE + 3], nothing], -1)
    vectors = [tilt]
    for k in joints[1:]:
        if k in _BALLS:
            vectors.append(balls[..., _BALLS.index(k), :])
        elif k in _HINGES:
            vectors.append(hinges[..., _HINGES.index(k), None] * axes[k])
        else:
            vectors.append(nothing.expand(*nothing.shape[:-1], 3))
    turns = quaternions.exponential(torch.stack(vectors, -2))
    half = frames[..., 2] / 2
    zero = torch.zeros_like(half)
    about = torch.stack([half.cos(), zero, zero, half.sin()], -1)
    trunk = quaternions.multiply(about, turns[..., 0, :])
    return torch.cat([trunk[..., None, :], turns[..., 1:, :]], -2)


@cache
def _legs(device: str) -> Skeleton:
    """The humanoid's root and legs."""
    body = humanoid(device).skeleton
    parents = tuple(_LEGS.index(body.parents[k]) if k else -1 for k in _LEGS)
    return Skeleton(tuple(JOINTS[k] for k in _LEGS), parents, body.offsets[list(_LEGS)])
