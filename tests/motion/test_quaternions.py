"""Claims about rotations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given

from genenvs.motion import quaternions
from tests.motion import reference, samples


@given(samples.seeds)
def test_products_and_turned_points_are_those_of_matrices(seed):
    a, b = samples.rotations(seed, 2, 5)
    product = quaternions.multiply(a, b)
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(5, 3)))
    for k in range(5):
        left, right = reference.matrix(a[k].numpy()), reference.matrix(b[k].numpy())
        np.testing.assert_allclose(quaternions.matrix(product)[k], left @ right, atol=1e-12)
        np.testing.assert_allclose(
            quaternions.rotate(a, points)[k], left @ points[k].numpy(), atol=1e-12
        )
    back = quaternions.multiply(product, quaternions.conjugate(b))
    assert torch.allclose(back, a, atol=1e-12)


@given(samples.seeds)
def test_a_matrix_gives_back_its_quaternion(seed):
    q = samples.rotations(seed, 50)
    q[:4] = torch.eye(4, dtype=q.dtype)  # half turns about x, y and z: the four expressions
    found = quaternions.from_matrix(quaternions.matrix(q))
    assert ((found * q).sum(-1).abs() - 1).abs().max() < 1e-12 and (found[:, 0] >= 0).all()


@given(samples.seeds)
def test_exponential_and_logarithm_undo_each_other(seed):
    q = samples.rotations(seed, 50)
    vector = quaternions.logarithm(q)
    assert vector.norm(dim=-1).max() <= math.pi + 1e-12
    assert ((quaternions.exponential(vector) * q).sum(-1).abs() - 1).abs().max() < 1e-12
    tiny = vector * 1e-9
    assert torch.allclose(quaternions.logarithm(quaternions.exponential(tiny)), tiny, rtol=1e-6)


def test_no_rotation_has_finite_gradients():
    zero = torch.zeros(3, requires_grad=True)
    quaternions.logarithm(quaternions.exponential(zero * 1.0) + 0).sum().backward()
    assert zero.grad is not None and zero.grad.isfinite().all()


def test_a_quarter_turn_about_z_takes_x_to_y():
    q = quaternions.exponential(torch.tensor([0, 0, math.pi / 2]))
    turned = quaternions.rotate(q, torch.tensor([1.0, 0, 0]))
    assert turned.tolist() == pytest.approx([0, 1, 0], abs=1e-6)


@given(samples.seeds)
def test_slerp_goes_the_shorter_way_at_a_steady_speed(seed):
    a, b = samples.rotations(seed, 2, 8)
    whole = quaternions.angle(a, b)
    for t in (0.0, 0.25, 0.5, 1.0):
        at = quaternions.slerp(a, b, torch.full((8,), t, dtype=a.dtype))
        assert torch.allclose(quaternions.angle(a, at), t * whole, atol=1e-7)
        assert torch.allclose(quaternions.angle(at, b), (1 - t) * whole, atol=1e-7)
    same = quaternions.slerp(a, -a, torch.full((8,), 0.3, dtype=a.dtype))
    assert torch.allclose((same * a).sum(-1).abs(), torch.ones(8, dtype=a.dtype))


@given(samples.seeds)
def test_the_shortest_rotation_joins_two_directions(seed):
    a, b = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 9, 3)))
    a[0], b[0] = b[0] * 2, b[0]
    a[1], b[1] = -b[1], b[1]
    q = quaternions.shortest(a, b)
    turned = quaternions.rotate(q, a)
    cosine = torch.nn.functional.cosine_similarity(turned, b, dim=-1)
    assert (cosine - 1).abs().max() < 1e-9
    expected = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1, 1).acos()
    found = quaternions.logarithm(q).norm(dim=-1)
    assert torch.allclose(found, expected, atol=1e-6)


def test_yaw_keeps_the_turn_about_z_alone():
    about_z = quaternions.exponential(torch.tensor([0, 0, 0.7]))
    tilt = quaternions.exponential(torch.tensor([0.4, -0.2, 0.0]))
    found = quaternions.yaw(quaternions.multiply(about_z, tilt))
    assert quaternions.angle(found, about_z) == pytest.approx(0, abs=1e-6)
    upside_down = torch.tensor([0.0, 1, 0, 0])
    assert quaternions.yaw(upside_down).tolist() == list(quaternions.IDENTITY)
