"""Claims about pose codes and how they follow each other."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from genenvs.core import manifest, random
from genenvs.motion import clips, codes, quaternions
from genenvs.motion.codes import FRAMES
from genenvs.motion.codes_prior import Prior
from genenvs.motion.humanoid import humanoid
from genenvs.motion.skeleton import forward
from genenvs.motion.training import codes as training
from genenvs.motion.training import primitives as primitives_training
from tests.motion import samples


def some(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(128, (*shape, 2), generator=generator)


def places(motion: codes.Motion) -> torch.Tensor:
    return forward(humanoid().skeleton, *motion)[0]


def test_what_ships_is_what_was_sealed_and_small():
    manifest.verify([codes.FILE], codes.WEIGHTS)
    assert codes.FILE.stat().st_size < 1_000_000
    book = codes.load()
    assert book.sizes == (128, 128)
    for rotations in (book.upper, book.lower):
        torch.testing.assert_close(rotations.norm(dim=-1), torch.ones(rotations.shape[:-1]))


def test_a_code_begins_where_the_one_before_ends_whatever_they_are():
    book, sequence = codes.load(), some(0, 4, 9)
    motion = book.decode(sequence)
    assert motion.root.shape == (4, 9 * FRAMES + 1, 3)
    before, after = sequence[:, :-1], sequence[:, 1:]
    end, start = book.local(before, before), book.local(before, after)
    last = end.rotations[..., -1, 1:, :]
    assert quaternions.angle(last, start.rotations[..., 0, 1:, :]).max() < 2e-3
    assert (end.root[..., -1, 2] - start.root[..., 0, 2]).abs().max() < 1e-5
    # and so no frame is farther from the next than the codes themselves and the decay explain
    step = places(motion).diff(dim=1).norm(dim=-1)
    inside = step.unflatten(1, (9, FRAMES)).amax((1, 2, 3))
    assert (step[:, FRAMES - 1 :: FRAMES].amax((1, 2)) <= inside + 1e-6).all()


def test_speed_is_that_of_the_decoded_joints_and_of_two_codes_alone():
    book, sequence = codes.load(), some(1, 3, 8)
    way = places(book.decode(sequence)).diff(dim=1).norm(dim=-1).mean(-1)
    speed = book.speed(sequence[:, :-1], sequence[:, 1:]).flatten(1)
    torch.testing.assert_close(speed, way[:, FRAMES:], atol=1e-6, rtol=1e-4)


def test_a_gap_is_the_distance_of_end_and_beginning():
    book = codes.load()
    before, after = some(2, 6), some(3, 6)
    found = []
    for k in range(6):
        (up, low), (next_up, next_low) = before[k].tolist(), after[k].tolist()
        arms = book.arms(book.upper[up, -1]) - book.arms(book.upper[next_up, 0])
        turned = book.lower[low, -1].clone()
        turned[0] = quaternions.multiply(
            quaternions.conjugate(quaternions.yaw(turned[0])), turned[0]
        )
        legs = book.legs(book.path[low, -1, 2], turned) - book.legs(
            book.path[next_low, 0, 2], book.lower[next_low, 0]
        )
        found.append(float(torch.cat([arms, legs]).norm(dim=-1).mean()))
    torch.testing.assert_close(book.gap(before, after), torch.tensor(found), atol=1e-5, rtol=1e-4)


def test_the_prior_counts_and_backs_off():
    follows = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]])
    prior = Prior(follows, (2, 3), back_off=1.0, smoothing=3.0)
    alone = (3 + 1) / (3 + 3)  # lower 1 after lower 0, with a third of 3 for each of 3
    lower = (3 + alone) / (3 + 1)
    single = (2 + 1.5) / (3 + 3)  # upper 1 after upper 0
    upper = (2 + single) / (3 + 1)
    found = prior.log_prob(torch.tensor([0, 0]), torch.tensor([1, 1]))
    assert float(found.exp()) == pytest.approx(lower * upper, rel=1e-5)
    for table in (prior.lower, prior.upper):
        torch.testing.assert_close(table.exp().sum(-1), torch.ones(table.shape[:-1]))
    assert prior.likely(torch.tensor([[0, 0]]), 1, 2).tolist() == [[[1, 1], [0, 1]]]


def test_samples_of_the_prior_are_as_likely_as_it_says():
    prior = Prior(torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]), (2, 2))
    key = random.mix(torch.arange(4_000), 1)
    drawn = prior.sample(torch.zeros(4_000, 2, dtype=torch.int64), key, 0)
    for pair in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = float((drawn == torch.tensor(pair)).all(1).float().mean())
        expected = float(prior.log_prob(torch.tensor([0, 0]), torch.tensor(pair)).exp())
        assert share == pytest.approx(expected, abs=0.03)
    torch.testing.assert_close(
        drawn[7:9], prior.sample(torch.zeros(2, 2, dtype=torch.int64), key[7:9], 0)
    )


def test_k_means_finds_what_is_apart():
    generator = torch.Generator().manual_seed(0)
    middle = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = middle.repeat(20, 1) + 0.1 * torch.randn(60, 2, generator=generator)
    centres = training.k_means(points, 3)
    assert (torch.cdist(middle, centres).amin(1) < 0.1).all()


def clip(seed: int, frames: int = 150) -> clips.Clip:
    root, rotations = samples.motion(seed, 1, frames, 0.2)
    return clips.Clip(f"made-{seed}", str(seed), 60.0, root[0], rotations[0])


def test_codebooks_of_other_clips(tmp_path):
    book, report = training.train([clip(0), clip(1)], size=12)
    assert book.sizes == (12, 12) and report["error_cm"] > 0
    assert len(book.follows) == 4 * (150 - 2 * FRAMES)
    assert book.follows.amax() < 12 and book.apart.shape == (12, 12)
    with pytest.raises(ValueError, match="too short for 128 codes"):
        training.train([clip(0, 60)])
    with pytest.raises(ValueError, match="must have 8 codes or more; got 7"):
        training.train([clip(0)], size=7)
    with pytest.raises(ValueError, match="show only 2 postures for 12 codes"):
        one = clip(0)  # who stands still, and the mirror image
        still = replace(one, root=one.root[:1].repeat(300, 1),
                        rotations=one.rotations[:1].repeat(300, 1, 1))  # fmt: skip
        training.train([still], size=12)
    with pytest.raises(ValueError, match=r"the clips last \d+ s, more than 900; take fewer"):
        training.train([clip(0)] * 1000, size=12)
    assert training.train([clip(0), clip(1, 20)], size=12)[1]["nats_clip_left_out"] is None


def test_a_file_that_holds_no_codebooks_is_told(tmp_path):
    with pytest.raises(ValueError, match="must be 'shipped' or the path of a file"):
        codes.load(str(tmp_path / "missing.safetensors"))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(codes.FILE.read_bytes()[:1000])
    with pytest.raises(ValueError, match="holds no codebooks"):
        codes.load(str(broken))


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        ("upper", lambda x: x[:4].clone(), "4 upper and 128 lower codes; there must be 8 of each"),
        ("lower", lambda x: x[..., :3].clone(), r"not float32 \[128, 9, 7, 4\]"),
        ("path", lambda x: x + torch.inf, "path is not finite"),
        ("apart", lambda x: x.long(), r"apart is torch\.int64"),
        ("follows", lambda x: x + 100, "follows names codes that there are not"),
        ("seeds", lambda x: x - 1, "seeds names codes that there are not"),
        ("seeds", lambda x: x[:0].clone(), r"seeds is torch\.int64 \[0, 9, 2\]"),
    ],
)
def test_codebooks_that_cannot_be_danced_with_are_told(tmp_path, name, change, text):
    path, named = tmp_path / "own.safetensors", load_file(codes.FILE)
    save_file(named, path)
    os.utime(path, (0, 0))
    assert torch.equal(codes.load(path).upper, codes.load().upper)
    save_file(named | {name: change(named[name])}, path)  # and a file written anew is read anew
    with pytest.raises(ValueError, match=rf"own\.safetensors holds no codebooks: .*{text}"):
        codes.load(path)


@pytest.mark.parametrize("main", [training.main, primitives_training.main])
def test_what_ships_is_not_replaced_by_one_s_own_clips(main, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--clips", str(tmp_path)])
    assert "or they would replace" in capsys.readouterr().err
