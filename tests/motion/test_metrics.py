"""Claims about metrics of motion: each batched one is a plain loop's, and right by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.core.frechet import frechet_distance
from genenvs.motion import beats, features, feet, metrics
from genenvs.motion.humanoid import soles
from tests.motion import reference, samples

fps = st.sampled_from([20.0, 30.0, 40.0, 60.0])


def numpy(x: torch.Tensor) -> np.ndarray:
    return x.double().numpy()


@given(samples.seeds, fps)
def test_contact_and_slide_are_those_of_loops(seed, fps):
    x = soles(*samples.positions(seed)) * 0.3
    score, slid, still = feet.contact_score(x, fps), feet.slide(x, fps), feet.planted(x, fps)
    for row in range(len(x)):
        assert float(score[row]) == pytest.approx(reference.contact_score(numpy(x[row]), fps))
        assert float(slid[row]) == pytest.approx(
            reference.slide(numpy(x[row]), still[row]), abs=1e-6
        )


def test_one_planted_foot_is_enough_for_dimos_and_not_for_the_slide():
    x = torch.zeros(1, 41, 4, 3)
    x[0, :, 2:, 0] = torch.linspace(0, 0.25, 41)[:, None]  # the right foot skates at 0.25 m/s
    assert float(feet.contact_score(x, 40)) == 1
    assert float(feet.slide(x, 40)) == pytest.approx(0.125)  # two of four points, a second
    x[..., 2] = 0.15  # in the air: 0.1 above the tolerance
    assert float(feet.contact_score(x, 40)) == pytest.approx(np.exp(-0.1))
    assert not feet.planted(x, 40).any() and float(feet.slide(x, 40)) == 0


def test_walkable_ground_is_a_union_of_triangles():
    square = torch.tensor([[[[0.0, 0], [1, 0], [1, 1]], [[0, 0], [0, 1], [1, 1]]]])
    points = torch.tensor([[[0.5, 0.2], [0.2, 0.5], [0.5, 0.5], [1, 1], [1.01, 0.5], [-0.1, 0]]])
    assert feet.inside(points, square).tolist() == [[True, True, True, True, False, False]]
    on = torch.tensor([[[True, True], [True, False], [True, True], [False, False]]])
    assert feet.walkable_score(on).tolist() == [0.5]


def test_penetration_sums_depths_over_points():
    depth = feet.penetration(torch.tensor([[[0.1, -0.1, -0.2], [0.0, 0.3, -0.1]]]))
    assert float(depth.mean) == pytest.approx(0.2) and float(depth.largest) == pytest.approx(0.3)


@given(samples.seeds, st.integers(2, 90), st.sampled_from([30.0, 60.0]))
def test_motion_beats_are_those_of_scipy(seed, frames, fps):
    positions = samples.positions(seed, 2, frames)[0].double()  # scipy's may be of rounding alone
    found = beats.motion_beats(positions, fps)
    for row in range(2):
        expected = reference.beats(numpy(positions[row]), beats.SMOOTHING * fps)
        assert found[row].nonzero().flatten().tolist() == expected


@given(samples.seeds, st.integers(1, 40), st.floats(0.3, 8))
def test_smoothing_is_that_of_scipy_however_short_the_signal(seed, size, sigma):
    from scipy.ndimage import gaussian_filter1d

    x = np.random.default_rng(seed).normal(size=(2, size))
    found = beats.smooth(torch.from_numpy(x), sigma)
    np.testing.assert_allclose(found, gaussian_filter1d(x, sigma, axis=1), atol=1e-12)


@given(samples.seeds, st.integers(1, 60), st.floats(0, 0.4), st.floats(0, 0.4))
def test_alignment_is_that_of_loops_in_both_directions(seed, size, some, others):
    rng = np.random.default_rng(seed)
    music, motion = rng.random((3, size)) < some, rng.random((3, size)) < others
    found = beats.alignment(torch.from_numpy(music), torch.from_numpy(motion), 60.0)
    for row in range(3):
        a, b = (list(np.flatnonzero(x[row])) for x in (music, motion))
        there, back = reference.nearness(a, b, 3), reference.nearness(b, a, 3)
        f1 = 2 * there * back / (there + back) if there + back else 0
        got = [float(x[row]) for x in found]
        assert got == pytest.approx([there, back, f1], abs=1e-5)


def test_always_a_beat_pleases_one_direction_and_not_f1():
    music = torch.zeros(1, 240, dtype=torch.bool)
    music[0, ::30] = True
    always, exact, never = torch.ones_like(music), music, torch.zeros_like(music)
    score = beats.alignment(music, always, 60.0)
    assert float(score.music) == 1 and float(score.motion) < 0.3 and float(score.f1) < 0.45
    assert [float(x) for x in beats.alignment(music, exact, 60.0)] == [1, 1, 1]
    assert [float(x) for x in beats.alignment(music, never, 60.0)] == [0, 0, 0]
    assert [float(x) for x in beats.alignment(never, music, 60.0)] == [0, 0, 0]


def test_standing_still_and_gliding_have_no_beats():
    still = torch.ones(1, 50, 15, 3, dtype=torch.float64)
    glide = still + torch.arange(50, dtype=torch.float64)[None, :, None, None] * 0.013
    assert not beats.motion_beats(still, 60).any() and not beats.motion_beats(glide, 60).any()
    # in single precision the places are rounded, and steps of one length differ
    way = torch.arange(300, dtype=torch.float64)[None, :, None, None] * 0.0137
    for start in (0.0, 50.0):
        rounded = (start + way.expand(1, 300, 15, 3)).float()
        assert not beats.motion_beats(rounded, 60).any()


@given(samples.seeds, st.integers(3, 12), st.booleans())
def test_kinetic_features_are_those_of_loops(seed, frames, bug):
    positions, _ = samples.positions(seed, 2, frames)
    found = features.kinetic(positions, 60.0, bug_compatible=bug)
    for row in range(2):
        expected = reference.kinetic(numpy(positions[row]), 1 / 60, bug)
        np.testing.assert_allclose(found[row], expected, rtol=1e-9, atol=1e-9)


def test_the_published_bug_sees_where_a_dancer_stands():
    positions, _ = samples.positions(3)
    moved = positions + torch.tensor([5.0, 0, 0])
    right, wrong = (
        [features.kinetic(p, bug_compatible=bug) for p in (positions, moved)]
        for bug in (False, True)
    )
    np.testing.assert_allclose(right[0], right[1], rtol=1e-2, atol=1e-2)  # float32 positions
    assert (wrong[1][:, 2::3] > 3 * wrong[0][:, 2::3]).all()
    assert (wrong[0][:, 2::3] > 2 * right[0][:, 2::3]).all()
    for one, other in zip(right, wrong, strict=True):  # energies are not touched
        assert torch.equal(one[:, 0::3], other[:, 0::3]) and torch.equal(
            one[:, 1::3], other[:, 1::3]
        )


def test_a_steady_walk_has_the_energy_of_its_speed():
    p = torch.zeros(1, 20, 1, 3)
    p[0, :, 0, 0] = torch.arange(20) * 1.5 / 60  # 1.5 m/s
    p[0, :, 0, 2] = torch.arange(20) * 0.2 / 60
    assert features.kinetic(p)[0].tolist() == pytest.approx([2.25, 0.04, 0], abs=1e-3)


@given(samples.seeds, st.booleans())
def test_geometric_features_are_those_of_loops(seed, bug):
    points = features.humanoid_points(*samples.positions(seed))
    found = features.geometric(points, fps=60.0, bug_compatible=bug)
    own = features.Lengths()
    for row in range(len(points)):
        expected = reference.geometric(
            numpy(points[row]), features.HUMANOID, 1 / 120 if bug else 1 / 60,
            own.humerus, own.shoulders, own.hips,
        )  # fmt: skip
        np.testing.assert_allclose(found[row], expected, atol=1e-12)


def test_there_are_32_questions_and_all_of_them_are_answered_both_ways():
    assert len(features.QUESTIONS) == 32
    rows = [
        features.geometric(features.humanoid_points(*samples.positions(seed, 8, 40)))
        for seed in range(8)
    ]
    every = torch.cat(rows)
    rarely = ((every > 0).any(0) & (every < 1).any(0)).sum()
    assert rarely >= 26  # the test above would not notice a question that is always denied


def test_a_skeleton_of_smpl_is_asked_the_same():
    p = torch.randn(1, 6, 24, 3, generator=torch.Generator().manual_seed(0))
    own = features.Lengths()
    expected = reference.geometric(
        numpy(p[0]), features.SMPL, 1 / 60, own.humerus, own.shoulders, own.hips
    )
    np.testing.assert_allclose(features.geometric(p, features.SMPL)[0], expected)


@given(samples.seeds)
def test_physical_foot_contact_is_that_of_a_loop(seed):
    positions, orientations = samples.positions(seed)
    x = soles(positions, orientations)
    found = metrics.physical_foot_contact(positions[:, :, 0], x)
    for row in range(2):
        expected = reference.physical_foot_contact(numpy(positions[row, :, 0]), numpy(x[row]))
        assert float(found[row]) == pytest.approx(expected, rel=2e-3)


def test_a_root_that_never_accelerates_has_no_physical_foot_contact():
    found = metrics.physical_foot_contact(torch.zeros(1, 9, 3), torch.randn(1, 9, 4, 3))
    assert found.tolist() == [0]


def test_the_jerk_of_a_cube_of_time_is_six():
    t = torch.arange(12, dtype=torch.float64)[None, :, None, None] / 30
    p = torch.cat([t**3, t**2, t], -1)
    assert float(metrics.jerk(p, 30.0)) == pytest.approx(6)


def test_sets_are_compared_in_the_scale_of_the_reference():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=rng, dtype=torch.float64)
    y = 2 * torch.randn(30, 5, generator=rng, dtype=torch.float64) + 1
    scale = torch.tensor([1.0, 10, 100, 0.1, 1e-3], dtype=torch.float64)
    one, other = metrics.feature_distance(x, y), metrics.feature_distance(x * scale, y * scale)
    assert one == pytest.approx(other, rel=1e-6)
    assert metrics.feature_distance(y, y) == pytest.approx(0, abs=1e-9)
    z = [(v.numpy() - y.numpy().mean(0)) / y.numpy().std(0) for v in (x, y)]
    assert one == pytest.approx(frechet_distance(*(torch.from_numpy(v) for v in z)), rel=1e-6)
    pairs = [np.linalg.norm(x[i] - x[j]) for i in range(40) for j in range(i)]
    assert metrics.diversity(x) == pytest.approx(float(np.mean(pairs)))
    assert metrics.diversity(x[:1].repeat(3, 1)) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feet.contact_score(torch.zeros(1, 2, 4, 3), 30), "three frames; got 2"),
        (lambda: feet.slide(torch.zeros(1, 1, 4, 3), 30), "two frames; got 1"),
        (lambda: beats.motion_beats(torch.zeros(1, 1, 4, 3), 30), "two frames; got 1"),
        (
            lambda: beats.alignment(torch.zeros(1, 4), torch.zeros(1, 5), 30),
            r"\[1, 4\] and \[1, 5\]",
        ),
        (lambda: features.kinetic(torch.zeros(1, 2, 4, 3)), r"T >= 3; got \[1, 2, 4, 3\]"),
        (lambda: features.geometric(torch.zeros(1, 1, 17, 3)), "T >= 2"),
        (lambda: metrics.jerk(torch.zeros(1, 3, 4, 3), 30), "four frames; got 3"),
        (lambda: metrics.diversity(torch.zeros(1, 3)), "N >= 2"),
        (
            lambda: metrics.physical_foot_contact(torch.zeros(1, 5, 3), torch.zeros(1, 5, 3, 3)),
            r"\[B, T, 4, 3\]",
        ),
    ],
)
def test_what_is_too_short_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_shrunk_covariance_is_that_of_ledoit_and_wolf():
    from sklearn.covariance import ledoit_wolf

    from genenvs.core.frechet import shrunk

    points = np.random.default_rng(0).normal(size=(12, 30)) * np.linspace(0.5, 2, 30)
    mine = shrunk(torch.from_numpy(points))
    np.testing.assert_allclose(mine.numpy(), ledoit_wolf(points)[0], rtol=1e-8, atol=1e-10)
    assert torch.linalg.eigvalsh(mine).min() > 0  # though there are fewer points than features
    other = torch.from_numpy(points + 1.0)
    assert frechet_distance(torch.from_numpy(points), other, shrink=True) == pytest.approx(30)


def test_a_beat_that_is_to_be_seen_has_a_rise_on_both_sides():
    t = torch.arange(200, dtype=torch.float64) / 60
    for depth, seen in ((0.3, True), (0.02, False)):
        speed = (1.0 + depth * torch.cos(2 * torch.pi * 2 * t))[None] / 60  # two a second
        every, deep = beats.slowest(speed, 60.0), beats.slowest(speed, 60.0, rise=0.1)
        assert every.sum() == 6 and (torch.equal(deep, every) if seen else deep.sum() == 0)
