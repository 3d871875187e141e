"""Distributions against closed forms, torch's own, and the spaces of Gymnasium."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import Categorical, Normal, kl_divergence

from agents.distributions import Actions

SPACES = [
    spaces.Discrete(5),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([3, 2, 4]),
    spaces.MultiDiscrete([3, 2], start=[1, 5]),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 3]),
    spaces.Box(-1, 1, (3,)),
    spaces.Box(-2, 2, (2, 2), np.float64),
]


def distribution(space, rows=64, mask=None, seed=0):
    torch.manual_seed(seed)
    actions = Actions(space)
    outputs = torch.randn(rows, actions.outputs)
    return actions, actions.distribution(outputs, torch.zeros(actions.outputs), mask), outputs


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_samples_and_modes_lie_in_the_space(space):
    actions, policy, _ = distribution(space)
    for drawn in (policy.sample(), policy.mode()):
        taken = actions.to_env(drawn).numpy()
        assert taken.shape == (64, *space.shape)
        for row in taken:
            row = np.clip(row, space.low, space.high) if actions.continuous else row
            assert space.contains(np.asarray(row, dtype=space.dtype)[()]), row


def test_log_probabilities_of_several_choices_add_up():
    space = spaces.MultiDiscrete([3, 2, 4])
    _, policy, outputs = distribution(space)
    action = policy.sample()
    parts = [Categorical(logits=each) for each in outputs.split([3, 2, 4], 1)]
    expected = sum(part.log_prob(action[:, d]) for d, part in enumerate(parts))
    assert torch.allclose(policy.log_prob(action), expected, atol=1e-6)
    assert torch.allclose(policy.entropy(), sum(p.entropy() for p in parts), atol=1e-5)


def test_masked_log_probabilities_are_those_of_the_legal_choices_alone():
    space = spaces.Discrete(4)
    mask = torch.tensor([[True, False, True, False]])
    policy = Actions(space).distribution(torch.tensor([[0.0, 9.0, np.log(3.0), 9.0]]), mask=mask)
    legal = policy.log_prob(torch.tensor([[2]]))
    assert legal.item() == pytest.approx(np.log(3 / 4))
    assert policy.entropy().item() == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)))
    assert policy.log_probs.exp()[0, 0, [1, 3]].tolist() == [0.0, 0.0]
    drawn = Actions(space).distribution(torch.zeros(2000, 4), mask=mask.expand(2000, 4)).sample()
    assert set(drawn.flatten().tolist()) == {0, 2}


def test_a_mask_leaves_no_gradient_on_what_is_illegal():
    outputs = torch.zeros(1, 3, requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    policy = Actions(spaces.Discrete(3)).distribution(outputs, mask=mask)
    (policy.log_prob(torch.tensor([[0]])) + policy.entropy()).sum().backward()
    assert torch.isfinite(outputs.grad).all() and outputs.grad[0, 2] == 0
    assert outputs.grad[0, 0] > 0


def test_masks_of_bits_are_in_the_flat_layout_of_sb3_contrib():
    # Two entries a bit: may be 0, may be 1.
    mask = torch.tensor([[True, False, False, True, True, True]]).expand(500, -1)
    drawn = Actions(spaces.MultiBinary(3)).distribution(torch.zeros(500, 6), mask=mask).sample()
    assert drawn[:, 0].unique().tolist() == [0]
    assert drawn[:, 1].unique().tolist() == [1]
    assert drawn[:, 2].unique().tolist() == [0, 1]


def test_samples_follow_the_probabilities():
    torch.manual_seed(0)
    outputs = torch.tensor([0.1, 0.2, 0.7]).log().expand(20_000, 3)
    drawn = Actions(spaces.Discrete(3)).distribution(outputs).sample().flatten()
    shares = torch.bincount(drawn, minlength=3) / len(drawn)
    assert torch.allclose(shares, torch.tensor([0.1, 0.2, 0.7]), atol=0.015)


def test_normals_are_torchs_and_a_standard_normal_has_entropy_one_point_four():
    torch.manual_seed(0)
    mean, log_std = torch.randn(8, 3), torch.tensor([-0.5, 0.0, 0.3])
    policy = Actions(spaces.Box(-1, 1, (3,))).distribution(mean, log_std)
    theirs = Normal(mean, log_std.exp())
    action = policy.sample()
    assert torch.allclose(policy.log_prob(action), theirs.log_prob(action).sum(1), atol=1e-5)
    assert torch.allclose(policy.entropy(), theirs.entropy().sum(1), atol=1e-5)
    standard = Actions(spaces.Box(-1, 1, (1,))).distribution(torch.zeros(1, 1), torch.zeros(1))
    assert standard.entropy().item() == pytest.approx(1.4189385)


@pytest.mark.parametrize("space", SPACES[:1] + SPACES[-2:], ids=str)
def test_kl_is_zero_to_itself_and_positive_else(space):
    _, policy, _ = distribution(space)
    _, other, _ = distribution(space, seed=1)
    assert torch.equal(policy.kl(policy), torch.zeros(64))
    assert (policy.kl(other) > 0).all()


def test_kl_by_closed_forms():
    coin = Actions(spaces.Discrete(2))
    fair = coin.distribution(torch.tensor([[0.5, 0.5]]).log())
    bent = coin.distribution(torch.tensor([[0.9, 0.1]]).log())
    assert fair.kl(bent).item() == pytest.approx(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1))
    box = Actions(spaces.Box(-1, 1, (1,)))
    a = box.distribution(torch.tensor([[1.0]]), torch.tensor([0.0]))
    b = box.distribution(torch.tensor([[3.0]]), torch.tensor([np.log(2.0)], dtype=torch.float32))
    # log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2
    assert a.kl(b).item() == pytest.approx(np.log(2) + (1 + 4) / 8 - 0.5)
    assert torch.allclose(
        a.kl(b), kl_divergence(Normal(1.0, 1.0), Normal(3.0, 2.0)).reshape(1), atol=1e-6
    )


def test_the_kl_of_masked_policies_is_finite():
    mask = torch.tensor([[True, True, False]])
    actions = Actions(spaces.Discrete(3))
    a = actions.distribution(torch.tensor([[0.0, 1.0, 2.0]]), mask=mask)
    b = actions.distribution(torch.tensor([[1.0, 0.0, -9.0]]), mask=mask)
    p, q = torch.softmax(torch.tensor([0.0, 1.0]), 0), torch.softmax(torch.tensor([1.0, 0.0]), 0)
    assert a.kl(b).item() == pytest.approx((p * (p / q).log()).sum().item())


@pytest.mark.parametrize(
    "space", [spaces.Box(0, 255, (4,), np.uint8), spaces.Text(3), spaces.Dict({})], ids=str
)
def test_other_spaces_are_refused_in_words(space: gym.Space):
    with pytest.raises(TypeError, match=r"acts in Box \(of floats\), Discrete, MultiDiscrete and"):
        Actions(space)
