"""One network for all actions: what is described alike is scored alike, in every agent."""

import pytest
import torch
from gymnasium import spaces

import agents
from agents import training
from agents.choices import Choices
from agents.networks import ActorCritic, Columns, NetworkConfig

SPACE = spaces.Dict(
    {
        "choices": spaces.Box(-1, 1, (5, 3)),
        "numbers": spaces.Box(-1, 1, (2,)),
        "pool": spaces.Box(0, 1, (4, 4)),
    }
)
CONFIG = NetworkConfig(hidden=(8,), network="agents.choices:Choices")


def seen(rows=6):
    return {name: torch.rand(rows, *part.shape) for name, part in SPACE.items()}


def test_rows_that_say_the_same_have_the_same_logit_wherever_they_stand():
    net = Choices(SPACE)
    given = seen()
    turned = given | {"choices": given["choices"].roll(1, 1)}
    logits = net(given)[:, :5]
    torch.testing.assert_close(net(turned)[:, :5], logits.roll(1, 1))
    with torch.no_grad():
        net.own[2] = torch.randn(net.own.shape[1])  # what the row of an action does not say
    assert (net(given)[:, :5] != logits).any(0).tolist() == [False, False, True, False, False]


def test_policy_and_value_read_it_and_nothing_else():
    model = ActorCritic(SPACE, spaces.Discrete(5), CONFIG)
    given = seen()
    policy, value = model(given)
    logits = model.encoder(given)[:, :5]
    torch.testing.assert_close(policy.log_probs[:, 0, :5], logits.log_softmax(1))
    other = model(given | {"pool": torch.zeros(6, 4, 4)})
    assert torch.equal(other[1], value)
    (value.sum() + policy.entropy().sum()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"one for each of 4 outputs.*got 5 logits in 13"):
        ActorCritic(SPACE, spaces.Discrete(4), CONFIG)
    for space in (spaces.Box(0, 1, (3,)), spaces.Dict({"choices": spaces.Box(0, 1, (3,))})):
        with pytest.raises(ValueError, match="needs a Dict with a Box 'choices'"):
            Choices(space)


@pytest.mark.parametrize(
    ("agent", "env"),
    [
        ("maskable_ppo", "genenvs/ClipEdit-v0"),
        ("ppo", "genenvs/ShotAttributes-v0"),
        ("actor_critic", "genenvs/ShotAttributes-v0"),
    ],
)
def test_agents_train_it(agent, env, monkeypatch):
    monkeypatch.setattr(training, "draw", lambda *arguments: None)
    config = {"network": "agents.choices:Choices", "num_envs": 4, "n_steps": 8, "hidden": [8]}
    if "ppo" in agent:
        config["batch_size"] = 16
    found = agents.train(agent, env, steps=64, config=config)
    model = found.agent.model
    encoder = model.policy.features_extractor.encoder if "ppo" in agent else model.encoder
    assert isinstance(encoder, Choices) and encoder.own.abs().sum() > 0  # zero at first
    if "ppo" in agent:
        assert isinstance(model.policy.action_net[0], Columns)
    envs = found.problem.make(3)
    observation, info = envs.reset(seed=0)
    action = found.agent.act(observation, info)
    envs.step(action)
