"""Meshes as files, and as targets: any obj, ply, stl or glb, or a folder of them, as voxels."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genenvs.core import folders
from genenvs.core.files import cache_folder, making, sha256
from genenvs.core.optional import require
from genenvs.geometry import leaky
from genenvs.geometry.repair import repair
from genenvs.geometry.voxelise import unit_cube

SUFFIXES = (".glb", ".obj", ".ply", ".stl")
MOST_BYTES = 512 * 2**20
MOST_FACES = 5_000_000
RULE = 3  # rises whenever the same file could give other voxels, so that old caches are not read


@dataclass(frozen=True)
class Mesh:
    """A file's mesh, all parts of it closed if that was asked for.

    Attributes:
        path: the file.
        vertices: float32 [V, 3], in the file's own unit and place.
        faces: int64 [F, 3].
        notes: what was repaired, a sentence each.
    """

    path: Path
    vertices: Tensor
    faces: Tensor
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Voxels:
    """A file's solid as voxels.

    Attributes:
        path: the file.
        grid: bool [R, R, R], at least one voxel set.
        notes: what was repaired, a sentence each.
    """

    path: Path
    grid: Tensor
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    Attributes:
        good: by path, at least one.
        bad: files that could not be used, each with the reason.
    """

    good: tuple[Voxels, ...]
    bad: tuple[tuple[Path, str], ...]


def read_mesh(path: str | Path, closed: bool = True) -> Mesh:
    """Read and mend a mesh; several objects of one file are taken together, each in its place.

    Args:
        path: a file with one of `SUFFIXES`.
        closed: whether all parts have to be.

    Raises:
        ImportError: trimesh is missing; names the extra.
        ValueError: names the file and says why it cannot be used: missing, unreadable, empty, huge,
            not finite, or not closed beyond what can be mended safely.
    """
    path = Path(path)
    _check_file(path)
    vertices, faces = _load(path)
    if not len(faces):
        raise ValueError(f"{path} holds no faces")
    if len(faces) > MOST_FACES:
        raise ValueError(f"{path} has {len(faces)} faces, more than {MOST_FACES}; simplify it")
    if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
        raise ValueError(f"{path} has faces of vertices that it does not hold")
    if not bool(torch.isfinite(vertices[faces]).all()):
        raise ValueError(f"{path} has vertices that are not finite")
    used, faces = torch.unique(faces, return_inverse=True)
    try:
        found = repair(vertices[used], faces, closed)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Mesh(path, found.vertices, found.faces, found.notes)


def write_mesh(path: str | Path, vertices: Tensor, faces: Tensor) -> None:
    """Write a mesh in the format of the suffix, whole or not at all.

    Args:
        path: with one of `SUFFIXES`; its folder is made where it is missing.
        vertices: float32 [V, 3].
        faces: int64 [F, 3].

    Raises:
        ImportError: trimesh is missing; names the extra.
        ValueError: another suffix.
    """
    path = Path(path)
    folders.check_suffix(path, SUFFIXES)
    trimesh = require("trimesh", "shapes")
    mesh = trimesh.Trimesh(vertices.cpu().numpy(), faces.cpu().numpy(), process=False)
    with making(path) as temporary:
        mesh.export(temporary, file_type=path.suffix.lower()[1:])


def read_voxels(
    path: str | Path, size: int, *, fill: float = 1.0, up: str = "z", standing: bool = False
) -> Voxels:
    """Read a mesh as voxels: normalised to the unit cube, solid where a centre is inside.

    A surface with cracks will do, see `genenvs.geometry.leaky`.

    The result is kept in the cache folder under the file's content and these arguments, so that
    every later reading, of a copy too, is one of a few kilobytes. The reason why a file cannot be
    used is kept as well, until trimesh has another version.

    Args:
        path: see `read_mesh`.
        size: voxels a side.
        fill: see `genenvs.geometry.voxelise.unit_cube`.
        up: the file's axis that points upwards, "y" (glTF's convention) or "z" (ours).
        standing: the lowest vertex goes to z = 0 rather than the middle to the cube's, so that
            grids of different sizes hold the shape in the same place.

    Raises:
        ImportError, ValueError: see `read_mesh`; or the solid is too thin for a single centre.
    """
    check_up(up)
    path = Path(path)
    _check_file(path)
    digest = _digest(path)
    key = json.dumps([RULE, digest, path.suffix.lower(), size, float(fill), up, standing])
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    cached = cache_folder() / "voxels" / f"{name}.npz"
    kept = _read_cache(cached, size)
    if kept is None:
        kept = _make(path, size, fill, up, standing)
        # What was read is only known by this digest if nobody wrote to the file meanwhile.
        if kept.lasting and _digest(path) == digest:
            _write_cache(cached, kept)
    if kept.reason is not None:
        raise ValueError(f"{path}{kept.reason}")
    if not bool(kept.grid.any()):
        raise ValueError(
            f"{path} is too thin: no voxel centre of a {size}^3 grid lies inside; use a finer grid"
        )
    return Voxels(path, kept.grid, kept.notes)


