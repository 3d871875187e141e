"""Rows of the geometry under the shape environments, over plain numpy doing the same."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed.measure import Row, Spread, in_turns, lap_of, one_thread, over, row
from genenvs.geometry import components, cuboids, packed, sums, voxels

CUBOIDS = 27  # Lin et al. (ECCV 2020), as is a grid of 16^3
ROWS = 64


def random_cuboids(rows: int, size: int) -> Tensor:
    """Cuboids within the grid, of the sizes that an episode sees: int64 [rows, 27, 6]."""
    rng = np.random.default_rng(0)
    low = rng.integers(0, size - size // 4, (rows, CUBOIDS, 3))
    side = rng.integers(1, size // 2, (rows, CUBOIDS, 3))
    return torch.from_numpy(np.concatenate([low, (low + side).clip(max=size)], 2))


def random_grids(rows: int, size: int) -> Tensor:
    """Unions of five cuboids each: bool [rows, size, size, size]."""
    return cuboids.rasterise(random_cuboids(rows, size).flip(0)[:, :5], size)


def numpy_iou(shapes: np.ndarray, target: np.ndarray) -> float:
    """The overlap of one union: a loop of slices over a grid of integers."""
    canvas = np.zeros_like(target)
    for x0, y0, z0, x1, y1, z1 in shapes:
        canvas[x0:x1, y0:y1, z0:z1] = 1
    return float(np.sum((canvas & target) == 1) / np.sum((canvas | target) == 1))


def numpy_step(shapes: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """What a step of the published environment computes: both overlaps, on grids of integers."""
    local = [numpy_iou(shape[None], target) for shape in shapes]
    return numpy_iou(shapes, target), sum(local) / len(local)


def against_numpy(device: str) -> Iterator[Row]:
    """Overlaps of 27 cuboids with a target of 16^3, a batch against a loop over its rows."""
    shapes, targets = random_cuboids(ROWS, 16), random_grids(ROWS, 16)
    plain = list(zip(shapes.numpy(), targets.numpy().astype(int), strict=True))
    placed, target = shapes.to(device), targets.to(device)
    table, words = sums.table(target), packed.pack(target)

    def union() -> Tensor:
        return packed.iou(cuboids.rasterise_packed(placed, 16), words)

    def step() -> tuple[Tensor, Tensor]:
        return union(), sums.local_iou(table, placed).mean(1)

    def loop(theirs: Callable[..., Any]) -> list[Any]:
        return [theirs(*row) for row in plain]

    for name, ours, theirs, goal in (
        ("IoU of a union of 27 cuboids in 16^3", union, numpy_iou, ""),
        ("and of each single one, a step of Prim-Agent", step, numpy_step, "at least 20"),
    ):
        calls = {"ours": ours, "numpy": partial(loop, theirs)}
        found = in_turns({what: lap_of(call, ROWS, device) for what, call in calls.items()})
        gained = over(found["ours"], found["numpy"])
        yield row(f"{name}, over numpy", ROWS, gained, goal, "ratio")


def rates(device: str) -> Iterator[Row]:
    """Grids a second, of one batch each."""
    wide, fine = random_cuboids(ROWS, 64).to(device), random_grids(ROWS, 64).to(device)
    words, table = packed.pack(fine), sums.table(fine)
    coarse = random_grids(ROWS, 16).to(device)
    calls: dict[str, Callable[[], Any]] = {
        "IoU, 27 cuboids in 64^3, packed": lambda: packed.iou(
            cuboids.rasterise_packed(wide), words
        ),
        "IoU, 27 cuboids in 64^3, dense": lambda: voxels.iou(cuboids.rasterise(wide, 64), fine),
        "IoU of 64^3, packed": lambda: packed.iou(words, words),
        "IoU of 27 single cuboids in 64^3": lambda: sums.local_iou(table, wide),
        "summed-area table of 16^3": lambda: sums.table(coarse),
        "components of 16^3, 6 neighbours": lambda: components.voxel_components(coarse),
        "components of 16^3, 26 neighbours": lambda: components.voxel_components(coarse, 26),
    }
    found = in_turns({name: lap_of(call, ROWS, device) for name, call in calls.items()})
    for name, made in found.items():
        yield row(name, ROWS, Spread.of(made), unit="grids/s")


def rows(device: str) -> Iterator[Row]:
    """All rows of a device; on one thread, as numpy has."""
    with one_thread():
        yield from against_numpy(device)
        yield from rates(device)
