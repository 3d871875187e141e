"""Every public kernel of `genenvs.geometry` with arguments, for the tests of devices."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from typing import Any

import numpy as np
import torch

import genenvs.geometry
from genenvs.core.components import joined, spread
from genenvs.geometry import (
    boxes,
    components,
    cuboids,
    depth,
    intersections,
    leaky,
    lofts,
    meshes,
    packed,
    points,
    raycast,
    repair,
    sums,
    voxelise,
    voxels,
)
from tests.geometry import samples, shapes
from tests.geometry.test_boxes import boxes as random_boxes
from tests.geometry.test_leaky import ring
from tests.geometry.test_lofts import random_lofts

# What works on the host, files and other people's libraries, and what takes no tensor.
OTHERS = {"files", "lofts.centres", "raycast.open3d", "raycast.signed_distance", "solids"}


@dataclass(frozen=True)
class Kernel:
    """A function and what it is called with.

    Attributes:
        function: see `name`.
        arguments: tensors, tuples of them, and whatever else.
        reads: whether it looks at values, which on a GPU the host has to wait for.
        some: share of the result's elements that rounding may change by more than 1e-5, as where a
            ray along an edge falls to either side.
        variant: tells calls of one function apart.
        options: what else it is called with, by name.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    reads: bool = False
    some: float = 0.0
    variant: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.function.__module__.rpartition('.')[2]}.{self.function.__name__}"

    def __str__(self) -> str:
        return f"{self.name}[{self.variant}]" if self.variant else self.name


def public() -> set[str]:
    """The names of all kernels that there are."""
    found = set()
    names = [
        f"genenvs.geometry.{each.name}" for each in pkgutil.iter_modules(genenvs.geometry.__path__)
    ]
    for module in map(import_module, [*names, "genenvs.core.components"]):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if not name.startswith("_") and function.__module__ == module.__name__:
                found.add(f"{module.__name__.rpartition('.')[2]}.{name}")
    return {name for name in found if not OTHERS & {name, name.split(".")[0]}}


def kernels() -> list[Kernel]:
    """All of them, some twice."""
    return list(chain(_of_boxes(), _of_grids(), _of_meshes(), _of_solids(), _of_points()))


def _of_boxes() -> list[Kernel]:
    eye = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3))).float() * 4
    camera = depth.look_at(eye, torch.zeros(4, 3))
    rays = depth.pinhole(eye, camera, (16, 24), 1.0)
    found = [
        Kernel(boxes.cuboid_boxes, (samples.cuboids(0, 4, 9, 16),)),
        Kernel(depth.look_at, (eye, torch.zeros(4, 3))),
        Kernel(depth.orthographic, (eye, camera, (9, 12), 5.0)),
        Kernel(depth.pinhole, (eye, camera, (9, 12), 1.0)),
    ]
    for turned in ("not", "about z", "freely"):
        some, others = (random_boxes(k, 4, 9, turned) for k in (1, 2))
        found += [
            Kernel(boxes.rotations, (some,), variant=turned),
            Kernel(boxes.separation, (some, others), variant=turned),
            Kernel(boxes.overlapping, (some, others), variant=turned),
            Kernel(depth.render, (some, rays), some=0.002, variant=turned),
        ]
    return found


def _of_grids() -> list[Kernel]:
    grid, other = samples.grids(0, 6, (16,) * 3), samples.grids(1, 6, (16,) * 3).roll(1, 0)
    some, words = samples.cuboids(2, 6, 27, 16), packed.pack(grid)
    sparse, table = samples.grids(3, 6, (12,) * 3, 0.25), sums.table(grid)
    first, stop = torch.arange(65).repeat(65), torch.arange(65).repeat_interleave(65)
    return [
        Kernel(spread, (sparse.flatten(1), _beside), reads=True),
        Kernel(joined, (torch.arange(65), first % 9 * 7, stop), reads=True),
        Kernel(components.voxel_components, (sparse,), reads=True),
        Kernel(components.voxel_components, (sparse, 26), reads=True, variant="26"),
        Kernel(cuboids.volume, (some,)),
        Kernel(cuboids.spans, (some, 16)),
        Kernel(cuboids.rasterise, (some, 16)),
        Kernel(cuboids.rasterise_packed, (some, 16)),
        Kernel(packed.pack, (grid,)),
        Kernel(packed.unpack, (words, 16)),
        Kernel(packed.popcount, (words,)),
        Kernel(packed.popcount_lanes, (words,)),
        Kernel(packed.volume, (words,)),
        Kernel(packed.iou, (words, packed.pack(other))),
        Kernel(packed.runs, (first, stop.clamp(min=first))),
        Kernel(packed.transpose, (words,)),
        Kernel(packed.pool, (words, 16, 4)),
        Kernel(sums.table, (grid,)),
        Kernel(sums.box_sum, (table, some)),
        Kernel(sums.local_iou, (table, some.clamp(0, 16))),
        Kernel(voxels.iou, (grid, other)),
        Kernel(voxels.share, (torch.arange(9), torch.arange(9).flip(0).cumsum(0))),
        Kernel(voxels.dilate, (grid,)),
        Kernel(voxels.erode, (grid,)),
        Kernel(voxels.surface, (grid,)),
    ]


