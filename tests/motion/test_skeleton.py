"""Claims about skeletons, forward kinematics and the humanoid."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given

from genenvs.motion import humanoid as humanoids
from genenvs.motion import quaternions
from genenvs.motion.humanoid import ANKLES, JOINTS, MIRROR, humanoid, lowest, mirrored, soles
from genenvs.motion.skeleton import Skeleton, forward
from tests.motion import reference, samples
from tests.needs import needs_device


@given(samples.seeds)
def test_joints_are_where_chains_of_matrices_put_them(seed):
    skeleton = humanoid().skeleton
    root, rotations = samples.motion(seed, 2, 3)
    positions, orientations = forward(skeleton, root, rotations)
    assert positions.shape == (2, 3, 15, 3) and orientations.shape == (2, 3, 15, 4)
    for b, t in np.ndindex(2, 3):
        expected = reference.forward(
            skeleton.parents,
            skeleton.offsets.double().numpy(),
            root[b, t].double().numpy(),
            rotations[b, t].double().numpy(),
        )
        np.testing.assert_allclose(positions[b, t], expected, atol=2e-6)


def test_at_rest_the_humanoid_stands_and_looks_along_x():
    identity = torch.tensor(quaternions.IDENTITY).repeat(1, 15, 1)
    positions, orientations = forward(humanoid().skeleton, torch.zeros(1, 3), identity)
    place = dict(zip(JOINTS, positions[0].tolist(), strict=True))
    assert place["neck"][2] > place["chest"][2] > 0 > place["left_knee"][2]
    assert place["left_hip"][1] > 0 > place["right_hip"][1]
    heel, toe, *_ = soles(positions, orientations)[0]
    assert toe[0] > 0 > heel[0] and toe[2] == heel[2]
    assert lowest(positions, orientations)[0].min() == pytest.approx(float(heel[2]), abs=1e-6)
    # 0.25 x (1.686184 + 1.639480 + 0.2): two bones of the URDF and half its foot
    assert float(heel[2]) == pytest.approx(-0.25 * 3.525664, abs=1e-5)
    assert float(humanoid().masses.sum()) == 45


def test_a_forward_bent_knee_is_a_negative_angle():
    identity = torch.tensor(quaternions.IDENTITY).repeat(1, 15, 1)
    knee = JOINTS.index("left_knee")
    identity[0, knee] = quaternions.exponential(-0.5 * humanoid().axes[knee])
    positions, _ = forward(humanoid().skeleton, torch.zeros(1, 3), identity)
    assert positions[0, ANKLES[0], 0] < -0.1  # the shin goes back


@given(samples.seeds)
def test_the_mirror_image_is_the_reflected_body(seed):
    root, rotations = samples.motion(seed)
    positions, orientations = forward(humanoid().skeleton, root, rotations)
    other, turned = forward(humanoid().skeleton, *mirrored(root, rotations))
    flip = torch.tensor([1.0, -1, 1])
    assert torch.allclose(other, positions[:, :, list(MIRROR)] * flip, atol=1e-5)
    low = lowest(positions, orientations)[..., list(MIRROR)]
    assert torch.allclose(lowest(other, turned), low, atol=1e-5)
    twice = mirrored(*mirrored(root, rotations))
    assert torch.equal(twice[0], root) and torch.equal(twice[1], rotations)


@given(samples.seeds)
def test_lowest_is_the_lowest_of_many_surface_points(seed):
    positions, orientations = samples.positions(seed, 1, 2)
    body = humanoid()
    rng = np.random.default_rng(seed)
    ball = rng.normal(size=(4000, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    signs = np.sign(rng.normal(size=(4000, 3)))
    for joint in range(15):
        points = signs * body.halves[joint].numpy() + ball * float(body.radii[joint])
        local = torch.from_numpy(points + body.centres[joint].numpy()).float()
        where = quaternions.rotate(orientations[0, 0, joint], local) + positions[0, 0, joint]
        found = float(lowest(positions, orientations)[0, 0, joint])
        assert found - 1e-6 <= float(where[:, 2].min()) < found + 0.03


def test_a_skeleton_that_is_no_tree_is_refused():
    with pytest.raises(ValueError, match="parents must come before"):
        Skeleton(("a", "b"), (-1, 1), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="all different"):
        Skeleton(("a", "a"), (-1, 0), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"rotations \[\.\.\., 15, 4\]; got \[2, 3\]"):
        forward(humanoid().skeleton, torch.zeros(2, 3), torch.zeros(2, 14, 4))


def test_a_table_that_was_changed_is_refused(tmp_path, monkeypatch):
    content = json.loads(humanoids.TABLE.read_text())
    assert content["sha256"] == humanoids.digest(content["table"])
    content["table"]["joints"][3]["offset"][1] += 0.01
    changed = tmp_path / "humanoid.json"
    changed.write_text(json.dumps(content))
    monkeypatch.setattr(humanoids, "TABLE", changed)
    with pytest.raises(ValueError, match=r"humanoid.json is not the table that was shipped"):
        humanoids.humanoid.__wrapped__()


@needs_device("cuda")
def test_on_a_gpu_it_is_the_same():
    root, rotations = samples.motion(0)
    here = forward(humanoid().skeleton, root, rotations)
    there = forward(humanoid("cuda:0").skeleton, root.cuda(), rotations.cuda())
    assert torch.allclose(here[0], there[0].cpu(), atol=1e-5)
    assert torch.allclose(lowest(*here), lowest(*there).cpu(), atol=1e-5)
