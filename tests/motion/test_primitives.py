"""Claims about motion primitives: vectors of poses, decoders, walks made of clips."""

from __future__ import annotations

import math
import os

import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save_file

from genenvs.motion import feet, fitting, primitives, quaternions, walks
from genenvs.motion import frames as vectors
from genenvs.motion.clips import Clip, write_bvh
from genenvs.motion.humanoid import humanoid, soles
from genenvs.motion.primitives import FPS, KINDS, LATENT, SEEDS
from genenvs.motion.skeleton import forward
from genenvs.motion.training import primitives as training
from tests.motion import samples
from tests.needs import needs


def walked(kind: str = "cvae", rows: int = 4, steps: int = 12, seed: int = 0) -> torch.Tensor:
    """A walk of random latents, [rows, T, 34]."""
    generator = torch.Generator().manual_seed(seed)
    model = primitives.load(kind)
    frames = [model.starts[:rows]]
    for _ in range(steps):
        latent = torch.randn(rows, LATENT, generator=generator).double()
        frames.append(model.decode(frames[-1][:, -SEEDS:], latent)[:, SEEDS:])
    return torch.cat(frames, 1)


@pytest.fixture(scope="module")
def clip() -> Clip:
    root, rotations = vectors.unpack(walked(rows=1, steps=10)[0])
    return Clip("walk", "of primitives", FPS, root.float(), rotations.float())


@given(samples.seeds)
@settings(max_examples=10, deadline=None)
def test_vectors_hold_what_turns(seed):
    root, rotations = (x.double() for x in samples.motion(seed, 2, 6))
    found = vectors.pack(root, rotations)
    again_root, again = vectors.unpack(found)
    assert found.shape == (2, 6, vectors.WIDTH)
    assert torch.allclose(again_root, root)
    assert float(quaternions.angle(again, rotations).max()) < 1e-6
    # The heading goes on from frame to frame.
    assert float(found[..., 2].diff(dim=1).abs().max()) <= math.pi + 1e-9


@given(samples.seeds)
@settings(max_examples=10, deadline=None)
def test_soles_of_a_vector_are_those_of_the_whole_body(seed):
    root, rotations = (x.double() for x in samples.motion(seed, 2, 5))
    found = vectors.pack(root, rotations)
    wanted = soles(*forward(humanoid().skeleton, *vectors.unpack(found)))
    assert torch.allclose(vectors.soles(found), wanted, atol=1e-12)
    assert torch.allclose(vectors.soles(found.float()).double(), wanted, atol=1e-5)


def test_seen_from_a_place_and_back():
    frames = walked()
    origin = torch.tensor([[1.0, -2.0, 0.7], [0, 0, 4], [3, 3, -2], [0.5, 1, 0]]).double()
    there = vectors.seen_from(frames, origin)
    assert torch.allclose(vectors.placed_at(there, origin), frames)
    own = vectors.seen_from(frames, frames[:, 0, :3])
    assert float(own[:, 0, :3].abs().max()) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_is_the_same_in_every_direction(kind):
    model, generator = primitives.load(kind), torch.Generator().manual_seed(3)
    latent = torch.randn(4, LATENT, generator=generator).double()
    origin = torch.randn(4, 3, generator=generator).double()
    here = model.decode(model.starts[:4], latent)
    there = model.decode(vectors.placed_at(model.starts[:4], origin), latent)
    assert torch.allclose(vectors.seen_from(there, origin), here, atol=1e-9)
    assert torch.equal(here[:, :SEEDS], model.starts[:4])


@pytest.mark.parametrize("kind", KINDS)
def test_any_latents_keep_poses_within_bounds(kind):
    model, generator = primitives.load(kind), torch.Generator().manual_seed(4)
    seeds = model.starts
    for _ in range(60):
        latent = 4 * torch.randn(len(seeds), LATENT, generator=generator).double()
        made = model.decode(seeds, latent)
        step = made[:, SEEDS:, :2] - made[:, SEEDS - 1 : -1, :2]
        assert float(step.norm(dim=-1).max()) <= 0.15 * 2**0.5 + 1e-9
        pose = made[:, SEEDS:, 3:]
        assert bool(((pose >= model.low) & (pose <= model.high)).all())
        seeds = made[:, -SEEDS:]


def test_the_shipped_network_walks():
    """Of random latents: one foot or the other stands, at a walk's pace; a line does worse."""
    found = {kind: training.measure(walked(kind, 64, 40)) for kind in KINDS}
    assert found["cvae"]["contact score"] > 0.9
    assert found["cvae"]["contact score"] > found["pca"]["contact score"] + 0.05
    assert 0.7 < found["cvae"]["pace, m/s"] < 1.1
    assert found["cvae"]["lowest sole, m"] > -0.06


