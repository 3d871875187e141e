"""Poses of a walking humanoid as vectors, and what a frame of reference that follows it is.

A vector holds where the body is (x, y, heading), then its pose: height of the root, its tilt, and
the joints that turn, as rotation vectors and angles of hinges. Near the poses of walks these add
and scale like numbers; a body upside down or a joint beyond half a turn they cannot hold.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.motion import quaternions
from genenvs.motion.humanoid import JOINTS, humanoid

PLACE = 3  # x and y in metres, heading in radians
_BALLS = tuple(
    JOINTS.index(name)
    for name in JOINTS
    if name.endswith(("chest", "neck", "hip", "ankle", "shoulder"))
)
_HINGES = tuple(JOINTS.index(name) for name in JOINTS if name.endswith(("knee", "elbow")))
POSE = 3 + 3 * len(_BALLS) + len(_HINGES)  # height, tilt about x and y, joints
WIDTH = PLACE + POSE


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
    return root, _turned(frames)


def soles(frames: Tensor) -> Tensor:
    """Heel and toe of both feet, see `genenvs.motion.humanoid.soles`: [..., 34] -> [..., 4, 3].

    From the ends of the legs to the root, number by number: some ten times as fast as all joints'
    places and frames, which are not asked for.
    """
    numbers = frames.movedim(-1, 0).contiguous()  # [34, ...]
    legs = _legs(str(frames.device))

    def vector(places: Tensor) -> _Vector:
        """Three numbers of both legs: [2, ...] each."""
        x, y, z = numbers[places.flatten()].unflatten(0, (3, 2)).unbind(0)
        return x, y, z

    shape = (2, 2, *[1] * (frames.dim() - 1))
    ends = legs.ends.to(frames.dtype).reshape(3, *shape).unbind(0)
    point: _Vector = (ends[0], ends[1], ends[2])  # [heel and toe, left and right, ...]
    point = _about(vector(legs.ankles), point)
    bend = numbers[legs.knees]
    x, z = _plane(bend, point[0], point[2] + legs.shin)
    point = _about(vector(legs.hips), (x, point[1], z + legs.thigh))
    aside = legs.aside.to(frames.dtype).reshape(2, *shape[2:])
    tilt = (numbers[PLACE + 1], numbers[PLACE + 2], torch.zeros_like(numbers[0]))
    point = _about(tilt, (point[0], point[1] + aside, point[2]))
    cosine, sine = numbers[2].cos(), numbers[2].sin()
    x = cosine * point[0] - sine * point[1] + numbers[0]
    y = sine * point[0] + cosine * point[1] + numbers[1]
    found = torch.stack([x, y, point[2] + numbers[PLACE]])  # [3, end, leg, ...]
    return found.transpose(1, 2).flatten(1, 2).movedim((1, 0), (-2, -1)).contiguous()


_Vector = tuple[Tensor, Tensor, Tensor]


def _about(turn: _Vector, point: _Vector) -> _Vector:
    """Points turned by rotation vectors (Rodrigues)."""
    square = turn[0] * turn[0] + turn[1] * turn[1] + turn[2] * turn[2]
    angle = (square + 1e-18).sqrt()
    first, second = angle.sin() / angle, 2 * ((angle / 2).sin() / angle).square()
    once = _cross(turn, point)
    twice = _cross(turn, once)
    x, y, z = (p + first * a + second * b for p, a, b in zip(point, once, twice, strict=True))
    return x, y, z


def _cross(a: _Vector, b: _Vector) -> _Vector:
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


def _plane(angle: Tensor, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """A knee, which turns about -y."""
    cosine, sine = angle.cos(), angle.sin()
    return cosine * x - sine * z, sine * x + cosine * z


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


def _turned(frames: Tensor) -> Tensor:
    """Rotations of all joints: [..., 15, 4]."""
    nothing = torch.zeros_like(frames[..., :1])
    balls = frames[..., PLACE + 3 : PLACE + 3 + 3 * len(_BALLS)].unflatten(-1, (-1, 3))
    hinges = frames[..., PLACE + 3 + 3 * len(_BALLS) :]
    axes = humanoid(str(frames.device)).axes.to(frames.dtype)
    tilt = torch.cat([frames[..., PLACE + 1 : PLACE + 3], nothing], -1)
    vectors = [tilt]
    for k in range(1, len(JOINTS)):
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


class _Legs(NamedTuple):
    """Numbers of the legs, left before right.

    Attributes:
        ends: float32 [3, 2, 2], heel and toe of each foot in the ankle's frame.
        ankles: int64 [3, 2], where the rotation vectors stand in a frame.
        hips: int64 [3, 2].
        knees: int64 [2].
        shin: metres from knee to ankle, downwards.
        thigh: from hip to knee.
        aside: float32 [2], from the root to the hips, to the left.
    """

    ends: Tensor
    ankles: Tensor
    hips: Tensor
    knees: Tensor
    shin: float
    thigh: float
    aside: Tensor


@cache
def _legs(device: str) -> _Legs:
    """The humanoid's; all its offsets are along one axis, and its knees turn about -y."""
    body = humanoid(device)
    offsets = body.skeleton.offsets
    sides = ("left", "right")

    def joints(part: str) -> list[int]:
        return [JOINTS.index(f"{side}_{part}") for side in sides]

    def numbers(part: str) -> Tensor:
        first = [PLACE + 3 + 3 * _BALLS.index(k) for k in joints(part)]
        return torch.tensor([[k + axis for k in first] for axis in range(3)], device=device)

    hinges = PLACE + 3 + 3 * len(_BALLS)
    knees = [hinges + _HINGES.index(k) for k in joints("knee")]
    assert body.axes[joints("knee")].tolist() == [[0.0, -1.0, 0.0]] * 2
    centre, half = (x[joints("ankle")] for x in (body.centres, body.halves))
    along = torch.tensor([[-1.0, 0.0, -1.0], [1.0, 0.0, -1.0]], device=device)
    ends = centre[None] + along[:, None] * half[None]  # [2 ends, 2 legs, 3]
    return _Legs(
        ends.movedim(-1, 0),
        numbers("ankle"),
        numbers("hip"),
        torch.tensor(knees, device=device),
        float(offsets[joints("ankle")[0], 2]),
        float(offsets[joints("knee")[0], 2]),
        offsets[joints("hip"), 1],
    )
