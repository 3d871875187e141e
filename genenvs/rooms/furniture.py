"""The user's own furniture: a folder of meshes named after types."""

import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from genenvs.core import folders
from genenvs.geometry.files import SUFFIXES, read_mesh
from genenvs.rooms.catalogue import CELL, NAMES, highest
from genenvs.rooms.requests import Requests

MOST = 3.2  # metres, width and depth
THIN = 0.005  # metres


@dataclass(frozen=True)
class Model:
    """A mesh as a piece of furniture.

    Attributes:
        path: the file.
        triangles: float64 [F, 3, 3], metres, in the frame of `genenvs.rooms.models`, in the middle
            of its cells with its back at y = 0.
        width: cells, and `depth`.
        height: centimetres.
    """

    path: Path
    triangles: np.ndarray
    width: int
    depth: int
    height: int


Models = dict[int, Model]  # by number of the type


def load(folder: str | Path) -> Models:
    """Read the meshes of a folder and of those in it: `bed.obj`, `coffee_table.glb`, `tv.stl`.

    They are in metres. Their width lies along x, their front is at the high end of y, z is up; in
    glb files y is up and the front at +z, as that format has it. Bounding boxes rounded up to 0.1 m
    are the sizes. Meshes of other names are left out with a warning.

    Raises:
        ImportError: the extra `shapes` is missing.
        ValueError: there is no such folder, it holds no furniture, or a mesh cannot be used; says
            which and why.
    """
    if not isinstance(folder, str | Path) or not os.path.isdir(folder):
        raise ValueError(f"furniture must be a folder of meshes; {str(folder)!r} is none")
    path = Path(folder)
    found = _load(folders.stamp(path, SUFFIXES))
    if not found:
        raise ValueError(
            f"{path} holds no mesh that is named after a type of furniture"
            f" ({', '.join(NAMES)}; {', '.join(SUFFIXES)})"
        )
    return found


@lru_cache(maxsize=8)
def _load(files: tuple[tuple[Path, int, int], ...]) -> Models:
    found: Models = {}
    others = []
    for file, _, _ in files:
        name = file.stem.lower().replace("_", " ")
        if name not in NAMES:
            others.append(file.name)
        else:
            kind = NAMES.index(name)
            if kind in found:
                raise ValueError(f"{found[kind].path} and {file} are both a {name}")
            found[kind] = _read(file, highest(kind))
    if found and others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        warnings.warn(
            f"left out: {', '.join(others[:3])}{more}, named after no type of furniture"
            f" ({', '.join(NAMES)})",
            stacklevel=3,
        )
    return found


def _read(file: Path, most_height: float) -> Model:
    mesh = read_mesh(file, closed=False)
    points = mesh.vertices.double().numpy()
    if file.suffix.lower() == ".glb":
        # y up and front +z: a half turn about the vertical keeps it from being mirrored.
        points = np.stack([-points[:, 0], points[:, 2], points[:, 1]], 1)
    low, high = points.min(0), points.max(0)
    size = high - low
    if size[:2].max() > MOST or size[2] > most_height or not (size > THIN).all():
        shown = " x ".join(f"{s:.2f}" for s in size)
        raise ValueError(
            f"{file} measures {shown} m; it may have up to {MOST} x {MOST} x {most_height} m and"
            " no side below 5 mm (is the file in metres, with z up?)"
        )
    # Askew it has sides, but no inside that an engine could take.
    centred = points - points.mean(0)
    if np.ptp(centred @ np.linalg.eigh(centred.T @ centred)[1][:, 0]) < THIN:
        raise ValueError(f"{file} is a sheet of less than 5 mm")
    cells = np.maximum(np.ceil(size[:2] / CELL - 1e-3).astype(int), 1)
    points = points - low
    points[:, 0] += (cells[0] * CELL - size[0]) / 2
    return Model(
        file, points[mesh.faces.numpy()], int(cells[0]), int(cells[1]), int(np.ceil(100 * size[2]))
    )


def resize(requests: Requests, models: Models) -> Requests:
    """Requests in which things of these types have the sizes of their models."""
    sizes = {name: getattr(requests, name).clone() for name in ("width", "depth", "height")}
    for kind, model in models.items():
        for name, values in sizes.items():
            values[:, kind] = torch.tensor(getattr(model, name))
    return requests._replace(**sizes)
