"""Claims about real motion: pybullet's clips and URDF, read where it is installed, never copied."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from genenvs.core.files import sha256
from genenvs.motion import beats, build_skeleton, clips, codes, features, feet, metrics
from genenvs.motion.humanoid import ANKLES, JOINTS, TABLE, humanoid, lowest, soles
from genenvs.motion.skeleton import forward
from genenvs.motion.training import codes as codes_training
from tests.motion import reference
from tests.needs import import_or_skip

DATA = Path(import_or_skip("pybullet_data", extra="pybullet").getDataPath())
URDF = DATA / "humanoid" / "humanoid.urdf"


@pytest.fixture(scope="module")
def recorded() -> dict[str, clips.Clip]:
    return {clip.name.removeprefix("humanoid3d_"): clip for clip in clips.pybullet_clips(60.0)}


def places(clip: clips.Clip) -> tuple[torch.Tensor, torch.Tensor]:
    return forward(humanoid().skeleton, clip.root, clip.rotations)


def test_the_table_that_ships_is_derived_from_the_installed_urdf():
    content = json.loads(TABLE.read_text())
    assert content["source"]["sha256"] == sha256(URDF)
    assert content["table"] == build_skeleton.derive(URDF)


def test_fifteen_clips_last_34_seconds(recorded):
    assert len(recorded) == 15
    assert sum(c.duration for c in recorded.values()) == pytest.approx(33.5, abs=0.5)
    published = {"run": 0.80, "walk": 1.27, "dance_a": 1.62, "dance_b": 2.55, "spin": 4.42}
    for name, seconds in published.items():
        assert recorded[name].duration == pytest.approx(seconds, abs=0.06)


def test_people_stand_on_the_floor(recorded):
    """Of whoever is on his feet the lowest sole is near 0 in most frames; nobody sinks in."""
    for name, clip in recorded.items():
        low = lowest(*places(clip))
        assert low.min() > -0.1, name
        if name in ("walk", "run", "dance_a", "dance_b", "spin", "kick", "jump"):
            assert abs(float(low[:, list(ANKLES)].amin(1).median())) < 0.015, name


def test_a_walk_walks_forwards_and_plants_its_feet(recorded):
    clip = recorded["walk"]
    positions, orientations = places(clip)
    assert float(clip.root[-1, 0] - clip.root[0, 0]) > 1.0  # along x, where it looks
    ends = soles(positions, orientations)[None]
    assert float(feet.contact_score(ends, 60)) > 0.9
    share = feet.planted(ends, 60).any(-1).float().mean()
    assert float(share) > 0.8
    assert float(feet.slide(ends, 60)) < 0.2
    skating = ends + torch.linspace(0, 1.5, ends.shape[1])[None, :, None, None]
    assert float(feet.contact_score(skating, 60)) < 0.6


def test_every_clip_goes_to_bvh_and_back(recorded, tmp_path):
    for name, clip in recorded.items():
        path = tmp_path / f"{name}.bvh"
        clips.write_bvh(path, clip)
        ours = places(clip)[0]
        names, theirs, _ = reference.read_bvh(path)
        order = [names.index(joint) for joint in JOINTS]
        assert np.abs(theirs[:, order][..., [2, 0, 1]] - ours.numpy()).max() < 1e-3
        assert (places(clips.read_clip(path, 60.0))[0] - ours).norm(dim=-1).max() < 1e-3


def test_a_skeleton_of_other_names_gives_nearly_the_same_motion(recorded, tmp_path):
    """Through joint positions: what is lost is the twist that positions do not show."""
    other = {"root": "Hips", "chest": "Spine", "neck": "Neck"}
    for side in ("left", "right"):
        for ours, theirs in (
            ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"),
            ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"),
        ):  # fmt: skip
            other[f"{side}_{ours}"] = side.capitalize() + theirs
    for name in ("walk", "dance_b", "spinkick", "cartwheel", "crawl"):
        clip = recorded[name]
        path = tmp_path / "own.bvh"
        clips.write_bvh(path, clip)
        text = path.read_text()
        for ours, theirs in other.items():
            for word in ("ROOT", "JOINT"):
                text = text.replace(f"{word} {ours}\n", f"{word} mixamorig:{theirs}\n")
        path.write_text(text)
        again = clips.read_clip(path, 60.0)
        found, wanted = places(again)[0], places(clip)[0]
        away = (found - found[:, :1] - wanted + wanted[:, :1]).norm(dim=-1)
        assert away.mean() < 0.01 and away.max() < 0.06, name


def test_the_metrics_of_real_clips_are_finite_and_tell_them_apart(recorded):
    rows, energies = [], []
    for clip in recorded.values():
        positions, orientations = places(clip)
        energies.append(features.kinetic(positions[None]))
        rows.append(features.geometric(features.humanoid_points(positions, orientations)[None]))
        assert metrics.jerk(positions[None], 60.0).isfinite().all()
    k, g = torch.cat(energies), torch.cat(rows)
    assert k.shape == (15, 45) and g.shape == (15, 32) and k.isfinite().all()
    assert metrics.feature_distance(k, k) == pytest.approx(0, abs=1e-6)
    assert metrics.feature_distance(k * 1.5, k) > 1 and metrics.diversity(k) > 0
    # A wrist high, a knee bent, a foot lifted: most relations occur somewhere and not everywhere.
    assert ((g > 0).any(0) & (g < 1).any(0)).sum() >= 26
    dance = places(recorded["dance_b"])[0][None]
    assert 1 <= int(beats.motion_beats(dance, 60.0).sum()) <= 12


def test_the_codebooks_that_ship_are_made_of_these_clips(recorded):
    _, report = codes_training.train(list(recorded.values()))
    shipped = json.loads(codes.FILE.with_suffix(".json").read_text())
    assert set(report) == set(shipped)
    for name in ("codes", "frames", "windows"):
        assert report[name] == shipped[name]
    # Sums of another machine may put a window to another centre.
    for name in ("error_cm", "speed_kept", "gap_cm", "apart_cm"):
        assert report[name] == pytest.approx(shipped[name], rel=0.05), name