def read_folder(
    path: str | Path, size: int, *, fill: float = 1.0, up: str = "z", standing: bool = False
) -> Folder:
    """Read every mesh of a folder and of those in it, by path; or the one file that is named.

    A file that cannot be used spoils nothing: it is listed with the reason.

    Args:
        path: a folder or a file.
        size: see `read_voxels`, as are `fill`, `up` and `standing`.

    Raises:
        ImportError: trimesh is missing; names the extra.
        ValueError: no file can be used; names the first few with their reasons.
    """
    good, bad = folders.read_all(
        Path(path),
        SUFFIXES,
        lambda file: read_voxels(file, size, fill=fill, up=up, standing=standing),
    )
    return Folder(good, bad)


def check_up(up: str) -> None:
    """Refuse an axis that is neither "y" nor "z": ValueError."""
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z'; got {up!r}")


def _check_file(path: Path) -> None:
    folders.check_file(path, SUFFIXES, MOST_BYTES, "simplify it")


def _load(path: Path) -> tuple[Tensor, Tensor]:
    """Vertices float32 [V, 3] and faces int64 [F, 3] of all objects of a file."""
    trimesh = require("trimesh", "shapes")
    try:
        # Nothing is merged or dropped unseen: that is for `repair`, which says so.
        scene = trimesh.load_scene(path, process=False, skip_materials=True)
        meshes = [x for x in scene.dump() if isinstance(x, trimesh.Trimesh)]
    except Exception as error:  # of a damaged file a parser can raise anything
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error})") from error
    return together([(torch.tensor(m.vertices).float(), torch.tensor(m.faces)) for m in meshes])


def together(meshes: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """One mesh of several, no vertex shared: float32 [V, 3] and int64 [F, 3]."""
    start, vertices, faces = 0, [torch.zeros(0, 3)], [torch.zeros(0, 3, dtype=torch.int64)]
    for some, triangles in meshes:
        vertices.append(some)
        faces.append(triangles.long() + start)
        start += len(some)
    return torch.cat(vertices), torch.cat(faces)


class _Kept(NamedTuple):
    """What reading a file came to: a grid, or the reason why there is none."""

    grid: Tensor  # bool [R, R, R]
    notes: tuple[str, ...] = ()
    reason: str | None = None  # continues a sentence that begins with the path
    lasting: bool = True  # it would come to the same another time


def _make(path: Path, size: int, fill: float, up: str, standing: bool) -> _Kept:
    try:
        mesh = read_mesh(path, closed=False)
        vertices = mesh.vertices
        if up == "y":
            vertices = torch.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1)
        try:
            placed = unit_cube(vertices, fill)
            if standing:
                placed[:, 2] -= placed[:, 2].min()
            grid, open_ = leaky.fill(placed, mesh.faces, size)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        nothing = torch.zeros(size, size, size, dtype=torch.bool)
        passing = isinstance(error.__cause__, (ImportError, MemoryError, OSError))
        return _Kept(nothing, reason=str(error).removeprefix(str(path)), lasting=not passing)
    voted = (f"voted on the inside of {open_} open parts",) if open_ else ()
    return _Kept(grid, (*mesh.notes, *voted))


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def _read_cache(path: Path, size: int) -> _Kept | None:
    """What `_write_cache` wrote; None where there is nothing, it is damaged or no longer holds."""
    try:
        with np.load(path, allow_pickle=False) as file:
            bits, said = file["bits"], json.loads(str(file["said"]))
        grid = np.unpackbits(bits, count=size**3).astype(bool).reshape(size, size, size)
        kept = _Kept(torch.from_numpy(grid), tuple(said["notes"]), said["reason"])
        # Another parser may read what this one could not.
        return kept if kept.reason is None or said["parser"] == version("trimesh") else None
    except Exception:  # a damaged archive raises whatever its first wrong byte leads to
        return None


def _write_cache(path: Path, kept: _Kept) -> None:
    said = {"notes": kept.notes, "reason": kept.reason, "parser": version("trimesh")}
    try:
        with making(path) as temporary, temporary.open("wb") as file:
            bits = np.packbits(kept.grid.cpu().numpy())
            np.savez_compressed(file, bits=bits, said=np.array(json.dumps(said)))
    except OSError as error:
        warnings.warn(f"voxels are not kept, {path} cannot be written: {error}", stacklevel=3)
