"""Claims about real meshes: the objects that come with pybullet, read where it is installed.

Many of them carry no licence of their own, so none is ever copied into this repository.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from genenvs.geometry import files
from tests.geometry import reference
from tests.needs import import_or_skip, needs

pytestmark = needs("trimesh", extra="shapes")

DATA = Path(import_or_skip("pybullet_data", extra="pybullet").getDataPath())
ANIMALS = ("bunny", "duck", "duck_vhacd", "teddy2_VHACD_CHs")
RANDOM = tuple(f"random_urdfs/{k:03d}/{k:03d}" for k in range(0, 1000, 83))  # 13 of the thousand


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENENVS_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("name", [*ANIMALS, *RANDOM])
def test_a_voxel_is_solid_where_the_surface_winds_around_its_centre(name, size):
    path = DATA / f"{name}.obj"
    grid = files.read_voxels(path, size).grid.numpy()
    triangles = in_the_cube(path)
    anywhere = np.random.default_rng(0).integers(0, size, (100, 3))
    solid = np.random.default_rng(1).permutation(np.argwhere(grid))[:100]
    for at in np.concatenate([anywhere, solid]):
        angle = reference.solid_angle(triangles, (at + 0.5) / size)
        assert (abs(angle) > 2 * np.pi) == grid[tuple(at)], at


def in_the_cube(path: Path) -> np.ndarray:
    """The file's triangles by its lines alone, its longest side 1 and around the middle."""
    words = [line.split() for line in path.read_text().splitlines() if line.strip()]
    vertices = np.array([word[1:4] for word in words if word[0] == "v"], float)
    polygons = [[int(x.split("/")[0]) for x in word[1:]] for word in words if word[0] == "f"]
    faces = [(p[0], a, b) for p in polygons for a, b in pairwise(p[1:])]
    triangles = vertices[np.array(faces) - 1]
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    return (triangles - (low + high) / 2) / (high - low).max() + 0.5


def test_the_duck_stands_up_where_y_is_up():
    lying = files.read_voxels(DATA / "duck.obj", 16).grid
    standing = files.read_voxels(DATA / "duck.obj", 16, up="y").grid
    turned = lying.transpose(1, 2).flip(1)
    assert (standing ^ turned).sum() < 0.01 * lying.sum()  # of centres on the surface


def test_a_folder_of_objects_is_a_set_of_targets(tmp_path):
    """Of a user's own folder, with one file that is none."""
    folder = tmp_path / "objects"
    folder.mkdir()
    for name in (*ANIMALS, *RANDOM):
        shutil.copy(DATA / f"{name}.obj", folder)
    (folder / "broken.obj").write_text("v 0 0 0\n")
    found = files.read_folder(folder, 16)
    assert len(found.good) == len(ANIMALS) + len(RANDOM)
    assert [path.name for path, _ in found.bad] == ["broken.obj"]
    grids = torch.stack([x.grid for x in found.good])
    assert len(grids.flatten(1).unique(dim=0)) == len(grids)
