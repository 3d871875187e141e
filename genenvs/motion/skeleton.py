"""Skeletons: a tree of joints, and where its joints are."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from genenvs.motion import quaternions


class Level(NamedTuple):
    """Joints as far from the root as each other.

    Attributes:
        joints: int64 [K].
        parents: int64 [K], places of their parents in the level before.
        offsets: float32 [K, 3].
    """

    joints: Tensor
    parents: Tensor
    offsets: Tensor


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints.

    Attributes:
        names: of J joints, all different.
        parents: index of each joint's parent, smaller than its own; -1 for the first, the root.
        offsets: float32 [J, 3], from the parent in its frame, metres; the root's is its place in
            the file it came from and enters no computation.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Tensor

    def __post_init__(self) -> None:
        ordered = all(-1 < p < k for k, p in enumerate(self.parents) if k)
        if not self.parents or self.parents[0] != -1 or not ordered:
            raise ValueError(f"parents must come before their children; got {self.parents}")
        if not len(set(self.names)) == len(self.parents) == len(self.offsets):
            raise ValueError("names (all different), parents and offsets must be as many")

    def index(self, *names: str) -> list[int]:
        """Joints by their names."""
        return [self.names.index(name) for name in names]

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All joints but the root by their distance from it: what one step computes at once."""
        levels, before = [], [0]
        while joints := [k for k, p in enumerate(self.parents) if p in before]:
            places = [before.index(self.parents[k]) for k in joints]
            index = torch.tensor([joints, places], device=self.offsets.device)
            levels.append(Level(index[0], index[1], self.offsets[index[0]]))
            before = joints
        return tuple(levels)

    @cached_property
    def places(self) -> Tensor:
        """Where each joint stands when the levels follow each other: int64 [J]."""
        root = torch.zeros(1, dtype=torch.int64, device=self.offsets.device)
        return torch.cat([root, *(level.joints for level in self.levels)]).argsort()

    def to(self, device: str | torch.device) -> "Skeleton":
        """The same on a device."""
        return Skeleton(self.names, self.parents, self.offsets.to(device))


def forward(skeleton: Skeleton, root: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Forward kinematics.

    Args:
        skeleton: on the same device.
        root: float [..., 3], where the root is, metres.
        rotations: float [..., J, 4], unit quaternions, each joint's frame in its parent's; the
            root's in the world's.

    Returns:
        Positions [..., J, 3] in metres and orientations [..., J, 4], both in the world.

    Raises:
        ValueError: the shapes do not fit.
    """
    joints = len(skeleton.parents)
    if rotations.shape[:-2] != root.shape[:-1] or rotations.shape[-2:] != (joints, 4):
        raise ValueError(
            f"root must be [..., 3] and rotations [..., {joints}, 4]; "
            f"got {list(root.shape)} and {list(rotations.shape)}"
        )
    positions, orientations = [root[..., None, :]], [rotations[..., :1, :]]
    for level in skeleton.levels:
        frame = orientations[-1].index_select(-2, level.parents)
        start = positions[-1].index_select(-2, level.parents)
        positions.append(start + quaternions.rotate(frame, level.offsets.to(root.dtype)))
        own = rotations.index_select(-2, level.joints)
        orientations.append(quaternions.multiply(frame, own))
    order = skeleton.places
    return (
        torch.cat(positions, -2).index_select(-2, order),
        torch.cat(orientations, -2).index_select(-2, order),
    )
