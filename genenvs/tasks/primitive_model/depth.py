"""The targets as Lin et al.'s agent sees them: depth pictures of 128 x 128 pixels."""

import math
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from genenvs.geometry.depth import look_at, pinhole
from genenvs.geometry.march import VoxelRays
from genenvs.shapes.primitives import SIDE
from genenvs.shapes.targets import Targets

PIXELS = 128
AZIMUTH, ELEVATION = -55.0, 26.0  # degrees: from the front, above and aside, as pictures here do
DISTANCE = 3.0  # of the camera from the middle, in sides of the grid
_DIAGONAL = math.sqrt(3.0)
FIELD = 2 * math.asin(_DIAGONAL / 2 / DISTANCE)  # radians: the grid's sphere fills the picture
_DARKEST = 40  # what is farthest, so that it differs from nothing
LEVELS = (255 - _DARKEST) / (_DIAGONAL * SIDE)  # of one voxel's depth


class DepthPictures:
    """Pictures of the targets of a split, each drawn when it is first asked for."""

    shape = (1, PIXELS, PIXELS)

    def __init__(self, targets: Targets) -> None:
        """Nothing is drawn yet on the CPU; elsewhere everything, as asking would cost a wait."""
        self._targets = targets
        device = targets.family.device
        self._rays = _camera(str(device))
        self._known = torch.zeros(len(targets), dtype=torch.bool, device=device)
        self._pictures = torch.zeros(len(targets), *self.shape, dtype=torch.uint8, device=device)
        if device.type != "cpu":
            self._draw(torch.arange(len(targets), device=device))

    def __call__(self, index: Tensor) -> Tensor:
        """The targets `index` (int64 [K]): uint8 [K, 1, 128, 128], 255 near, 0 nothing."""
        if self._known.device.type == "cpu" and not bool((known := self._known[index]).all()):
            self._draw(index[~known].unique())
        return self._pictures[index]

    def _draw(self, index: Tensor) -> None:
        depth = self._rays.depth(self._targets.voxels(index))[:, None]
        level = _levels(depth)
        self._pictures[index] = torch.where(depth.isinf(), 0, level.clamp(_DARKEST, 255)).byte()
        self._known[index] = True


class Centres(NamedTuple):
    """The middles of all voxels, as the camera has them; x slowest, z fastest.

    Attributes:
        pixel: int64 [4096], in which each lies, from the top left, row by row.
        level: float32 [4096], what a surface there would be drawn as.
    """

    pixel: Tensor
    level: Tensor


def centres() -> Centres:
    """Where the voxels are in a picture, for who wants to read it as a grid."""
    eye, camera = _pose()
    at = torch.arange(SIDE) + 0.5
    right, up, ahead = ((torch.cartesian_prod(at, at, at) - eye) @ camera[0].T).unbind(1)
    wide = 2 * math.tan(FIELD / 2) / PIXELS * ahead  # of a pixel there
    column, row = (PIXELS / 2 + right / wide).floor(), (PIXELS / 2 - up / wide).floor()
    return Centres((row * PIXELS + column).long(), _levels(ahead))


def _levels(depth: Tensor) -> Tensor:
    """What depths, in voxels, are drawn as."""
    return 255 - LEVELS * (depth - (DISTANCE - _DIAGONAL / 2) * SIDE)


@lru_cache(maxsize=4)
def _camera(device: str) -> VoxelRays:
    """In voxels."""
    eye, camera = _pose()
    rays = pinhole(eye, camera, (PIXELS, PIXELS), FIELD)
    return VoxelRays(type(rays)(*(x.to(device) for x in rays)), SIDE)


def _pose() -> tuple[Tensor, Tensor]:
    """The eye, in voxels, [1, 3], and how it is turned, [1, 3, 3], see `look_at`."""
    a, e = math.radians(AZIMUTH), math.radians(ELEVATION)
    back = torch.tensor([[math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)]])
    middle = torch.full((1, 3), SIDE / 2)
    eye = middle + back * DISTANCE * SIDE
    return eye, look_at(eye, middle)


_drawn: WeakValueDictionary[int, DepthPictures] = WeakValueDictionary()


def pictures(targets: Targets) -> DepthPictures:
    """The pictures of a split; tasks with the same targets share them."""
    # By identity, which holds as long as the pictures keep the targets alive.
    found = _drawn.get(id(targets))
    if found is None:
        found = _drawn[id(targets)] = DepthPictures(targets)
    return found
