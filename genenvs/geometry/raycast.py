"""Occupancy of and distance to meshes at any points: for making instances and for evaluation.

By open3d's raycasting scene (Embree; on the CPU alone) where it is asked for, else without it.
"""

from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor

from genenvs.core.optional import require
from genenvs.geometry import voxelise
from genenvs.geometry.voxelise import unit_cube

Backend = Literal["open3d", "own"]

_PAIRS = 2**20  # of a point and a face at a time
_FINE = 64  # side of the grid on which a part is told from a cavity


def open3d() -> ModuleType:
    """Import open3d.

    Raises:
        ImportError: it is missing, or the system library that its wheel does not bring is.
    """
    try:
        return require("open3d", "open3d")
    except (ImportError, OSError) as error:
        if "libusb" in str(error):
            raise ImportError(
                "open3d is installed but needs the system library libusb-1.0: "
                "`apt install libusb-1.0-0` on Debian and Ubuntu, `dnf install libusb1` on Fedora",
                name="open3d",
            ) from error
        raise


def occupancy(
    points: Tensor, vertices: Tensor, faces: Tensor, *, backend: Backend = "own"
) -> Tensor:
    """Say which points are inside a solid, by the rule of `voxelise` and of any grid.

    Args:
        points: float32 [N, 3].
        vertices: float32 [V, 3].
        faces: int64 [F, 3], see `voxelise`; every part closed.
        backend: "own" asks every face about every point; "open3d" casts rays through a tree, which
            pays for large meshes.

    Returns:
        bool [N].

    Raises:
        ImportError: open3d cannot be imported.
        ValueError: a part is not closed.
    """
    found = voxelise.parts(vertices, faces)
    _, cavity = voxelise.fill(unit_cube(vertices), faces, _FINE, found)
    inside = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    for part, hollow in enumerate(cavity.tolist()):  # over all, parity is wrong where parts overlap
        own = faces[found.of_face == part]
        ask = _within_scene if backend == "open3d" else _within
        inside += ask(points, vertices, own).long() * (-1 if hollow else 1)
    return inside > 0


def signed_distance(
    points: Tensor, vertices: Tensor, faces: Tensor, *, backend: Backend = "own"
) -> Tensor:
    """Return the distance to the nearest face, negative inside.

    Where parts overlap, the inside of one may be nearest to a face of another: there the size is at
    most the distance to the outside.

    Args:
        points: float32 [N, 3].
        vertices: float32 [V, 3].
        faces: int64 [F, 3], every part closed.
        backend: "open3d", or "own", by trimesh, which is much slower.

    Returns:
        float32 [N], in the vertices' unit.

    Raises:
        ImportError: open3d, or trimesh and rtree, cannot be imported.
        ValueError: a part is not closed.
    """
    inside = occupancy(points, vertices, faces, backend=backend)
    if backend == "open3d":
        scene, place = _scene(vertices, faces)
        distance = torch.from_numpy(scene.compute_distance(place(points)).numpy())
    else:
        trimesh = require("trimesh", "shapes")
        require("rtree", "shapes")
        mesh = trimesh.Trimesh(vertices.cpu().numpy(), faces.cpu().numpy(), process=False)
        _, found, _ = trimesh.proximity.closest_point(mesh, points.cpu().numpy())
        distance = torch.from_numpy(found)
    distance = distance.to(points.device, torch.float32)
    return torch.where(inside, -distance, distance)


def _within(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """Whether points are inside one closed surface: bool [N]."""
    triangles = vertices.double()[faces]
    rows = [torch.zeros(0, dtype=torch.bool, device=points.device)]
    for some in points.double().split(max(1, _PAIRS // max(1, len(faces)))):
        crossed, height = voxelise.meet(triangles, some[:, None, :2])
        rows.append((crossed & (height > some[:, 2:])).sum(1) % 2 == 1)
    return torch.cat(rows)


def _within_scene(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    scene, place = _scene(vertices, faces)
    found = torch.from_numpy(scene.compute_occupancy(place(points)).numpy() > 0.5)
    return found.to(points.device)


def _scene(vertices: Tensor, faces: Tensor) -> tuple[Any, Any]:
    """An open3d scene of one mesh, and what turns points into its tensors."""
    o3d = open3d()
    place = lambda x: o3d.core.Tensor(x.detach().float().cpu().contiguous().numpy())  # noqa: E731
    corners = o3d.core.Tensor(faces.cpu().contiguous().numpy().astype("uint32"))
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(place(vertices), corners)
    return scene, place
