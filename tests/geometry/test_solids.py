"""Claims about combining solids, and about points inside and around them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from genenvs.core import optional
from genenvs.geometry import meshes, raycast, solids, voxelise
from tests.geometry import shapes
from tests.needs import import_or_skip, needs

A, B = shapes.cube(0.0, 2.0), shapes.cube(1.0, 3.0)


def volume(solid: shapes.Mesh) -> float:
    a, b, c = solid[0][solid[1]].double().unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum()) / 6


@needs("manifold3d", extra="shapes")
def test_two_cubes_that_share_a_corner_cube():
    found = [solids.union([A, B]), solids.difference([A, B]), solids.intersection([A, B])]
    assert [volume(x) for x in found] == pytest.approx([15, 7, 1])
    for vertices, faces in found:
        state = meshes.topology(meshes.weld(vertices[None], faces[None]))
        assert state.watertight.item() and state.euler.item() == 2


@needs("manifold3d", extra="shapes")
def test_a_union_fills_what_its_parts_fill():
    ring, size = shapes.torus(), 32
    apart = [((v + 1.5) / 4, f) for v, f in (A, B, ring)]
    vertices, faces = solids.union(apart)
    assert torch.equal(
        voxelise.voxelise(vertices, faces, size), voxelise.voxelise(*shapes.together(*apart), size)
    )


@needs("manifold3d", extra="shapes")
def test_nothing_in_common_is_an_empty_mesh_and_what_is_no_solid_is_named():
    vertices, faces = solids.intersection([A, shapes.cube(5.0, 6.0)])
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)
    with pytest.raises(ValueError, match="solid 1 cannot be combined: NotManifold"):
        solids.union([A, (B[0], B[1][1:])])
    with pytest.raises(ValueError, match="solid 0 cannot be combined: its faces look inwards"):
        solids.union([(A[0], A[1].flip(1)), B])
    with pytest.raises(ValueError, match="at least one"):
        solids.union([])


def cloud(number: int = 400) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 3.5, (number, 3))).float()


def in_cube(points: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return ((points > low) & (points < high)).all(1)


BACKENDS = ["own", pytest.param("open3d", marks=needs("open3d", extra="open3d"))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_points_inside_overlapping_parts_and_cavities_are_known(backend):
    points = cloud()
    found = raycast.occupancy(points, *shapes.together(A, B), backend=backend)
    assert torch.equal(found, in_cube(points, 0, 2) | in_cube(points, 1, 3))
    hollow = shapes.together(A, (shapes.cube(0.5, 1.5)[0], A[1].flip(1)))
    found = raycast.occupancy(points, *hollow, backend=backend)
    assert torch.equal(found, in_cube(points, 0, 2) & ~in_cube(points, 0.5, 1.5))
    few = raycast.occupancy(points[:1], *hollow, backend=backend)
    assert torch.equal(few, found[:1])  # whatever else is asked


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_distance_to_a_cube_is_known_and_negative_inside(backend):
    if backend == "own":
        import_or_skip("rtree", extra="shapes")
    points = cloud()
    beyond = (points - 1).abs() - 1
    expected = beyond.clamp(min=0).norm(dim=1) + beyond.amax(1).clamp(max=0)
    found = raycast.signed_distance(points, *A, backend=backend)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_an_open_surface_has_no_inside():
    with pytest.raises(ValueError, match="not closed"):
        raycast.occupancy(cloud(3), A[0], A[1][1:])


def test_occupancy_is_what_voxels_are():
    vertices, faces = shapes.torus()
    vertices, size = vertices / 3 + 0.5, 12
    at = (torch.arange(size) + 0.5) / size
    centres = torch.stack(torch.meshgrid(at, at, at, indexing="ij"), -1)
    found = raycast.occupancy(centres.view(-1, 3), vertices, faces)
    assert torch.equal(found.view(size, size, size), voxelise.voxelise(vertices, faces, size))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("No module named 'open3d'", name="open3d"), r"genenvs\[open3d\]"),
        (ImportError("libusb-1.0.so.0: cannot open shared object file"), "apt install libusb-1.0"),
        (OSError("libusb-1.0.so.0: cannot open shared object file"), "apt install libusb-1.0"),
    ],
)
def test_without_open3d_or_its_system_library_the_error_says_what_to_install(
    monkeypatch, error, says
):
    original = optional.import_module
    monkeypatch.setattr(
        optional, "import_module", lambda name: refuse() if name == "open3d" else original(name)
    )

    def refuse() -> None:
        raise error

    with pytest.raises(ImportError, match=says):
        raycast.occupancy(cloud(3), *A, backend="open3d")


@pytest.mark.parametrize("module", ["trimesh", "manifold3d"])
def test_without_the_extra_the_error_names_it(monkeypatch, tmp_path, module):
    from genenvs.geometry import files

    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.obj").write_text("v 0 0 0\n")
    with pytest.raises(ImportError, match=r"genenvs\[shapes\]"):
        if module == "trimesh":
            files.read_folder(tmp_path, 8)
        else:
            solids.union([A])
