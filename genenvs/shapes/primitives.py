"""Shapes made of cuboids, as a file that one stage of a pipeline hands to the next.

Lin et al. (ECCV 2020) model a shape in two stages: cuboids first, edge loops on them afterwards.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genenvs.core.files import making
from genenvs.core.task import SPLITS
from genenvs.geometry.cuboids import volume
from genenvs.shapes.targets import Targets

COUNT = 27  # cuboids a shape
SIDE = 16  # voxels a side of the grid whose planes their faces lie in
FORMAT = "genenvs primitives 1"
_ABOUT = ("names", "targets", "split")
_FIELDS = {"cuboids": torch.int64, "iou": torch.float32, "instance": torch.int64}


@dataclass(frozen=True)
class Primitives:
    """The cuboids of N shapes.

    Attributes:
        cuboids: int64 [N, 27, 6], the lowest corner (x, y, z) of each in 0 .. 15, then the highest,
            exclusive, in 1 .. 16; zeros where a cuboid was deleted. The grid is the unit cube.
        iou: float32 [N] in 0 .. 1, of their union with the target at 16^3.
        instance: int64 [N], which target of the split each row models; all differ.
        names: N families or files, of those targets.
        targets: the argument `targets` that they came from.
        split: `train`, `validation` or `test`.
    """

    cuboids: Tensor
    iou: Tensor
    instance: Tensor
    names: tuple[str, ...]
    targets: str
    split: str

    def __post_init__(self) -> None:
        """Check all of it.

        Raises:
            ValueError: a field is none of what is said above; says which.
        """
        rows = len(self.instance) if self.instance.ndim else 0
        shapes = {"cuboids": (rows, COUNT, 6), "iou": (rows,), "instance": (rows,)}
        for name, dtype in _FIELDS.items():
            value = getattr(self, name)
            if value.dtype != dtype or tuple(value.shape) != shapes[name]:
                raise ValueError(
                    f"{name} must be {dtype} {list(shapes[name])};"
                    f" got {value.dtype} {list(value.shape)}"
                )
        if len(self.names) != rows or not all(isinstance(name, str) for name in self.names):
            raise ValueError(f"names must be {rows} strings; got {len(self.names)}")
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}; got {self.split!r}")
        if bool((self.instance < 0).any()) or len(self.instance.unique()) != rows:
            raise ValueError("instance must hold distinct indices of targets, from 0")
        if not bool(((self.iou >= 0) & (self.iou <= 1)).all()):
            raise ValueError("iou must lie in 0 .. 1")
        inside = (self.cuboids >= 0) & (self.cuboids <= SIDE)
        solid = (self.cuboids[..., 3:] > self.cuboids[..., :3]).all(-1)
        gone = (self.cuboids == 0).all(-1)
        if not bool(inside.all()) or not bool((solid | gone).all()):
            raise ValueError(
                f"each cuboid must be zeros (deleted), or its lowest corner below its highest"
                f" along every axis, within 0 .. {SIDE}"
            )

    def __len__(self) -> int:
        """How many shapes."""
        return len(self.instance)

    @property
    def present(self) -> Tensor:
        """Which cuboids are left: bool [N, 27]."""
        return volume(self.cuboids) > 0

    def matched(self, targets: Targets, split: str) -> Tensor:
        """The cuboids of every target of a split, in its order.

        Args:
            targets: of `load`, at any size.
            split: the one it holds.

        Returns:
            int64 [len(targets), 27, 6], on the device of the targets.

        Raises:
            ValueError: these are of another split or of other targets, or some are missing.
        """
        if split != self.split:
            raise ValueError(f"the primitives are of the split {self.split!r}, not {split!r}")
        count = len(targets)
        if len(self) and int(self.instance.max()) >= count:
            raise ValueError(
                f"the primitives model target {int(self.instance.max())} of {self.targets!r};"
                f" these targets are {count}"
            )
        for row, index in enumerate(self.instance.tolist()):
            if self.names[row] != targets.name(index):
                raise ValueError(
                    f"the primitives were made for {self.targets!r}, whose target {index} is"
                    f" {self.names[row]!r}; here it is {targets.name(index)!r}"
                )
        if len(self) < count:
            raise ValueError(
                f"the primitives hold {len(self)} of the {count} targets of the split {split!r};"
                " all are needed: zeros for a target whose cuboids are to be fitted"
            )
        found = torch.empty_like(self.cuboids)
        found[self.instance] = self.cuboids
        return found.to(targets.family.device)


def write(path: str | Path, primitives: Primitives) -> None:
    """Write a file, whole or not at all; its folder is made where it is missing."""
    from safetensors.torch import save_file

    tensors = {name: getattr(primitives, name).cpu().contiguous() for name in _FIELDS}
    about = {
        "format": FORMAT,
        "targets": primitives.targets,
        "split": primitives.split,
        "names": json.dumps(primitives.names),
    }
    with making(path) as temporary:
        save_file(tensors, temporary, about)


def read(path: str | Path) -> Primitives:
    """Read what `write` wrote; nothing in it is executed.

    Returns:
        Primitives on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file, or damaged; says what is wrong.
    """
    from safetensors import SafetensorError, safe_open

    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"no file of primitives at {str(path)!r}")
    try:
        with safe_open(place, framework="pt") as file:
            about = file.metadata() or {}
            if about.get("format") != FORMAT:
                raise ValueError(f"its format is {about.get('format')!r}, not {FORMAT!r}")
            held = set(file.keys()) | about.keys()
            if missing := {*_FIELDS, *_ABOUT} - held:
                raise ValueError(f"it holds no {', '.join(sorted(missing))}")
            tensors = {name: file.get_tensor(name) for name in _FIELDS}
        names = tuple(json.loads(about["names"]))
        return Primitives(**tensors, names=names, targets=about["targets"], split=about["split"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is no file of primitives: {error}") from error
