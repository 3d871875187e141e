"""Claims about the inside of meshes, and about mending those that have none."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genenvs.geometry import cuboids, meshes, repair, voxelise
from tests.geometry import reference, samples, shapes


def fill(mesh: shapes.Mesh, size: int = 16) -> torch.Tensor:
    return voxelise.voxelise(*mesh, size)


def inside_out(mesh: shapes.Mesh) -> shapes.Mesh:
    return mesh[0], mesh[1].flip(1)


def block(*corners: int, size: int = 16) -> shapes.Mesh:
    """An integer cuboid of a grid as a mesh in the unit cube."""
    return shapes.cube(tuple(c / size for c in corners[:3]), tuple(c / size for c in corners[3:]))


@given(samples.seeds, st.integers(1, 8), st.sampled_from([8, 16]))
def test_cuboids_as_meshes_fill_what_cuboids_fill_however_they_overlap(seed, count, size):
    boxes = samples.cuboids(seed, 1, count, size).clamp(0, size)
    boxes = boxes[:, (boxes[0, :, 3:] > boxes[0, :, :3]).all(1)]
    if not boxes.shape[1]:
        return
    mesh = shapes.together(*(block(*box.tolist(), size=size) for box in boxes[0]))
    assert torch.equal(fill(mesh, size), cuboids.rasterise(boxes, size)[0])


def test_parity_over_all_parts_would_lose_the_overlap():
    both = shapes.together(block(0, 0, 0, 10, 10, 10), block(4, 4, 4, 14, 14, 14))
    assert int(fill(both).sum()) == 2 * 1000 - 216


def test_a_ring_has_the_volume_of_its_facets_and_a_hole():
    vertices, faces = shapes.torus(24, 32)
    grid = fill((vertices / 2.8 + 0.5, faces), 64)
    a, b, c = (vertices[faces].double() / 2.8).unbind(1)
    volume = float((a * torch.linalg.cross(b, c)).sum()) / 6
    assert float(grid.sum()) / 64**3 == pytest.approx(volume, rel=0.01)
    assert not grid[32, 32].any() and grid[60, 32].any()


def test_a_line_through_edges_and_corners_is_counted_once():
    """All corners and many edges of this octahedron lie on lines through voxel centres."""
    size, middle, reach = 16, 8.5, 6.0
    ends = torch.tensor(list(itertools.product((0, 1, 2), (-reach, reach))))
    vertices = torch.full((6, 3), middle)
    vertices[torch.arange(6), ends[:, 0].long()] += ends[:, 1]
    faces = [
        (x, y, z) if (x % 2) ^ (y % 2) ^ (z % 2) else (x, z, y)
        for x, y, z in itertools.product((0, 1), (2, 3), (4, 5))
    ]
    grid = fill((vertices / size, torch.tensor(faces)), size)
    at = torch.arange(size) + 0.5 - middle
    distance = at[:, None, None].abs() + at[:, None].abs() + at.abs()
    assert bool(grid[distance < reach].all()) and not bool(grid[distance > reach].any())


@settings(max_examples=8)
@given(samples.seeds)
def test_the_inside_is_where_the_solid_angle_of_the_surface_is_whole(seed):
    """Against van Oosterom and Strackee (1983), which share no idea with crossings."""
    rng = np.random.default_rng(seed)
    vertices, faces = shapes.torus(5, 6)
    turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(3, 3))).Q).float()
    vertices = vertices @ turn.T / 3 + 0.5
    grid = fill((vertices, faces), 7)
    triangles = vertices[faces].double().numpy()
    for at in np.ndindex(7, 7, 7):
        around = reference.solid_angle(triangles, (np.array(at) + 0.5) / 7)
        assert bool(grid[at]) == (abs(around) > 2 * np.pi)


def test_a_part_that_faces_inwards_within_another_is_a_cavity():
    outer, inner = block(2, 2, 2, 14, 14, 14), block(5, 5, 5, 11, 11, 11)
    core = block(7, 7, 7, 9, 9, 9)
    assert int(fill(shapes.together(outer, inside_out(inner))).sum()) == 12**3 - 6**3
    assert int(fill(shapes.together(outer, inner)).sum()) == 12**3
    assert int(fill(shapes.together(core, inside_out(inner), outer)).sum()) == 12**3 - 6**3 + 2**3


def test_a_solid_that_was_modelled_inside_out_is_a_solid():
    outer, beside = block(2, 2, 2, 8, 8, 8), block(7, 7, 7, 12, 12, 12)
    assert int(fill(inside_out(outer)).sum()) == 6**3
    assert int(fill(shapes.together(outer, inside_out(beside))).sum()) == 6**3 + 5**3 - 1


def test_what_reaches_beyond_the_unit_cube_is_cut_off():
    assert bool(fill(shapes.cube(-1.0, 2.0)).all())
    assert not bool(fill(shapes.cube(2.0, 3.0)).any())
    assert int(fill(shapes.cube((0.5, -1.0, 0.25), (2.0, 2.0, 0.75))).sum()) == 8 * 16 * 8


def test_chunks_leave_no_trace(monkeypatch):
    mesh = (shapes.torus()[0] / 3 + 0.5, shapes.torus()[1])
    whole = fill(mesh)
    monkeypatch.setattr(voxelise, "_PAIRS", 30)
    assert torch.equal(fill(mesh), whole) and bool(whole.any())


def test_an_open_surface_has_no_inside():
    vertices, faces = shapes.together(shapes.cube(), shapes.cube(2.0, 3.0))
    with pytest.raises(ValueError, match="1 of 2 parts of the mesh are not closed"):
        voxelise.voxelise(vertices, faces[1:], 8)


@pytest.mark.parametrize("missing", [[0], [0, 1], [4, 5]])
def test_a_small_hole_is_closed_and_said(missing):
    vertices, faces = shapes.cube()
    kept = [k for k in range(12) if k not in missing]
    found = repair.repair(vertices, faces[kept])
    assert found.notes == ("closed 1 holes of up to 12 edges",)
    assert len(found.faces) == 12
    assert bool(voxelise.voxelise(found.vertices, found.faces, 4).all())
    middle = found.vertices[found.faces].mean(1) - 0.5
    outwards = (meshes.normals(found.vertices[None], found.faces[None])[0] * middle).sum(1)
    assert bool((outwards > 0).all())  # the new faces are turned like the old


def test_a_soup_with_double_and_flat_faces_is_mended():
    vertices, faces = shapes.soup(shapes.cube())
    flat = torch.tensor([[0, 1, 1]])
    found = repair.repair(vertices, torch.cat([faces, faces.flip(1), flat, faces[:2]]))
    assert found.vertices.shape == (8, 3) and found.faces.shape == (12, 3)
    assert found.notes == (
        "joined vertices in one place: 28 fewer",
        "dropped 1 faces without area",
        "dropped 14 faces that were there twice",
    )


@pytest.mark.parametrize("store", ["apart", "welded", "soup"])
@pytest.mark.parametrize("corner", [(6, 0, 0), (6, 6, 0), (6, 6, 6)])
def test_boxes_that_touch_are_solid_however_they_are_stored(store, corner):
    """By a face, an edge, a corner: welding makes edges of four faces and faces that are twice."""
    mesh = shapes.together(block(0, 0, 0, 6, 6, 6), block(*corner, *(c + 6 for c in corner)))
    if store == "soup":
        mesh = shapes.soup(mesh)
    elif store == "welded":
        mesh = mesh[0], meshes.weld(mesh[0][None], mesh[1][None])[0]
    found = repair.repair(*mesh)
    assert int(voxelise.voxelise(found.vertices, found.faces, 16).sum()) == 2 * 6**3


def test_a_scrap_is_left_out_and_a_sheet_is_no_solid():
    corners = torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, 1, 2], [1, 1, 2]]) * 0.1
    scrap = corners + 2, torch.tensor([[0, 1, 2], [1, 3, 2]])
    found = repair.repair(*shapes.together(shapes.cube(), scrap))
    assert len(found.faces) == 12 and found.notes == ("left out 1 small open parts",)
    with pytest.raises(ValueError, match="not closed: of 5 edges 4 have one face"):
        repair.repair(*scrap)


def test_what_has_no_area_is_refused():
    with pytest.raises(ValueError, match="no face has an area"):
        repair.repair(torch.ones(3, 3), torch.tensor([[0, 1, 2]]))


def test_an_inner_wall_is_refused():
    vertices, faces = shapes.cube()
    wall = torch.tensor([[0, 1, 6], [1, 7, 6]])
    with pytest.raises(ValueError, match=r"have one face and [1-9] more than two"):
        repair.repair(vertices, torch.cat([faces, wall]))
