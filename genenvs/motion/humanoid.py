"""The humanoid of DeepMimic and pybullet: fifteen joints, and a simple solid for each.

Its frames: x forwards, y to the left, z up. At rest, all rotations the identity, it stands upright
with its arms hanging.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genenvs.motion import quaternions
from genenvs.motion.skeleton import Skeleton

TABLE = Path(__file__).with_name("humanoid.json")
_SIDE = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
JOINTS = (
    "root", "chest", "neck", *(f"{side}_{part}" for side in ("right", "left") for part in _SIDE)
)  # fmt: skip
ANKLES = (JOINTS.index("left_ankle"), JOINTS.index("right_ankle"))
_OTHER = {"right": "left", "left": "right"}


def _opposite(name: str) -> str:
    side, _, part = name.partition("_")
    return f"{_OTHER[side]}_{part}" if side in _OTHER else name


MIRROR = tuple(JOINTS.index(_opposite(name)) for name in JOINTS)


@dataclass(frozen=True)
class Humanoid:
    """The skeleton and the solids that its joints carry, float32 tensors.

    Attributes:
        skeleton: fifteen joints, in the order of `JOINTS`.
        axes: [15, 3], a hinge's axis; 0 for joints that turn freely and for those that are fixed.
        masses: [15], kg.
        centres: [15, 3], of each joint's solid, in its frame.
        halves: [15, 3], half extents of a box that is rounded by
        radii: [15]: a sphere has no extents, a capsule only one in z, a foot's box no radius.
    """

    skeleton: Skeleton
    axes: Tensor
    masses: Tensor
    centres: Tensor
    halves: Tensor
    radii: Tensor

    @property
    def tips(self) -> Tensor:
        """Where the bones of the last joints end, [15, 3]: crown, toes, fingers; else 0."""
        tips = torch.zeros_like(self.centres)
        for k, name in enumerate(JOINTS):
            if k in ANKLES:
                tips[k] = self.centres[k] + self.halves[k] * self.halves.new_tensor((1, 0, -1))
            elif name.endswith(("neck", "wrist")):
                way = 1.0 if name == "neck" else -1.0
                tips[k, 2] = self.centres[k, 2] + way * self.radii[k]
        return tips


@cache
def humanoid(device: str = "cpu") -> Humanoid:
    """Read the shipped table, derived by `genenvs.motion.build_skeleton`.

    Raises:
        ValueError: the file is not the one that was shipped.
    """
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    if digest(content["table"]) != content["sha256"]:
        raise ValueError(f"{TABLE} is not the table that was shipped; reinstall genenvs")
    rows = content["table"]["joints"]

    def column(name: str) -> Tensor:
        return torch.tensor([row[name] for row in rows], dtype=torch.float32, device=device)

    skeleton = Skeleton(JOINTS, tuple(row["parent"] for row in rows), column("offset"))
    names = ("axis", "mass", "centre", "half", "radius")
    return Humanoid(skeleton, *(column(name) for name in names))


def digest(table: dict[str, Any]) -> str:
    """SHA-256 of a table's content, however it is laid out in its file."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def mirrored(root: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Exchange left and right: reflect in the plane y = 0 of the world.

    Args:
        root: float [..., 3].
        rotations: float [..., 15, 4].

    Returns:
        The same shapes.
    """
    flip = rotations.new_tensor((1.0, -1.0, 1.0, -1.0))  # a reflection turns what lies in its plane
    swapped = torch.stack([rotations[..., k, :] for k in MIRROR], -2)
    return root * root.new_tensor((1.0, -1.0, 1.0)), swapped * flip


def lowest(positions: Tensor, orientations: Tensor) -> Tensor:
    """Return how high the lowest point of each joint's solid is.

    Args:
        positions: float [..., 15, 3], of `genenvs.motion.skeleton.forward`.
        orientations: float [..., 15, 4].

    Returns:
        [..., 15], metres; negative below a floor at 0.
    """
    body = humanoid(str(positions.device))
    centres = positions + quaternions.rotate(orientations, body.centres.to(positions.dtype))
    up = quaternions.matrix(orientations)[..., 2, :]  # how high each axis of a frame points
    reach = (up.abs() * body.halves.to(positions.dtype)).sum(-1) + body.radii
    return centres[..., 2] - reach


def soles(positions: Tensor, orientations: Tensor) -> Tensor:
    """Return heel and toe of both feet: the ends of the undersides of the ankles' boxes.

    Stands in for the foot joints that this skeleton lacks.

    Args:
        positions: float [..., 15, 3].
        orientations: float [..., 15, 4].

    Returns:
        [..., 4, 3]: left heel, left toe, right heel, right toe.
    """
    body = humanoid(str(positions.device))
    # By their numbers one by one: a list would be copied to the device at every call.
    centre, half = (torch.stack([x[k] for k in ANKLES]) for x in (body.centres, body.halves))
    ends = torch.tensor([[-1.0, 0.0, -1.0], [1.0, 0.0, -1.0]], device=positions.device)
    local = (centre[:, None] + ends * half[:, None]).to(positions.dtype)  # [2, 2, 3]
    place, frame = (
        torch.stack([x[..., k, :] for k in ANKLES], -2)[..., None, :]
        for x in (positions, orientations)
    )
    return (place + quaternions.rotate(frame, local)).flatten(-3, -2)
