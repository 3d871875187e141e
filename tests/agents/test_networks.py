"""The network factory: every observation space, and Stable-Baselines3's way of preparing them."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from torch import nn

from agents.networks import (
    IMAGE_FEATURES,
    ActorCritic,
    Encoder,
    NetworkConfig,
    make_encoder,
    prepare,
    prepared_shapes,
)
from tests.needs import needs

OBSERVATIONS = {
    "box": spaces.Box(-1, 1, (3,)),
    "integers": spaces.Box(0, 9, (5, 5, 5), np.int64),
    "image": spaces.Box(0, 255, (36, 40, 3), np.uint8),
    "image, channels first": spaces.Box(0, 255, (3, 36, 40), np.uint8),
    "latent": spaces.Box(-8, 8, (1, 8, 8)),
    "discrete": spaces.Discrete(4, start=2),
    "multidiscrete": spaces.MultiDiscrete([3, 2]),
    "multibinary": spaces.MultiBinary(6),
    "dict": spaces.Dict(
        {"a": spaces.Box(0, 1, (2,)), "b": spaces.Discrete(3),
         "c": spaces.Box(0, 255, (36, 36, 1), np.uint8)}
    ),
    "nested": spaces.Dict({"a": spaces.Dict({"x": spaces.Box(0, 1, (2,)), "y": spaces.Discrete(3)}),
                           "ab": spaces.MultiBinary(2)}),
}  # fmt: skip


def batch(space, rows=7):
    whole = batch_space(space, rows)
    whole.seed(0)

    def tensors(value):
        if isinstance(value, dict):
            return {k: tensors(v) for k, v in value.items()}
        return torch.as_tensor(np.asarray(value))

    return tensors(whole.sample())


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_every_observation_becomes_features_that_gradients_reach(name):
    space = OBSERVATIONS[name]
    model = ActorCritic(space, spaces.Discrete(3), NetworkConfig())
    policy, value = model(batch(space))
    assert policy.log_probs.shape == (7, 1, 3) and value.shape == (7,)
    assert torch.isfinite(value).all()
    (value.sum() + policy.entropy().sum()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_prepared_images_are_channels_first_in_0_to_1():
    space = OBSERVATIONS["image"]
    image = batch(space)
    found = prepare(image, space)
    assert found.shape == (7, 3, 36, 40)
    assert torch.equal(found[0, 1, 5, 6], image[0, 5, 6, 1] / 255)
    assert Encoder(space).features == IMAGE_FEATURES


def test_discrete_observations_are_one_hot_from_their_start():
    found = prepare(torch.tensor([2, 5]), spaces.Discrete(4, start=2))
    assert found.tolist() == [[1, 0, 0, 0], [0, 0, 0, 1]]
    found = prepare(torch.tensor([[2, 1], [0, 0]]), spaces.MultiDiscrete([3, 2]))
    assert found.tolist() == [[0, 0, 1, 0, 1], [1, 0, 0, 1, 0]]


def test_nested_dicts_have_dotted_names():
    assert prepared_shapes(OBSERVATIONS["nested"]) == {"a.x": (2,), "a.y": (3,), "ab": (2,)}


@needs("stable_baselines3", extra="sb3")
@pytest.mark.parametrize("name", [n for n in OBSERVATIONS if n not in ("nested", "image")])
def test_preparing_is_what_stable_baselines3_does(name):
    from stable_baselines3.common.preprocessing import preprocess_obs

    space = OBSERVATIONS[name]
    if isinstance(space, spaces.Dict):  # there, wrappers have moved the channels already
        space = spaces.Dict({k: v for k, v in space.items() if k != "c"})
    if isinstance(space, spaces.Discrete):  # and nothing starts anywhere but at 0
        space = spaces.Discrete(4)
    observation = batch(space)
    mine, theirs = prepare(observation, space), preprocess_obs(observation, space)
    if not isinstance(mine, dict):
        mine, theirs = {"": mine}, {"": theirs}
    assert mine.keys() == theirs.keys()
    for key, value in mine.items():
        assert torch.equal(value.flatten(1), theirs[key].flatten(1).float()), key


def test_float_images_are_scaled_and_nothing_else_is():
    space = spaces.Dict({"latent": OBSERVATIONS["latent"], "time": spaces.Box(-1, 1, (2,))})
    observation = batch(space)
    found = Encoder(space, image_scale=0.5)(prepare(observation, space))
    assert torch.equal(found[:, :64], 0.5 * observation["latent"].flatten(1))
    assert torch.equal(found[:, 64:], observation["time"])


@pytest.mark.parametrize(
    "space",
    [spaces.Text(4), spaces.Tuple([spaces.Discrete(2)]), spaces.OneOf([spaces.Discrete(2)])],
)
def test_other_observations_are_refused_in_words(space):
    with pytest.raises(TypeError, match="agents read Box, Discrete, MultiDiscrete, MultiBinary"):
        prepare(None, space)


def test_observations_that_would_have_one_name_are_refused():
    inner = spaces.Dict({"b": spaces.Box(0, 1, (2,))})
    space = spaces.Dict({"a": inner, "a.b": spaces.Box(0, 1, (3,))})
    with pytest.raises(TypeError, match=r"both be called \['a.b'\]"):
        prepared_shapes(space)


def test_large_pictures_are_averaged_to_the_side_that_is_named():
    space = spaces.Dict({
        "large": spaces.Box(0, 255, (1, 64, 128), np.uint8),
        "small": spaces.Box(0, 255, (1, 8, 8), np.uint8),
    })  # fmt: skip
    encoder = Encoder(space, image_side=8)
    assert encoder.features == 64 + 64 and not encoder.images
    blocks = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    large = blocks.repeat_interleave(8, 2).repeat_interleave(16, 3)
    found = encoder(prepare({"large": large, "small": blocks}, space))
    torch.testing.assert_close(found[:, :64], found[:, 64:])


class Forgetful(nn.Module):
    """Half of what it sees, another half each time."""

    def __init__(self, space):
        super().__init__()
        self.features = 3
        self.layer = nn.Dropout(0.5)

    def forward(self, observation):
        return self.layer(observation)


def test_dropout_is_off_where_an_agent_acts():
    from agents.torch_agent import best_actions

    config = NetworkConfig(network="tests.agents.test_networks:Forgetful")
    torch.manual_seed(0)
    model = ActorCritic(OBSERVATIONS["box"], spaces.Box(-1, 1, (2,)), config)
    observation = batch(OBSERVATIONS["box"])
    first = best_actions(model, observation, {})
    assert all(torch.equal(first, best_actions(model, observation, {})) for _ in range(5))
    assert model.training


class Own(nn.Module):
    def __init__(self, space):
        super().__init__()
        self.features = 5
        self.layer = nn.Linear(3, 5)

    def forward(self, observation):
        return self.layer(observation)


class Featureless(Own):
    def __init__(self, space):
        super().__init__(space)
        del self.features


def test_a_network_of_ones_own_is_named_by_a_string():
    config = NetworkConfig(network="tests.agents.test_networks:Own")
    model = ActorCritic(OBSERVATIONS["box"], spaces.Discrete(2), config)
    assert isinstance(model.encoder, Own)
    assert model(batch(OBSERVATIONS["box"]))[1].shape == (7,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", 'network must be "module:Class"; got'),
        ("tests.agents.test_networks:Missing", "has no attribute 'Missing'"),
        ("no_such_module:Net", "No module named 'no_such_module'"),
        ("tests.agents.test_networks:Featureless", "with an integer `features`"),
    ],
)
def test_a_wrong_network_is_refused_in_words(name, message):
    with pytest.raises(ValueError, match=message):
        make_encoder(OBSERVATIONS["box"], NetworkConfig(network=name))


def test_the_first_policy_is_nearly_uniform_and_the_layers_orthogonal():
    model = ActorCritic(spaces.Box(-1, 1, (8,)), spaces.Discrete(4), NetworkConfig())
    policy, _ = model(torch.randn(100, 8))
    assert (policy.entropy() > np.log(4) - 0.01).all()
    weight = model.pi[2].weight.detach()
    assert torch.allclose(weight @ weight.T, 2 * torch.eye(64), atol=1e-5)