def _beside(label: torch.Tensor) -> torch.Tensor:
    return torch.minimum(label, torch.minimum(label.roll(1, 1), label.roll(-1, 1)))


def _of_meshes() -> list[Kernel]:
    random = torch.Generator().manual_seed(0)
    faces = torch.randint(0, 50, (4, 90, 3), generator=random)
    faces[0, 60:] = -1
    coarse = torch.randint(0, 4, (4, 50, 3), generator=random).float()
    fine = torch.rand(4, 50, 3, generator=random)
    return [
        Kernel(intersections.crossings, (fine, faces), reads=True),
        Kernel(intersections.crossing_pairs, (fine, faces), reads=True),
        Kernel(meshes.weld, (coarse, faces)),
        Kernel(meshes.topology, (faces,), reads=True),
        Kernel(meshes.edge_keys, (faces,)),
        Kernel(meshes.face_components, (faces,), reads=True),
        Kernel(meshes.face_components, (faces, True), reads=True, variant="crowded"),
        Kernel(meshes.normals, (fine, faces)),
        Kernel(meshes.areas, (fine, faces)),
        Kernel(meshes.corners, (fine, faces)),
    ]


def _of_solids() -> list[Kernel]:
    ring_, cube = ring(), shapes.cube(0.1, 0.4)
    both = shapes.together(ring_, cube)
    cracked = ring_[0], ring_[1][torch.arange(len(ring_[1])) % 40 != 0]
    found = voxelise.columns(*both, 16)
    at = torch.from_numpy(np.random.default_rng(0).random((200, 3))).float()
    level = torch.stack([found.line % 16, found.line % 16 + found.face % 3], 1).clamp(max=16)
    lines = both[0][both[1]].double() * 16, found.line[:200, None, None] / 16 + at[:200, None, :2]
    prisms = random_lofts(0, 6, 9)
    low, high = torch.rand(2, 6, 9, 16, 2, generator=torch.Generator().manual_seed(0))
    layers = prisms.axis, low, high, low[..., 0] < 0.8
    return [
        Kernel(leaky.vote, (*cracked, 16), reads=True),
        Kernel(leaky.fill, (*cracked, 16), reads=True),
        Kernel(lofts.of_cuboids, (low[..., 0, :].repeat(1, 1, 2)[..., :3], high.new_ones(6, 9, 3))),
        Kernel(lofts.rasterise_packed, (prisms, 16)),
        Kernel(lofts.rasterise_layers, layers),
        Kernel(lofts.rasterise_apart, layers),
        Kernel(lofts.corners, (prisms,)),
        Kernel(lofts.mesh, (lofts.Lofts(*(x[0] for x in prisms)),), reads=True),
        Kernel(raycast.occupancy, (at, *both), reads=True),
        Kernel(repair.repair, (cracked[0], cracked[1], False), reads=True),
        Kernel(repair.fill_holes, cracked, reads=True),
        Kernel(voxelise.unit_cube, (ring_[0] * 3, 0.9), reads=True),
        Kernel(voxelise.parts, both, reads=True),
        Kernel(voxelise.voxelise, (*both, 32), reads=True),
        Kernel(voxelise.fill, (*both, 32, voxelise.parts(*both)), reads=True),
        Kernel(voxelise.columns, (*both, 32), reads=True),
        Kernel(voxelise.stack, (found.line, level, found.face % 3 - 1, 16)),
        Kernel(voxelise.meet, lines),
    ]


def _of_points() -> list[Kernel]:
    random = torch.Generator().manual_seed(0)
    first, second = (torch.rand(4, n, 3, generator=random) for n in (300, 500))
    vertices, faces = (x.expand(4, *x.shape) for x in shapes.torus())
    drawn = vertices, faces, torch.arange(4), 500
    sides = points.nearest(first, second)
    return [
        Kernel(points.nearest, (first, second)),
        Kernel(points.chamfer, (sides,), options={"squared": True, "reduce": "mean"}),
        Kernel(points.hausdorff, (sides,), options={"squared": False}),
        Kernel(points.f_score, (sides, 0.1)),
        Kernel(points.normalise, (first,)),
        # A sum in another order may move a border between faces.
        Kernel(points.sample, drawn, reads=True, some=0.002),
    ]
