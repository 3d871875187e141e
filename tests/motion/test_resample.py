"""Claims about motions at other rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.motion import quaternions, resample
from tests.motion import samples


def turning(times: np.ndarray, speed: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A body that goes along x at 2 m/s and turns about z at a steady rate."""
    t = torch.from_numpy(times)
    zero = torch.zeros_like(t)
    root = torch.stack([2 * t, zero, zero], -1)
    return root, quaternions.exponential(torch.stack([zero, zero, speed * t], -1))[:, None]


@given(samples.seeds, st.sampled_from([24.0, 30.0, 60.0]))
def test_a_steady_motion_stays_steady_whatever_its_frame_times(seed, fps):
    times = np.concatenate([[0], np.cumsum(np.random.default_rng(seed).uniform(0.01, 0.07, 30))])
    root, rotations = turning(times, 3.0)
    near, turned = resample.evenly(torch.from_numpy(times), root, rotations, fps)
    wanted = np.arange(len(near)) / fps
    assert len(near) == math.floor(times[-1] * fps) + 1
    expected, angles = turning(wanted, 3.0)
    assert torch.allclose(near, expected, atol=1e-9)
    assert quaternions.angle(turned, angles).max() < 1e-7


def test_a_clip_of_a_second_has_31_frames_at_30_fps():
    """Sixty frames of 1/60 s, rounded as files round them."""
    times = torch.arange(61, dtype=torch.float64) * 0.016666
    near, _ = resample.evenly(times, torch.zeros(61, 3), torch.zeros(61, 1, 4) + 0.5, 30)
    assert len(near) == 30  # 0.99996 s are no second
    near, _ = resample.evenly(
        times / times[-1], torch.zeros(61, 3), torch.zeros(61, 1, 4) + 0.5, 30
    )
    assert len(near) == 31


@given(samples.seeds)
def test_rows_of_different_lengths_are_filled_up_with_their_last_frame(seed):
    rng = np.random.default_rng(seed)
    root, rotations = samples.motion(seed, 2, 9)
    times = torch.from_numpy(np.cumsum(rng.uniform(0.01, 0.1, (2, 9)), 1))
    times[1, 5:], root[1, 5:], rotations[1, 5:] = times[1, 4], root[1, 4:5], rotations[1, 4:5]
    wanted = torch.from_numpy(rng.uniform(-0.1, 1.2, (2, 20)))
    near, turned = resample.at(times, root, rotations, wanted)
    for row, length in ((0, 9), (1, 5)):
        part = [x[row : row + 1, :length] for x in (times, root, rotations)]
        alone = resample.at(*part, wanted[row : row + 1])
        assert torch.allclose(near[row], alone[0][0], atol=1e-6)
        assert (quaternions.angle(turned[row], alone[1][0]) < 2e-3).all()
        beyond = wanted[row] > times[row, length - 1]
        assert torch.allclose(near[row][beyond], root[row, length - 1])


def test_one_frame_is_a_motion_that_stands_still():
    one = resample.at(
        torch.zeros(1, 1), torch.ones(1, 1, 3), torch.tensor([[[[1.0, 0, 0, 0]]]]), torch.rand(1, 4)
    )
    assert one[0].shape == (1, 4, 3) and (one[0] == 1).all() and (one[1][..., 0] == 1).all()


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match=r"must agree in \[B, T\]"):
        resample.at(
            torch.zeros(1, 2), torch.zeros(1, 3, 3), torch.zeros(1, 2, 1, 4), torch.zeros(1, 1)
        )
