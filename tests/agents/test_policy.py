"""A policy apart from its training acts as the agent did."""

import numpy as np
import pytest
import torch

import agents
from agents import checkpoint, policy
from agents.evaluation import score

SMALL = {"hidden": (8,), "num_envs": 2}
KINDS = {
    "ppo": ("CartPole-v1", SMALL | {"n_steps": 16, "batch_size": 16}),
    "dqn": ("CartPole-v1", SMALL | {"buffer_size": 64, "learning_starts": 10}),
    "sac": ("Pendulum-v1", SMALL | {"buffer_size": 64, "learning_starts": 10}),
    "actor_critic": ("CartPole-v1", SMALL | {"n_steps": 16}),
    "maskable_ppo": ("CartPole-v1", SMALL | {"n_steps": 16, "batch_size": 16}),
}


def train(agent: str):
    env, config = KINDS[agent]
    return agents.train(agent, env, steps=64, config=config)


@pytest.mark.parametrize("agent", KINDS)
def test_it_acts_as_the_agent_that_was_trained(agent, tmp_path):
    trained = train(agent)
    policy.save(trained, tmp_path / "p.safetensors")
    made = policy.load(tmp_path / "p.safetensors")
    found, again = (score(each, episodes=3).evaluation.episodes for each in (trained, made))
    np.testing.assert_array_equal(found["return"], again["return"])


@pytest.mark.parametrize(
    ("agent", "parts"),
    [
        ("sac", {"actor"}),
        ("ppo", {"mlp_extractor.policy_net", "action_net"}),
        ("actor_critic", {"pi"}),
    ],
)
def test_what_only_learning_needs_is_left_out(agent, parts, tmp_path):
    policy.save(train(agent), tmp_path / "p.safetensors")
    tensors, _ = checkpoint.load(tmp_path / "p.safetensors")
    assert all(any(name.startswith(f"network.{part}.") for part in parts) for name in tensors)


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "p.safetensors"
    policy.save(train("actor_critic"), path)
    return path


def rewrite(path, tensors=None, **facts):
    old, record = checkpoint.load(path)
    checkpoint.save(path, old if tensors is None else tensors, record | facts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"agent": "os:system"}, "os:system"),
        ({"agent": "nobody"}, "nobody"),
        ({"config": {"network": "os:system"}}, "os:system"),
        ({"config": {"hidden": [10**6, 10**6]}}, "does not hold the layers"),
        ({"env": "os:Thing-v0"}, "os:Thing-v0"),
        ({"env": "Acrobot-v1"}, "does not fit"),
        ({"config": None}, "'config'"),
        ({"tensors": {"network.a": torch.zeros(64)}}, "does not fit"),
    ],
    ids=str,
)
def test_what_a_file_says_is_not_believed(kept, change, said):
    rewrite(kept, **change)
    with pytest.raises(ValueError, match=said):
        policy.load(kept)


def test_a_file_that_is_cut_short_is_told(kept):
    kept.write_bytes(kept.read_bytes()[:-10])
    with pytest.raises(ValueError, match="no checkpoint"):
        policy.load(kept)
    kept.unlink()
    with pytest.raises(ValueError, match="no policy"):
        policy.load(kept)
