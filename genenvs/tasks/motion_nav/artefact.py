"""What is left of a walk: poses in a room, as a film or as BVH."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from genenvs.images.solids import Solid, cubes
from genenvs.motion import bvh, figure
from genenvs.motion.humanoid import humanoid
from genenvs.motion.primitives import FPS
from genenvs.rooms.catalogue import CELL

HEIGHT, FOOT = 0.4, 0.1  # metres that a film shows of furniture and of walls
_BLOCK, _WALL = (176, 152, 124), (168, 172, 180)
_GOAL = (214, 84, 60)
_MARK = 0.12  # metres, half the side of the mark at the goal


@dataclass(frozen=True)
class Walk:
    """A motion in a room.

    Attributes:
        root: float64 [T, 3], metres, 40 frames a second.
        rotations: float64 [T, 15, 4].
        floor: bool [64, 64], the room in cells of 10 cm along x and y.
        walkable: bool [64, 64], where nothing stands.
        goal: float64 [2].
    """

    root: Tensor
    rotations: Tensor
    floor: Tensor
    walkable: Tensor
    goal: Tensor

    def save(self, path: str | Path) -> None:
        """Write a film (.gif, .mp4) of the walk, or its motion (.bvh).

        Raises:
            ImportError: mp4 without PyAV; names the extra.
            ValueError: another suffix.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".bvh":
            body = humanoid()
            bvh.write(
                path, body.skeleton, self.root.float(), self.rotations.float(), FPS, body.tips
            )
        elif suffix in figure.SUFFIXES:
            # A gif cannot show 40 pictures a second.
            every = 2 if suffix == ".gif" else 1
            figure.film(
                path, self.root[::every], self.rotations[::every], FPS / every, scene=self.scene()
            )
        else:
            raise ValueError(f"{path} must end in one of .bvh, {', '.join(figure.SUFFIXES)}")

    def scene(self) -> list[Solid]:
        """What stands there, cut low so that the walker is seen, the walls' feet, and the goal."""
        floor, walkable = self.floor.numpy(), self.walkable.numpy()
        padded = np.pad(floor, 1)
        beside = padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]
        solids = []
        for cells, height, colour in (
            (floor & ~walkable, HEIGHT, _BLOCK),
            (beside & ~floor, FOOT, _WALL),
        ):
            block = cubes(cells[..., None], colour, CELL).triangles * (1, 1, height / CELL)
            solids.append(Solid(block, colour))  # no lines between cells
        mark = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * _MARK + self.goal.numpy()
        mark = np.concatenate([mark, np.full((4, 1), 0.01)], 1)
        return [*solids, Solid(mark[[[0, 1, 2], [0, 2, 3]]], _GOAL)]
