"""Claims about BVH files: ours are read by another reader, and others' by us."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from genenvs.motion import bvh, clips, quaternions
from genenvs.motion.humanoid import JOINTS, humanoid, lowest
from genenvs.motion.skeleton import forward
from tests.motion import files, reference, samples


@settings(max_examples=15)
@given(seed=samples.seeds)
def test_another_reader_finds_the_joints_where_ours_are(seed, tmp_path_factory):
    path = tmp_path_factory.mktemp("bvh") / "motion.bvh"
    skeleton = humanoid().skeleton
    root, rotations = (x[0] for x in samples.motion(seed, 1, 6, size=2.0))
    rotations[0, 0] = quaternions.exponential(torch.tensor([0.0, math.pi / 2, 0]))  # gimbal lock
    rotations[1, 3] = quaternions.exponential(torch.tensor([0.0, -math.pi / 2, 0]))
    bvh.write(path, skeleton, root, rotations, 60.0)
    names, positions, seconds = reference.read_bvh(path)
    ours, _ = forward(skeleton, root, rotations)
    # Up is y there, forwards z, and left is x: Blender's defaults show it upright.
    ours = ours.numpy()[..., [1, 2, 0]]
    assert seconds == pytest.approx(1 / 60, abs=1e-7) and set(names) == set(JOINTS)
    order = [names.index(name) for name in JOINTS]
    assert np.abs(positions[:, order] - ours).max() < 1e-5  # asked for: 1e-3 m

    clip = clips.read_clip(path, 60.0)
    back, _ = forward(skeleton, clip.root, clip.rotations)
    assert np.abs(back.numpy()[..., [1, 2, 0]] - ours).max() < 1e-4


def test_bones_end_where_the_body_does(tmp_path):
    """Head, hands and feet: what another program draws, and what a toe is read from."""
    root, rotations = (x[0] for x in samples.motion(0, 1, 3))
    path = tmp_path / "a.bvh"
    clips.write_bvh(path, clips.Clip("a", "", 30.0, root, rotations))
    ends = bvh.read(path).skeleton
    offset = {n: o for n, o in zip(ends.names, ends.offsets.tolist(), strict=True)}
    x, y, z = offset["left_ankle" + bvh.END]
    assert x == 0 and y == pytest.approx(-0.05, abs=1e-4) and z == pytest.approx(0.1335, abs=1e-4)
    assert offset["neck" + bvh.END][1] == pytest.approx(0.2775, abs=1e-4)
    assert offset["right_wrist" + bvh.END][1] == pytest.approx(-0.04, abs=1e-4)


def test_the_order_of_the_file_is_that_of_the_braces():
    """A skeleton whose list is by level: channels must follow the tree, not the list."""
    from genenvs.motion.skeleton import Skeleton

    tree = Skeleton(("a", "b", "c", "d"), (-1, 0, 0, 1), torch.eye(4)[:, :3])
    assert bvh._depth_first(tree) == [0, 1, 3, 2]


def test_a_motion_that_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "motion.bvh"
    path.write_text("before")
    root, rotations = (x[0] for x in samples.motion(0, 1, 3))
    for wrong in (root * math.nan, root[:0], root[:2]):
        with pytest.raises(ValueError, match=r"finite|must be \[T, 3\]"):
            bvh.write(path, humanoid().skeleton, wrong, rotations, 30)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["motion.bvh"]


def captured(tmp_path, frames=40, **how):
    """A person of motion capture who crouches, kicks and raises the arms; the positions too."""
    names = [name for name, _, _ in files.CAPTURED]
    phase = np.linspace(0, 1, frames)
    angles = np.zeros((frames, len(names), 3))  # z, y, x: x leans forwards
    angles[:, names.index("LeftUpLeg"), 2] = -70 * np.sin(np.pi * phase)
    angles[:, names.index("LeftLeg"), 2] = 80 * np.sin(np.pi * phase)
    angles[:, names.index("LeftArm"), 0] = -75 + 100 * phase
    angles[:, names.index("RightArm"), 0] = 75
    angles[:, names.index("RightForeArm"), 1] = 60 * phase
    angles[:, 0, 1] = 40 * phase
    root = np.zeros((frames, 3))
    root[:, 1] = 95
    root[:, 2] = 100 * phase
    path = tmp_path / "captured.bvh"
    path.write_text(files.bvh(angles, root, **how))
    return path


@pytest.mark.parametrize(
    "how", [{}, {"prefix": "mixamorig:"}, {"scale": 0.01}, {"scale": 2.54, "seconds": 1 / 60}]
)
def test_a_captured_person_moves_the_humanoid_alike(tmp_path, how):
    """Directions of the limbs are those of the file, in its own proportions."""
    path = captured(tmp_path, **how)
    clip = clips.read_clip(path, 30.0)
    seconds = how.get("seconds", 1 / 120)
    assert len(clip.root) == math.floor(39 * seconds * 30 + 1e-6) + 1
    ours, orientations = forward(humanoid().skeleton, clip.root, clip.rotations)
    found, theirs, _ = reference.read_bvh(path)
    prefix = how.get("prefix", "")
    theirs = theirs[:: round(1 / 30 / seconds)][: len(ours)]
    theirs = theirs[..., [2, 0, 1]]  # to z up, x forwards
    for ours_part, theirs_part in (
        (("left_hip", "left_knee"), ("LeftUpLeg", "LeftLeg")),
        (("left_knee", "left_ankle"), ("LeftLeg", "LeftFoot")),
        (("right_hip", "right_knee"), ("RightUpLeg", "RightLeg")),
        (("left_shoulder", "left_elbow"), ("LeftArm", "LeftForeArm")),
        (("right_elbow", "right_wrist"), ("RightForeArm", "RightHand")),
        (("right_shoulder", "left_shoulder"), ("RightArm", "LeftArm")),
        (("right_hip", "left_hip"), ("RightUpLeg", "LeftUpLeg")),
    ):
        a, b = (JOINTS.index(n) for n in ours_part)
        c, d = (found.index(prefix + n) for n in theirs_part)
        mine = (ours[:, b] - ours[:, a]).numpy()
        other = theirs[:, d] - theirs[:, c]
        cosine = (
            (mine * other).sum(1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(other, axis=1)
        )
        assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 4, ours_part
    assert float(lowest(ours, orientations).min()) == pytest.approx(0, abs=1e-3)
    share = 0.831416 / (0.43 + math.hypot(0.42, 0.02))  # of the lengths of their legs
    metres = np.linalg.norm(theirs[-1, 0] - theirs[0, 0]) / (100 * how.get("scale", 1.0))
    hips = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]
    way = ours[-1, hips].mean(0) - ours[0, hips].mean(0)
    assert float(way.norm()) == pytest.approx(share * metres, rel=0.01)


def test_a_file_whose_z_points_up_stands_too(tmp_path):
    joints = tuple((n, p, (o[2], o[0], o[1])) for n, p, o in files.CAPTURED)
    still = np.zeros((8, len(joints), 3))
    (tmp_path / "z.bvh").write_text(files.bvh(still, np.zeros((8, 3)), joints=joints))
    clip = clips.read_clip(tmp_path / "z.bvh", 60)
    place, _ = forward(humanoid().skeleton, clip.root, clip.rotations)
    of = dict(zip(JOINTS, place[0].tolist(), strict=True))
    assert of["neck"][2] > 1.2 and of["left_wrist"][1] > 0.5 and of["right_wrist"][1] < -0.5


def test_a_skeleton_without_legs_names_what_is_missing(tmp_path):
    joints = [j for j in files.CAPTURED if "Leg" not in j[0] and "Foot" not in j[0]]
    joints = [j for j in joints if "Toe" not in j[0]]
    text = files.bvh(np.zeros((3, len(joints), 3)), np.zeros((3, 3)), joints=joints)
    (tmp_path / "torso.bvh").write_text(text)
    with pytest.raises(
        ValueError, match=r"torso.bvh: no joint could be told to be left_ankle"
    ) as e:
        clips.read_clip(tmp_path / "torso.bvh")
    assert "Spine2" in str(e.value)


GOOD = files.bvh(np.zeros((3, len(files.CAPTURED), 3)), np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "is empty"),
        (lambda t: "hello\n", "no BVH file"),
        (lambda t: t[: len(t) // 3], "no BVH file"),
        (lambda t: t.replace("Frames: 3", "Frames: 4"), "Frames says 4, but there are 3"),
        (lambda t: t.replace("Frames: 3\n", ""), "'Frames:' is missing"),
        (lambda t: t.replace("Frame Time: 0.0083333", "Frame Time: 0"), "Frame Time is 0 s"),
        (lambda t: t.replace("Frame Time: 0.0083333", "Frame Time: nan"), "'nan' is no finite"),
        (lambda t: t[:-12] + "\n", "numbers, must have 69"),
        (lambda t: t.replace("0.000000\n", "inf\n"), "'inf' is no finite"),
        (lambda t: t.replace("OFFSET 0.000000 -43", "OFFSET -43"), "OFFSET has 2 numbers"),
        (lambda t: t.replace("CHANNELS 3 Z", "CHANNELS 3 W"), "CHANNELS .* is not understood"),
        (lambda t: t.replace("CHANNELS 3 Z", "CHANNELS 4 Z", 1), "CHANNELS .* is not understood"),
        (lambda t: t.replace("}\nMOTION", "MOTION"), "cut off"),
        (lambda t: t.replace("}\nMOTION", "}\n}\nMOTION"), "closes that was not opened"),
        (lambda t: t.replace("JOINT Spine1", "ROOT Spine1"), "one ROOT holds all"),
        (lambda t: t.replace("JOINT Spine1", "BONE Spine1"), "is not understood"),
        (lambda t: t.split("Frame Time")[0] + "Frame Time: 0.01\n", "no frames"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path, change, message):
    path = tmp_path / "broken.bvh"
    path.write_text(change(GOOD))
    with pytest.raises(ValueError, match=f"broken.bvh.*{message}"):
        clips.read_clip(path)
