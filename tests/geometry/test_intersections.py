"""Claims about meshes that cross themselves."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry import intersections
from tests.geometry import reference, samples, shapes
from tests.needs import needs

TETRAHEDRON = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


def count(mesh: shapes.Mesh) -> int:
    vertices, faces = mesh
    return int(intersections.crossings(vertices[None], faces[None]))


def tetrahedron(tip: float) -> shapes.Mesh:
    """Upright over a triangle around the origin, from 0 to `tip` along z."""
    base = [[2.0, 0, 0], [-1, 2, 0], [-1, -2, 0]]
    return torch.tensor([*base, [0, 0, tip]]), TETRAHEDRON


def wall(start: tuple[float, float], end: tuple[float, float]) -> shapes.Mesh:
    """A square between two points of the ground, from 0 to 1 along z."""
    corners = [[*start, 0], [*end, 0], [*end, 1], [*start, 1]]
    return torch.tensor(corners).float(), torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_closed_meshes_do_not_cross_themselves():
    assert count(shapes.cube()) == count(shapes.soup(shapes.cube())) == 0
    assert count(shapes.torus()) == count(shapes.soup(shapes.torus(40, 50))) == 0


def test_a_tip_that_pierces_one_face_crosses_it_with_its_three_sides():
    vertices, faces = tetrahedron(3.0)
    above = vertices + torch.tensor([0.0, 0, 2])  # its base at 2 is pierced by the tip at 3
    assert count(shapes.together((vertices, faces), (above, faces))) == 3
    touching = vertices + torch.tensor([0.0, 0, 3])
    assert count(shapes.together((vertices, faces), (touching, faces))) == 0


def test_the_walls_of_a_bow_tie_cross_and_its_two_wings_do_not():
    # Lower half with lower half, upper with upper; the others meet in one point of the diagonals.
    assert count(shapes.together(wall((0, 0), (1, 1)), wall((1, 0), (0, 1)))) == 2
    wings = torch.tensor([[0.0, 0, 0], [1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
    assert count((wings, torch.tensor([[0, 1, 2], [0, 3, 4]]))) == 0


@pytest.mark.parametrize(
    "other",
    {
        "corner on a face": [[1, 1, 0], [1, 2, 3], [2, 1, 3]],
        "edge on a face": [[1, 1, 0], [2, 1, 0], [1, 1, 3]],
        "edges that cross": [[2, 0, -1], [2, 0, 1], [2, -3, 0]],
        "an edge in both": [[0, 0, 0], [6, 0, 0], [3, 0, 5]],
        "one plane": [[1, 1, 0], [7, 1, 0], [1, 7, 0]],
        "no area": [[1, 1, -1], [1, 1, 1], [1, 1, 3]],
    }.items(),
    ids=lambda item: item[0],
)
def test_what_merely_touches_does_not_cross(other):
    floor = torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 6, 0]])
    triangles = torch.cat([floor, torch.tensor(other[1]).float()])
    assert count((triangles, torch.arange(6).view(2, 3))) == 0


def test_boxes_that_share_a_side_touch_and_boxes_that_overlap_cross():
    one = shapes.cube()
    assert count(shapes.together(one, shapes.cube((1, 0, 0), (2, 1, 1)))) == 0
    assert count(shapes.together(one, shapes.cube((1, 0.3, 0.4), (2, 0.7, 0.9)))) == 0
    assert count(shapes.together(one, shapes.cube((0.2, 0.3, 0.4), (0.5, 0.6, 0.9)))) == 0
    assert count(shapes.together(one, shapes.cube((0.5, 0.3, 0.4), (2, 0.7, 0.9)))) > 0


@given(samples.seeds, st.integers(1, 24), st.sampled_from([2, 4, 9, 1000]))
def test_the_pairs_are_those_of_exact_arithmetic(seed, number, size):
    rng = np.random.default_rng(seed)
    vertices = rng.integers(0, size, (3, 30, 3))  # of a coarse grid most that meet merely touch
    faces = rng.integers(0, 30, (3, number, 3))
    faces[0, number // 2 :] = -1
    placed, given_ = torch.from_numpy(vertices).float(), torch.from_numpy(faces)
    found = intersections.crossing_pairs(placed, given_).tolist()
    expected = [
        [row, i, j]
        for row in range(3)
        for i, j in reference.crossing_pairs(vertices[row], faces[row])
    ]
    assert found == expected
    number = intersections.crossings(placed, given_).tolist()
    assert number == [sum(row == k for row, _, _ in expected) for k in range(3)]


@given(samples.seeds, st.integers(-9, 9), st.integers(-999, 999))
def test_size_place_and_order_change_nothing(seed, power, shift):
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.randint(0, 1000, (1, 60, 3), generator=generator).float()
    faces = torch.arange(60).view(1, 20, 3)
    before = intersections.crossing_pairs(vertices, faces)
    order = torch.randperm(20, generator=generator)
    after = intersections.crossing_pairs(2.0**power * (vertices + shift), faces[:, order].flip(2))
    renamed = [[0, *sorted(order[pair[1:]].tolist())] for pair in after]
    assert sorted(renamed) == before.tolist()


def test_chunks_leave_no_trace(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(4, 90, 3, generator=generator)
    faces = torch.randint(0, 90, (4, 40, 3), generator=generator)
    faces[1, 20:], faces[2] = -1, -1
    whole = intersections.crossing_pairs(vertices, faces)
    assert len(whole) > 100
    monkeypatch.setattr(intersections, "_PAIRS", 7)
    assert torch.equal(intersections.crossing_pairs(vertices, faces), whole)
    number = intersections.crossings(vertices, faces)
    assert number.tolist() == torch.bincount(whole[:, 0], minlength=4).tolist()
    assert number[2] == 0


def test_no_faces_and_no_meshes_cross_nothing():
    none = torch.zeros(2, 0, 3, dtype=torch.int64)
    assert intersections.crossings(torch.zeros(2, 0, 3), none).tolist() == [0, 0]
    assert intersections.crossings(torch.zeros(0, 3, 3), none[:0]).shape == (0,)


def test_shapes_that_do_not_fit_are_said():
    with pytest.raises(ValueError, match=r"got \[2, 4, 3\] and \[1, 4, 3\]"):
        intersections.crossings(torch.zeros(2, 4, 3), TETRAHEDRON[None])


def test_two_thousand_faces_take_well_under_a_second():
    rings = shapes.together(shapes.torus(20, 25), shapes.torus(20, 25, wide=0.9))
    assert len(rings[1]) == 2000
    started = time.perf_counter()
    assert count(rings) > 0
    assert time.perf_counter() - started < 1


@needs("open3d", extra="open3d")
@pytest.mark.parametrize("seed", range(5))
def test_open3d_finds_the_same_pairs(seed):
    import open3d

    generator = torch.Generator().manual_seed(seed)
    vertices = torch.rand(90, 3, generator=generator)
    faces = torch.arange(90).view(30, 3)
    theirs = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(vertices.double().numpy()),
        open3d.utility.Vector3iVector(faces.int().numpy()),
    ).get_self_intersecting_triangles()
    ours = intersections.crossing_pairs(vertices[None], faces[None])[:, 1:]
    assert ours.tolist() == sorted(sorted(pair) for pair in np.asarray(theirs).tolist())
