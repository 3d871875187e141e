"""Returns and advantages on MDPs small enough to do by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.returns import discounted, gae


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def flags(*values):
    return torch.tensor(values)[:, None]


def test_discounted_returns_by_hand():
    reward, ended = column(1.0, 2.0, 4.0, 8.0), flags(False, True, False, False)
    # Two episodes: 1 + 0.5 * 2, 2; and 4 + 0.5 * 8 with nothing after the rollout.
    assert discounted(reward, ended, 0.5)[:, 0].tolist() == [2.0, 2.0, 8.0, 8.0]


def test_n_step_returns_bootstrap_where_the_rollout_ends():
    reward, value, following = column(1.0, 1.0), column(10.0, 20.0), column(20.0, 40.0)
    nothing = flags(False, False)
    found = gae(reward, value, following, nothing, nothing, 0.5, 1.0) + value
    assert found[:, 0].tolist() == [1 + 0.5 * (1 + 0.5 * 40), 1 + 0.5 * 40]


@pytest.mark.parametrize(("terminated", "expected"), [(True, 3.0), (False, 3.0 + 0.5 * 7.0)])
def test_an_end_for_good_is_worth_nothing_and_a_cut_the_final_observations_value(
    terminated, expected
):
    # The second step ends the episode, the third belongs to the next one.
    reward, value = column(1.0, 3.0, 100.0), column(0.0, 0.0, 50.0)
    following = column(0.0, 7.0, 60.0)  # 7: of the final observation, not of the reset one
    over, ended = flags(False, terminated, False), flags(False, True, False)
    returns = gae(reward, value, following, over, ended, 0.5, 1.0) + value
    assert returns[1].item() == expected
    assert returns[0].item() == 1.0 + 0.5 * expected


def test_lambda_0_is_one_step_temporal_difference():
    reward, value, following = column(1.0, 2.0), column(3.0, 4.0), column(4.0, 5.0)
    nothing = flags(False, False)
    found = gae(reward, value, following, nothing, nothing, 0.9, 0.0)
    assert torch.allclose(found, reward + 0.9 * following - value)


def test_gae_by_hand():
    reward, value, following = column(1.0, 1.0), column(0.0, 0.0), column(2.0, 4.0)
    nothing = flags(False, False)
    # delta = 1 + 0.5 * (2, 4) = (2, 3); A_0 = 2 + 0.5 * 0.5 * 3
    found = gae(reward, value, following, nothing, nothing, 0.5, 0.5)
    assert found[:, 0].tolist() == [2.75, 3.0]


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_the_batched_form_is_the_definition(seed, gamma, lam):
    """A_t is the sum over l of (gamma lambda)^l delta_{t+l}, up to the end of the episode."""
    rng = np.random.default_rng(seed)
    steps, rows = 6, 3
    reward, value, following = rng.normal(size=(3, steps, rows))
    terminated = rng.random((steps, rows)) < 0.2
    ended = terminated | (rng.random((steps, rows)) < 0.2)
    expected = np.zeros((steps, rows))
    for b in range(rows):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                next_value = 0.0 if terminated[k, b] else following[k, b]
                expected[t, b] += weight * (reward[k, b] + gamma * next_value - value[k, b])
                weight *= gamma * lam
                if ended[k, b]:
                    break
    tensors = map(torch.as_tensor, (reward, value, following, terminated, ended))
    np.testing.assert_allclose(gae(*tensors, gamma, lam).numpy(), expected, atol=1e-10)
