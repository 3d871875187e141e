"""Claims about distances between sets of points and about points drawn from meshes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.geometry import meshes, points
from tests.geometry import reference, samples, shapes
from tests.needs import needs


def clouds(seed: int, *sizes: int, rows: int = 2) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=(rows, size, 3))).float() for size in sizes]


@given(samples.seeds, st.integers(1, 12), st.integers(1, 12))
def test_distances_are_those_of_two_loops(seed, n, m):
    first, second = clouds(seed, n, m)
    sides = points.nearest(first, second)
    for row in range(2):
        a, b = first[row].double().numpy(), second[row].double().numpy()
        there, back = reference.nearest(a, b), reference.nearest(b, a)
        for squared in (False, True):
            power = 2 if squared else 1
            total = (there**power).mean() + (back**power).mean()
            for reduce, factor in (("sum", 1), ("mean", 0.5)):
                found = points.chamfer(sides, squared=squared, reduce=reduce)
                assert float(found[row]) == pytest.approx(total * factor, rel=1e-4)
            longest = max(there.max(), back.max()) ** power
            found = points.hausdorff(sides, squared=squared)
            assert float(found[row]) == pytest.approx(longest, rel=1e-4)
        tau = float(np.median(there)) + 1e-4
        precision, recall = (there < tau).mean(), (back < tau).mean()
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert float(points.f_score(sides, tau)[row]) == pytest.approx(f, abs=1e-6)


def test_two_points_at_a_distance_of_three():
    one, other = torch.zeros(1, 1, 3), torch.tensor([[[0.0, 3, 0]]])
    sides = points.nearest(one, other)
    assert points.chamfer(sides, squared=False, reduce="sum").item() == 6
    assert points.chamfer(sides, squared=False, reduce="mean").item() == 3
    assert points.chamfer(sides, squared=True, reduce="sum").item() == 18
    assert points.chamfer(sides, squared=True, reduce="mean").item() == 9
    assert points.hausdorff(sides, squared=False).item() == 3
    assert points.hausdorff(sides, squared=True).item() == 9
    assert points.f_score(sides, 3.1).item() == 1 and points.f_score(sides, 2).item() == 0


def test_a_distance_is_directed_and_hausdorff_takes_the_longer_side():
    few, many = torch.zeros(1, 1, 3), torch.tensor([[[0.0, 0, 0], [4, 0, 0]]])
    there, back = points.nearest(few, many)
    assert there.tolist() == [[0]] and back.tolist() == [[0, 4]]
    assert points.hausdorff((there, back), squared=False).item() == 4
    assert points.f_score((there, back), 1.0).item() == pytest.approx(2 * 1 * 0.5 / 1.5)


def test_a_copy_has_no_distance_at_all_however_far_from_the_origin():
    (cloud,) = clouds(0, 200)
    there, back = points.nearest(cloud + 1000, cloud + 1000)
    assert there.max() == back.max() == 0


def test_conventions_have_to_be_said():
    sides = points.nearest(*clouds(0, 3, 4))
    with pytest.raises(TypeError, match="squared"):
        points.chamfer(sides, reduce="sum")
    with pytest.raises(TypeError, match="reduce"):
        points.chamfer(sides, squared=True)
    with pytest.raises(TypeError, match="squared"):
        points.hausdorff(sides)
    with pytest.raises(ValueError, match="'sum' or 'mean'; got 'max'"):
        points.chamfer(sides, squared=True, reduce="max")


@pytest.mark.parametrize("shapes_", [((2, 0, 3), (2, 4, 3)), ((1, 4, 3), (2, 4, 3)), ((4, 3),) * 2])
def test_sets_that_do_not_fit_are_refused(shapes_):
    with pytest.raises(ValueError, match="with N, M >= 1; got"):
        points.nearest(*(torch.zeros(shape) for shape in shapes_))


def test_chunks_leave_no_trace(monkeypatch):
    first, second = clouds(1, 50, 30)
    whole = points.nearest(first, second)
    monkeypatch.setattr(points, "_PAIRS", 70)
    for side, all_of_it in zip(points.nearest(first, second), whole, strict=True):
        assert torch.equal(side, all_of_it)


def test_normalised_points_fill_the_ball_of_diameter_one():
    (cloud,) = clouds(3, 60)
    found = points.normalise(5 * cloud + 7)
    torch.testing.assert_close(found, points.normalise(cloud), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.norm(dim=-1).amax(1), torch.full((2,), 0.5))
    torch.testing.assert_close(found.amin(1), -found.amax(1))
    assert points.normalise(torch.ones(1, 4, 3)).tolist() == torch.zeros(1, 4, 3).tolist()


def test_points_lie_on_their_faces_in_proportion_to_area():
    vertices, faces = shapes.cube(0.0, (1.0, 1.0, 4.0))
    found, face = points.sample(vertices[None], faces[None], torch.tensor([5]), 20_000)
    assert found.shape == (1, 20_000, 3) and found.dtype == torch.float32
    normal = meshes.normals(vertices[None], faces[None])[0][face[0]]
    off = ((found[0] - vertices[faces][face[0], 0]) * normal).sum(-1)
    assert off.abs().max() < 1e-5
    assert bool(((found >= -1e-6) & (found <= torch.tensor([1, 1, 4]) + 1e-6)).all())
    share = torch.bincount(face[0], minlength=12) / 20_000
    area = meshes.areas(vertices[None], faces[None])[0]
    assert (share - area / area.sum()).abs().max() < 0.01
    ends = found[0][(face[0] == 0) | (face[0] == 1), :2]  # the bottom: uniform in both directions
    assert (ends.mean(0) - 0.5).abs().max() < 0.04 and (ends.var(0) - 1 / 12).abs().max() < 0.01


def test_points_depend_on_mesh_and_key_alone():
    (v, f), (w, g) = shapes.torus(), shapes.cube()
    vertices = torch.stack([v, torch.cat([w, torch.zeros(len(v) - 8, 3)]), v])
    faces, key = shapes.batch(f, g, f), torch.tensor([1, 2, 3])
    together, _ = points.sample(vertices, faces, key, 64)
    for row, (mesh, triangles) in enumerate([(v, f), (w, g), (v, f)]):
        alone, _ = points.sample(mesh[None], triangles[None], key[row : row + 1], 64)
        assert torch.equal(alone[0], together[row])
    assert not torch.equal(together[0], together[2])
    assert not torch.equal(points.sample(vertices, faces, key, 64, counter=1)[0], together)


def test_a_face_without_area_has_no_points():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]])
    faces = torch.tensor([[[0, 1, 3], [0, 1, 2], [0, 3, 1], [-1, -1, -1]]])
    assert points.sample(vertices, faces, torch.tensor([0]), 500)[1].unique().tolist() == [1]
    for nothing in (faces[:, :1], faces[:, :0], faces[:, 3:]):
        with pytest.raises(ValueError, match="without area"):
            points.sample(vertices, nothing, torch.tensor([0]), 5)


@needs("open3d", extra="open3d")
def test_open3d_takes_the_sum_of_unsquared_means_and_gives_its_f_score_in_percent():
    import open3d

    first, second = clouds(0, 200, 300, rows=1)
    metric, tau = open3d.t.geometry.Metric, 0.3
    theirs = open3d.t.geometry.PointCloud(first[0].numpy()).compute_metrics(
        open3d.t.geometry.PointCloud(second[0].numpy()),
        [metric.ChamferDistance, metric.HausdorffDistance, metric.FScore],
        open3d.t.geometry.MetricParameters([tau]),
    )
    sides = points.nearest(first, second)
    chamfer = points.chamfer(sides, squared=False, reduce="sum")
    hausdorff = points.hausdorff(sides, squared=False)
    ours = torch.stack([chamfer, hausdorff, 100 * points.f_score(sides, tau)])
    torch.testing.assert_close(ours[:, 0], torch.from_numpy(theirs.numpy()).float())
