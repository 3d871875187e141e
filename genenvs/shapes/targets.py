"""The targets of a split: what a builder's episodes ask for, by index."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.core.folders import SHARES, share
from genenvs.core.task import SPLITS
from genenvs.geometry import lofts, packed
from genenvs.geometry.components import voxel_components
from genenvs.geometry.lofts import Lofts
from genenvs.shapes.families import DRAWS, FAMILIES, HELD_OUT, grow

EACH = {"train": 512, "validation": 64, "test": 128}  # targets of a family
MIXTURE = "mixed"
CANONICAL = 16  # shapes that agree on this grid are one shape: it decides their split
FINER = (
    20  # shapes that agree on this one stay out of each other's splits too: bricks are laid there
)
_CANDIDATES = 1_536  # a family's shapes before duplicates leave; splits are filled in order
_LEAST = 24  # voxels of the canonical grid below which a shape is none
_SHAPES = random.word("shapes")
Stamp = tuple[tuple[str, int, int], ...]  # name, time of change, bytes


@dataclass(frozen=True)
class Targets:
    """The targets of one split.

    Attributes:
        size: voxels a side.
        family: int64 [N], index into `names`.
        names: families, or the files.
        notes: what was mended or left out of the user's files, one line each.
        grids: int64 [N, size, size], packed; None where they are drawn from `parts` on demand.
        parts: of [N, P]; None for files.
    """

    size: int
    family: Tensor
    names: tuple[str, ...]
    notes: tuple[str, ...]
    grids: Tensor | None
    parts: Lofts | None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.family)

    def packed(self, index: Tensor) -> Tensor:
        """The targets `index` (int64 [K]) as packed grids: int64 [K, size, size]."""
        if self.grids is not None:
            return self.grids[index]
        assert self.parts is not None
        return lofts.rasterise_packed(self.parts.rows(index), self.size)

    def voxels(self, index: Tensor) -> Tensor:
        """The targets `index` (int64 [K]) as grids: bool [K, size, size, size]."""
        return packed.unpack(self.packed(index), self.size)

    def name(self, index: int) -> str:
        """The family or the file of one target."""
        return self.names[int(self.family[index])]


def load(
    targets: str,
    split: str,
    size: int,
    *,
    whole: bool = False,
    up: str = "z",
    device: str | torch.device = "cpu",
) -> Targets:
    """The targets of a split; computed once a process for each set of arguments.

    Every target stands on the floor of its grid. Which split a family's shape belongs to follows
    from its voxels at 16^3, and what agrees at 20^3 with a shape of another split is left out, so
    that no two splits share one on either grid, nor (tested) on that of 64^3. Files are ranked by
    their voxels at 16^3 and shared out in that order: another file in the folder may move its
    neighbours. Files that are left out are warned of; what was mended is in `Targets.notes`.

    Args:
        targets: a family (see `genenvs.shapes.families`), `mixed` for all families but those that
            are held out, or the path of a mesh or a folder of meshes. Of a folder with three usable
            meshes or more each split has some; of fewer every split has all.
        split: `train`, `validation` or `test`.
        size: voxels a side, at most 64.
        whole: keep of every target the largest part whose voxels share faces.
        up: the axis of files that points upwards, "z" or "y" (of most glb files).
        device: where tensors live.

    Raises:
        ValueError: no such family, path or axis, or no mesh there can be used; says why.
        ImportError: meshes need the extra `shapes`.
    """
    from genenvs.geometry.files import check_up

    if not isinstance(targets, str | Path) or not str(targets):  # "" would be the folder we are in
        raise ValueError(f"targets must be a family or a path; got {targets!r}")
    check_up(up)  # of a family, too, where it changes nothing
    known = str(targets) == MIXTURE or str(targets) in FAMILIES
    if known:
        return _procedural(str(targets), split, size, whole, str(device))
    if not Path(targets).exists():
        names = ", ".join([MIXTURE, *FAMILIES])
        raise ValueError(
            f"targets must be one of {names}, or the path of a mesh or of a folder of meshes;"
            f" got {str(targets)!r}, which does not exist"
        )
    path = Path(targets).resolve()
    return _from_files(path, _stamp(path), split, size, whole, up, str(device))


@lru_cache(maxsize=16)
def _procedural(targets: str, split: str, size: int, whole: bool, device: str) -> Targets:
    names = tuple(n for n in FAMILIES if n not in HELD_OUT) if targets == MIXTURE else (targets,)
    grown = [_family(name)[split] for name in names]
    parts = Lofts(*(torch.cat(fields).to(device) for fields in zip(*grown, strict=True)))
    family = torch.arange(len(names), device=device).repeat_interleave(EACH[split])
    grids = None
    # At 64^3 a thousand targets are 32 MB: a row is drawn again when its episode begins.
    if size <= 32 or whole:
        grids = lofts.rasterise_packed(parts, size)
        grids = _largest(grids, size) if whole else grids
    return Targets(size, family, names, (), grids, parts)


@cache
def _family(name: str) -> dict[str, Lofts]:
    """A family's shapes by split, on the CPU."""
    key = random.mix(_SHAPES, random.word(name), torch.arange(_CANDIDATES))
    grown, _ = grow(name, random.uniform(key, 0, DRAWS))
    grids = lofts.rasterise_packed(grown, CANONICAL)
    contents, fine = _digests(grids), _digests(lofts.rasterise_packed(grown, FINER))
    wanted: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for row, (content, volume) in enumerate(
        zip(contents, packed.volume(grids).tolist(), strict=True)
    ):
        if volume >= _LEAST:
            wanted[_split_of(content)].setdefault(content, row)
    found, taken = {}, set[str]()
    for split in reversed(SPLITS):  # what the test split has, no other one may
        rows = [row for row in wanted[split].values() if fine[row] not in taken][: EACH[split]]
        if len(rows) < EACH[split]:
            raise RuntimeError(f"family {name} yields {len(rows)} targets of split {split}")
        taken |= {fine[row] for row in rows}
        found[split] = grown.rows(torch.tensor(rows))
    return found