def test_files_are_what_was_shipped(tmp_path, monkeypatch):
    model = primitives.load("pca")
    primitives.write(tmp_path / "own.safetensors", model)
    again = primitives.load(str(tmp_path / "own.safetensors"))
    for name, value in model.tensors().items():
        assert torch.equal(again.tensors()[name], value), name
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="holds no motion primitives"):
        primitives.load(str(tmp_path / "broken.safetensors"))
    (tmp_path / "primitives-pca.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr(primitives, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="not listed"):
        primitives.load("pca")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("centre", torch.zeros(3), r"centre is \[3\], not \[65\]"),
        ("scale", torch.zeros(65), "scale is not above 0"),
        ("starts", torch.zeros(0, 2, 34), "starts is"),
        ("low", torch.full((31,), torch.nan), "low is not finite"),
        ("layers.0.weight", torch.zeros(272, 5), r"layers\.0\.weight is"),
    ],
)
def test_a_decoder_that_cannot_walk_is_told(tmp_path, name, value, text):
    path = tmp_path / "own.safetensors"
    named = {k: v.float() for k, v in primitives.load("pca").tensors().items()}
    save_file(named, path)
    os.utime(path, (0, 0))
    primitives.load(path)
    save_file(named | {name: value}, path)  # and a file written anew is read anew
    with pytest.raises(ValueError, match=rf"own\.safetensors holds no motion primitives: .*{text}"):
        primitives.load(path)


def test_walks_go_on_from_clip_to_clip(clip):
    """Made of one clip: longer than it, with its poses, its pace, and a foot at rest."""
    made = walks.corpus((clip,), 4, 300)
    assert made.shape == (4, 300, vectors.WIDTH)
    assert float(made[:, 0, :3].abs().max()) == 0
    step = made[..., 3:].diff(dim=1).abs().amax()
    assert float(step) < 0.5  # no joint jumps
    assert float(feet.contact_score(vectors.soles(made), FPS).mean()) > 0.93
    again = walks.corpus((clip,), 4, 300)
    assert torch.equal(made, again)


def test_standing_feet_push_the_body():
    """A body that glides over the floor on one foot stays where it is, once it is planted."""
    frame = primitives.load().starts[0, :1].repeat(20, 1)
    frame[:, 0] += 0.02 * torch.arange(20)
    still = walks.planted(frame, FPS)
    assert float((still[:, :2] - still[:1, :2]).abs().max()) < 1e-9


def test_clips_that_are_too_short_say_so(clip, tmp_path):
    short = Clip("short", "short", FPS, clip.root[:8], clip.rotations[:8])
    with pytest.raises(ValueError, match="no clip has more than 11 frames"):
        walks.corpus((short,), 1, 100)
    with pytest.raises(ValueError, match=r"the clips last \d+ s, more than 900"):
        walks.corpus((clip,) * 1000, 1, 100)
    write_bvh(tmp_path / "short.bvh", short)
    with pytest.raises(ValueError, match=r"short\.bvh: no clip has more than"):
        primitives.load("pca", str(tmp_path / "short.bvh"))


def test_a_network_is_trained_by_a_few_steps(clip):
    corpus = walks.corpus((clip,), 4, 200)
    setting = training.Training(steps=3, batch=4, primitives=2, hidden=8)
    model = training.train(corpus, setting, progress=False)
    again = training.train(corpus, setting, progress=False)
    assert len(model.layers) == 3
    assert all(torch.equal(a[0], b[0]) for a, b in zip(model.layers, again.layers, strict=True))
    made = model.decode(model.starts, torch.zeros(len(model.starts), LATENT).double())
    assert bool(made.isfinite().all())


def test_the_linear_decoder_is_the_best_linear_one(clip):
    """It tells a step from seeds better than their mean does, and its axes are orthogonal."""
    corpus = walks.corpus((clip,), 6, 300)
    model = fitting.linear(corpus)
    sample = fitting.windows(corpus, 500, torch.Generator().manual_seed(9))
    made = model.decode(sample[:, :SEEDS], torch.zeros(500, LATENT).double())
    error = (made - sample)[:, SEEDS:, :3].square().mean()
    usual = (sample[:, SEEDS:, :3] - sample[:, SEEDS:, :3].mean(0)).square().mean()
    assert float(error) < 0.5 * float(usual)


def test_the_prior_counts_deviations(clip):
    corpus = walks.corpus((clip,), 6, 300)
    prior = fitting.linear(corpus).prior
    far = prior(corpus.flatten(0, 1))
    assert float(far.square().mean().sqrt()) == pytest.approx(1, abs=0.05)
    mean = torch.cat([torch.zeros(3).double(), prior.mean])
    assert float(prior(mean)) < 1e-9


@needs("pybullet_data", extra="pybullet")
def test_recorded_walks_make_walks_that_stand_on_the_floor():
    clips = training.walking_clips()
    assert len(clips) == 6
    assert sum(clip.duration for clip in clips) == pytest.approx(7.4, abs=0.2)
    found = training.measure(walks.corpus(clips, 20, 400))
    assert found["contact score"] > 0.97
    assert found["slide, m/s"] < 0.03
    assert found["lowest sole, m"] > -0.04
