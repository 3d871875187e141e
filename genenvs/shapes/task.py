"""What the tasks that build a given shape share."""

from typing import Any, ClassVar

from torch import Tensor

from genenvs.core.task import State, Task
from genenvs.shapes.targets import MIXTURE, Targets, load


class ShapeTask(Task):
    """A task whose instance is a shape to build, as voxels.

    Attributes:
        size: voxels a side.
        whole: of every target only the largest part is kept whose voxels share faces.
    """

    size: ClassVar[int]
    whole: ClassVar[bool] = False

    def __init__(self, *, targets: str = MIXTURE, up: str = "z", **common: Any) -> None:
        """Load the targets of the split.

        Args:
            targets: a family, `mixed`, or the path of a mesh or a folder of meshes; see
                `genenvs.shapes.targets.load`.
            up: the axis of these files that points upwards, "z" or "y" (of most glb files).
            **common: see `Task`.

        Raises:
            ValueError: no such family or path, or no mesh there can be used.
            ImportError: meshes need the extra `shapes`.
        """
        super().__init__(**common)
        self.targets: Targets = load(
            targets, self.split, self.size, whole=self.whole, up=up, device=self.device
        )

    @property
    def num_instances(self) -> int:
        """Targets of the split."""
        return len(self.targets)

    def target(self, state: State) -> Tensor:
        """The targets of a state's rows as grids: bool [B, size, size, size]."""
        return self.targets.voxels(state.instance)