def _digests(grids: Tensor) -> list[str]:
    return [hashlib.sha256(grid.tobytes()).hexdigest() for grid in grids.cpu().numpy()]


def _split_of(content: str) -> str:
    place = int(content, 16) % sum(SHARES.values())
    for split, part in SHARES.items():
        if place < part:
            return split
        place -= part
    raise AssertionError


def _stamp(path: Path) -> Stamp:
    """What changes with the files of a path."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, fact.st_mtime_ns, fact.st_size) for name, fact in facts)


@lru_cache(maxsize=16)
def _from_files(
    path: Path, stamp: Stamp, split: str, size: int, whole: bool, up: str, device: str
) -> Targets:
    from genenvs.geometry.files import Folder, read_folder

    def read(cells: int) -> Folder:
        return read_folder(path, cells, up=up, standing=True)

    folder = read(size)
    grids = torch.stack([packed.pack(v.grid) for v in folder.good])
    grids = _largest(_grounded(grids, size), size) if whole else _grounded(grids, size)
    notes = [f"{v.path}: {note}" for v in folder.good for note in v.notes]
    notes += [f"left out: {reason}" for _, reason in folder.bad]
    # Order and split follow from one grid, whatever is asked for: stages of a pipeline must agree.
    agreed = folder if size == CANONICAL else read(CANONICAL)
    coarse = _grounded(torch.stack([packed.pack(v.grid) for v in agreed.good]), CANONICAL)
    content = dict(zip([v.path for v in agreed.good], _digests(coarse), strict=True))
    unique: dict[str, int] = {}
    for row, found in enumerate(folder.good):
        if found.path not in content:
            notes.append(f"left out: {found.path} is too thin for the grid of {CANONICAL}^3")
        elif unique.setdefault(content[found.path], row) != row:
            notes.append(f"left out: {found.path} is the same shape as another file")
    lost = [note for note in notes if note.startswith("left out")]
    if lost:  # what was mended is in the notes alone: every stl file has vertices to join
        more = f"; and {len(lost) - 3} more, see `task.targets.notes`" if len(lost) > 3 else ""
        warnings.warn(f"targets {path}: {'; '.join(lost[:3])}{more}", stacklevel=5)
    rows = share([unique[content] for content in sorted(unique)], split)
    names = tuple(folder.good[row].path.name for row in rows)
    family = torch.arange(len(rows), device=device)
    return Targets(size, family, names, tuple(notes), grids[rows].to(device), None)


def _grounded(grids: Tensor, size: int) -> Tensor:
    """Packed grids moved down until they stand on z = 0."""
    cells = packed.unpack(grids, size).flatten(1, 2).any(1)  # [N, size]: layers in use
    lowest = cells.long().argmax(1)[:, None, None]
    mask = (1 << (size - lowest)) - 1  # what a shift of a negative word drags down
    return torch.where(lowest > 0, grids >> lowest & mask, grids)


def _largest(grids: Tensor, size: int) -> Tensor:
    """The largest part of every packed grid, standing on z = 0."""
    found = [_largest_of(part, size) for part in grids.split(64)]  # labels stay in the cache
    return _grounded(torch.cat(found), size)


def _largest_of(grids: Tensor, size: int) -> Tensor:
    label = voxel_components(packed.unpack(grids, size)).label.reshape(len(grids), -1)
    counts = label.new_zeros(len(grids), int(label.max()) + 1)
    counts.scatter_add_(1, label, torch.ones_like(label))
    counts[:, 0] = 0
    kept = label == counts.argmax(1)[:, None]
    return packed.pack(kept.view(-1, size, size, size))
