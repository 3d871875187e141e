"""Claims about the topology of meshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry import meshes
from tests.geometry import reference, samples, shapes
from tests.needs import needs


def of(mesh: shapes.Mesh) -> meshes.Topology:
    vertices, faces = mesh
    return meshes.topology(meshes.weld(vertices[None], faces[None]))


def test_a_cube_without_one_of_its_twelve_triangles_has_a_boundary_ratio_of_3_in_18():
    vertices, faces = shapes.cube()
    whole, broken = of((vertices, faces)), of((vertices, faces[1:]))
    assert whole.boundary_ratio.tolist() == [0] and whole.watertight.tolist() == [True]
    assert broken.boundary_ratio.tolist() == pytest.approx([3 / 18])
    assert (broken.edges.item(), broken.boundary.item(), broken.faces.item()) == (18, 3, 11)
    assert not broken.watertight.item()


def test_euler_tells_a_sphere_from_a_ring_and_from_two_spheres():
    one = shapes.cube()
    two = shapes.together(one, shapes.cube(2.0, 3.0))
    assert [of(x).euler.item() for x in (one, shapes.torus(), two)] == [2, 0, 4]
    assert [of(x).components.item() for x in (one, shapes.torus(), two)] == [1, 1, 2]


def test_a_soup_of_triangles_is_a_cube_once_it_is_welded():
    vertices, faces = shapes.soup(shapes.cube())
    assert meshes.topology(faces[None]).boundary_ratio.tolist() == [1]
    assert [int(x) for x in of((vertices, faces))] == [8, 18, 12, 0, 0, 1]
    shaken = vertices + 1e-4 * torch.rand(36, 3, generator=torch.Generator().manual_seed(0))
    assert of((shaken, faces)).boundary_ratio.tolist() == [1]
    welded = meshes.weld(shaken[None], faces[None], tolerance=1e-2)
    assert meshes.topology(welded).watertight.tolist() == [True]


def test_welding_is_the_same_at_any_scale_and_place():
    vertices, faces = shapes.soup(shapes.torus())
    plain = meshes.weld(vertices[None], faces[None])
    assert torch.equal(meshes.weld(1000 * vertices[None] - 500, faces[None]), plain)
    assert torch.equal(meshes.weld(vertices[None] * 2**-10, faces[None]), plain)


def test_a_face_that_welding_flattens_is_gone():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1e-9, 0]])
    welded = meshes.weld(vertices[None], torch.tensor([[[0, 1, 2], [1, 3, 2], [-1, -1, -1]]]))
    assert welded.tolist() == [[[0, 1, 2], [-1, -1, -1], [-1, -1, -1]]]


def test_an_edge_of_three_faces_is_no_boundary():
    book = torch.tensor([[[0, 1, 2], [0, 1, 3], [0, 1, 4]]])
    found = meshes.topology(book)
    assert (found.edges.item(), found.boundary.item(), found.non_manifold.item()) == (7, 6, 1)


def test_solids_that_touch_along_an_edge_are_two():
    pair = of(shapes.together(shapes.cube(), shapes.cube((1, 1, 0), (2, 2, 1))))
    assert (pair.components.item(), pair.non_manifold.item(), pair.edges.item()) == (2, 1, 35)
    assert pair.boundary.item() == 0 and not pair.watertight.item()


@given(samples.seeds, st.integers(1, 30), st.integers(4, 20))
def test_counts_are_those_of_a_dictionary_of_edges(seed, count, vertices):
    rng = np.random.default_rng(seed)
    faces = np.stack(
        [[rng.permutation(vertices)[:3] for _ in range(count)] for _ in range(3)]
    )  # [3, F, 3]
    faces[0, count // 2 :] = -1
    found = meshes.topology(torch.from_numpy(faces))
    pieces = meshes.face_components(torch.from_numpy(faces))
    for row in range(3):
        shared = [len(x) for x in reference.edges(faces[row]).values()]
        used = np.unique(faces[row][faces[row] >= 0])
        label = reference.face_components(faces[row])
        expected = [
            len(used), len(shared), int((faces[row, :, 0] >= 0).sum()), shared.count(1),
            sum(x >= 3 for x in shared), max(label, default=0),
        ]  # fmt: skip
        assert [int(x[row]) for x in found] == expected
        assert pieces.label[row].tolist() == label


def test_meshes_of_different_size_make_a_batch():
    ring, cube = shapes.torus(), shapes.cube()
    many = meshes.topology(shapes.batch(ring[1], cube[1], cube[1][:0]))
    assert many.euler.tolist() == [0, 2, 0] and many.watertight.tolist() == [True, True, False]
    assert many.boundary_ratio.tolist() == [0, 0, 0]


def test_no_faces_at_all_is_no_error():
    nothing = meshes.topology(torch.zeros(2, 0, 3, dtype=torch.int64))
    assert [x.tolist() for x in nothing] == [[0, 0]] * 6


def test_areas_and_normals_of_a_box_are_those_of_its_sides():
    vertices, faces = shapes.cube(0.0, (1.0, 2.0, 3.0))
    found = meshes.areas(vertices[None], shapes.batch(faces, faces[:2])[:1])
    assert float(found.sum()) == 2 * (1 * 2 + 2 * 3 + 1 * 3)
    middle = vertices[faces].mean(1) - vertices.mean(0)
    assert bool(((meshes.normals(vertices[None], faces[None])[0] * middle).sum(-1) > 0).all())


@needs("trimesh", extra="shapes")
@pytest.mark.parametrize("name", ["cube", "torus", "open"])
def test_trimesh_agrees(name):
    import trimesh

    vertices, faces = {
        "cube": shapes.soup(shapes.cube()),
        "torus": shapes.torus(),
        "open": (shapes.torus()[0], shapes.torus()[1][5:]),
    }[name]
    theirs = trimesh.Trimesh(vertices.numpy(), faces.numpy())
    ours = of((vertices, faces))
    assert ours.watertight.item() == theirs.is_watertight
    assert ours.euler.item() == theirs.euler_number
    assert ours.edges.item() == len(theirs.edges_unique)
    area = float(meshes.areas(vertices[None], faces[None]).sum())
    assert area == pytest.approx(theirs.area, rel=1e-5)
