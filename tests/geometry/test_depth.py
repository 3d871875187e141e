"""Claims about depth pictures of boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genenvs.geometry import depth
from genenvs.geometry.boxes import Boxes, cuboid_boxes, rotations
from tests.geometry import reference, samples
from tests.geometry.test_boxes import boxes

SIZE = (9, 12)


def views(seed: int, count: int, kind: str) -> depth.Rays:
    rng = np.random.default_rng(seed)
    way = rng.normal(size=(count, 3))
    eye = torch.from_numpy(6 * way / np.linalg.norm(way, axis=1, keepdims=True)).float()
    camera = depth.look_at(eye, torch.zeros_like(eye))
    if kind == "orthographic":
        return depth.orthographic(eye, camera, SIZE, 5.0)
    return depth.pinhole(eye, camera, SIZE, 1.0)


@pytest.mark.parametrize("kind", ["orthographic", "pinhole"])
@pytest.mark.parametrize("turned", ["not", "about z", "freely"])
def test_a_picture_is_what_single_rays_meet(kind, turned):
    shapes, rays = boxes(3, 3, 4, turned), views(4, 3, kind)
    shapes.half[1, 2, 0] = 0  # not seen
    found = depth.render(shapes, rays)
    axes = rotations(shapes).double().numpy()
    seen = 0
    for at in np.ndindex(3, *SIZE):
        centre, half = (x[at[0]].double().numpy() for x in shapes[:2])
        origin, way = (x[at].double().numpy() for x in rays)
        expected, normal = reference.first_hit(origin, way, centre, half, axes[at[0]])
        assert float(found.depth[at]) == pytest.approx(expected, abs=2e-5)
        torch.testing.assert_close(found.normal[at].double(), torch.from_numpy(normal))
        seen += expected < np.inf
    assert 30 < seen < 3 * math.prod(SIZE) - 30


def test_a_cube_seen_from_the_front_has_one_depth():
    cube = cuboid_boxes(torch.tensor([[[-1, -1, -1, 1, 1, 1]]]))
    eye = torch.tensor([[0.0, -5, 0]])
    camera = depth.look_at(eye, torch.zeros(1, 3))
    assert camera[0].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    straight = depth.render(cube, depth.orthographic(eye, camera, (8, 8), 4.0))
    assert straight.depth[0, 2:6, 2:6].unique().tolist() == [4.0]
    assert torch.isfinite(straight.depth).sum() == 16
    assert straight.normal[0, 3, 3].tolist() == [0, -1, 0]
    assert straight.normal[0, 0, 0].tolist() == [0, 0, 0]
    # Depth counts along the optical axis: of a flat face it is the same in every pixel.
    narrow = depth.render(cube, depth.pinhole(eye, camera, (8, 8), 2 * math.atan(1 / 4)))
    torch.testing.assert_close(narrow.depth, torch.full((1, 8, 8), 4.0))


def test_right_and_up_in_the_world_are_right_and_up_in_the_picture():
    small = cuboid_boxes(torch.tensor([[[2, 0, 1, 3, 1, 2]]]))
    eye = torch.tensor([[0.0, -9, 0]])
    rays = depth.orthographic(eye, depth.look_at(eye, torch.zeros(1, 3)), (8, 8), 8.0)
    ((row, column),) = torch.isfinite(depth.render(small, rays).depth[0]).nonzero().tolist()
    assert (row, column) == (2, 6)


def test_a_camera_straight_above_is_a_camera():
    eye = torch.tensor([[0.0, 0, 5], [0, 0, -5]])
    camera = depth.look_at(eye, torch.zeros(2, 3))
    torch.testing.assert_close(camera @ camera.mT, torch.eye(3).expand(2, 3, 3))
    assert camera[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, -1]]


def test_inside_a_box_depth_is_zero_and_behind_the_eye_is_nothing():
    cube = cuboid_boxes(torch.tensor([[[-1, -1, -1, 1, 1, 1]]]))
    rays = depth.Rays(torch.zeros(1, 1, 1, 3), torch.tensor([1.0, 0, 0]).expand(1, 1, 1, 3))
    assert depth.render(cube, rays).depth.item() == 0
    gone = rays._replace(origin=rays.origin + torch.tensor([3.0, 0, 0]))
    assert depth.render(cube, gone).depth.item() == math.inf
    none = Boxes(torch.zeros(1, 0, 3), torch.zeros(1, 0, 3))
    assert depth.render(none, rays).depth.item() == math.inf


def test_chunks_leave_no_trace(monkeypatch):
    shapes, rays = cuboid_boxes(samples.cuboids(1, 5, 6, 4)), views(2, 5, "pinhole")
    whole = depth.render(shapes, rays)
    monkeypatch.setattr(depth, "_RAYS", 1)
    for one, other in zip(whole, depth.render(shapes, rays), strict=True):
        assert torch.equal(one, other)
    assert torch.isfinite(whole.depth).any()
