"""The policy and the agent of PrimitiveModel's claim."""

from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.problem import Problem
from benchmarks.claims import pairs
from benchmarks.claims.primitive_agent import Evolution, EvolutionConfig, Pairs
from benchmarks.claims.primitive_policy import Bent, packed_target
from genenvs.tasks.primitive_model.survey import fold

ENV = "genenvs/PrimitiveModel-v0"
SMALL = {"targets": "table", "horizon": 30}


def test_without_weights_the_policy_is_the_expert():
    envs = gym.make_vec(ENV, num_envs=8, output="torch", targets="aeroplane", horizon=60)
    observation, _ = envs.reset(seed=0)
    policy, inner = Bent(), envs.unwrapped
    policy.theta.data.zero_()
    for _ in range(59):
        words = packed_target(observation["target"])
        gain, _ = policy.sight(observation, words)
        torch.testing.assert_close(gain, inner.task._gains(inner.state), atol=1e-6, rtol=0)
        action = inner.reference_action()
        assert torch.equal(policy.best(observation), action)
        observation, *_ = envs.step(action)
    assert torch.equal(words, fold(observation["target"] > 0))


def test_weights_bend_what_is_done_and_what_is_judged_alike():
    envs = gym.make_vec(ENV, num_envs=16, output="torch", targets="chair")
    observation, _ = envs.reset(seed=0)
    policy = Bent()
    policy.theta.data[:] = torch.randn(36, generator=torch.Generator().manual_seed(0))
    mine = policy.best(observation)
    assert not torch.equal(mine, envs.unwrapped.reference_action())
    logs, _ = policy.judge(observation, None, mine[:, None])
    other, _ = policy.judge(observation, None, envs.unwrapped.reference_action()[:, None])
    assert bool((logs >= other).all()) and bool((logs > other).any())
    logs.sum().backward()
    assert bool(policy.theta.grad.isfinite().all()) and float(policy.theta.grad.abs().max()) > 0


def test_equal_weights_earn_the_same_on_the_same_targets():
    config = EvolutionConfig(directions=2, targets=3)
    player, policy = Pairs(Problem(ENV, SMALL), config), Bent()
    player.begin(0)
    theta = torch.randn(1, 36, generator=torch.Generator().manual_seed(0)).repeat(4, 1)
    theta[3] = 0
    with torch.no_grad():
        found = player.play(policy, theta)
    assert found[0] == found[1] == found[2] != found[3]
    assert player.episodes().count == 12 and player.episodes().count == 0


def test_evolution_goes_where_returns_are_higher(monkeypatch):
    wanted = torch.linspace(-1, 1, 36)
    monkeypatch.setattr(Pairs, "play", lambda self, model, theta: -(theta - wanted).square().sum(1))
    agent = Evolution(Problem(ENV, SMALL), EvolutionConfig(learning_rate=0.1, targets=1))
    before = float((agent.model.theta.detach() - wanted).norm())
    steps = iter(range(200))
    agent.learn(
        SimpleNamespace(
            attach=lambda player: None, going=lambda: next(steps, None) is not None,
            advance=lambda n: None, log=lambda **values: None,
        )
    )  # fmt: skip
    assert float((agent.model.theta.detach() - wanted).norm()) < 0.3 * before
    again = Evolution(agent.problem, agent.config, agent.state())
    assert torch.equal(again.model.theta, agent.model.theta)
    assert torch.equal(again.as_taught().model.theta, agent.taught)


def test_differences_are_of_the_same_targets():
    def found(instances, values):
        final = SimpleNamespace(instance=torch.tensor(instances))
        return SimpleNamespace(final=final, episodes={"iou": np.array(values)})

    one, two = found([3, 5], [0.5, 0.75]), found([3, 5], [0.25, 0.75])
    assert pairs.gap(one, two, "iou").tolist() == [0.25, 0.0]
    with pytest.raises(ValueError, match="same instances"):
        pairs.gap(one, found([5, 3], [0.75, 0.25]), "iou")
