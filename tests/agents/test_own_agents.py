"""What the agents of ours learn, on every kind of space, and how GRPO's groups are made."""

import numpy as np
import pytest
import torch

import agents
import genenvs
from agents import training
from agents.evaluation import Policy
from agents.grpo import (
    GRPO,
    GroupPlayer,
    Groups,
    GRPOConfig,
    clipped,
    group_advantage,
    step_advantage,
)
from agents.problem import Problem
from agents.returns import discounted
from agents.run import Run
from tests.agents.problems import KINDS, env_id, single

OWN = ("actor_critic", "reinforce", "grpo")
QUICK = {
    "actor_critic": {"num_envs": 16, "learning_rate": 0.005, "optimizer": "adam"},
    "reinforce": {"num_envs": 16, "n_steps": 16, "learning_rate": 0.02},
    "grpo": {"num_groups": 4, "group_size": 8, "learning_rate": 0.01},
}


def mean_return(trained, episodes=64):
    envs = trained.problem.make(episodes)
    return genenvs.evaluate(envs, Policy(trained.agent), episodes=episodes).interval("return").mean


@pytest.mark.parametrize("agent", OWN)
@pytest.mark.parametrize("name", KINDS)
def test_every_agent_trains_on_every_kind_of_space(agent, name):
    found = agents.train(agent, env_id(name), steps=600, config=QUICK[agent])
    assert found.steps >= 600 and any("return" in row for row in found.curve)
    assert all(torch.isfinite(v).all() for v in found.agent.state().values())
    mean_return(found, 8)


@pytest.mark.parametrize("agent", OWN)
@pytest.mark.parametrize(
    ("name", "random", "steps"), [("Picture", 2.0, 2_000), ("Grid", None, 50_000)]
)
def test_every_agent_learns(agent, name, random, steps):
    found = agents.train(agent, env_id(name), steps=steps, config=QUICK[agent])
    if random is None:
        envs = found.problem.make(64)
        random = genenvs.evaluate(envs, "random", episodes=64).interval("return").mean
        best = genenvs.evaluate(envs, "reference", episodes=64).interval("return").mean
    else:
        best = 2 * random
    share = (mean_return(found) - random) / (best - random)
    assert share > 0.6, f"{agent} reached {share:.2f} of the way from random to the best"


@pytest.mark.parametrize("agent", OWN)
def test_every_agent_trains_on_other_peoples_environments(agent):
    found = agents.train(agent, single(), steps=1_500, config=QUICK[agent])
    assert mean_return(found) > 1.5  # 2 at best, 1 at random


@pytest.mark.parametrize("agent", OWN)
def test_a_loaded_agent_acts_as_the_one_that_was_saved(agent, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "draw", lambda *arguments: None)
    found = agents.train(agent, env_id("Network"), steps=400, config=QUICK[agent], out=tmp_path)
    loaded = agents.load(tmp_path)
    observation, info = found.problem.make(32).reset(seed=0)
    assert torch.equal(loaded.agent.act(observation, info), found.agent.act(observation, info))
    assert loaded.name == agent and loaded.curve == found.curve


@pytest.mark.parametrize("agent", OWN)
def test_only_legal_actions_are_taken(agent):
    found = agents.train(agent, env_id("Grid"), steps=300, config=QUICK[agent])
    envs = found.problem.make(64)
    observation, info = envs.reset(seed=0)
    for _ in range(20):
        action = found.agent.act(observation, info)
        assert info["action_mask"].gather(1, action[:, None]).all()
        observation, _, _, _, info = envs.step(action)


# --- groups ---


def test_advantages_are_relative_to_the_group():
    returns = torch.tensor([1.0, 3.0, 10.0, 10.0, 0.0, 4.0])
    centred, alike = group_advantage(returns, 2, divide_by_std=False)
    assert centred.tolist() == [-1, 1, 0, 0, -2, 2]
    assert alike.item() == pytest.approx(1 / 3)
    scaled, _ = group_advantage(returns, 2, divide_by_std=True)
    assert scaled.tolist() == pytest.approx([-1, 1, 0, 0, -1, 1], abs=1e-5)


def test_a_group_of_float_noise_teaches_nothing():
    returns = torch.full((4,), 0.1) * 3
    assert group_advantage(returns, 4, True)[0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("divide", [True, False])
@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.0])
def test_steps_are_compared_by_what_comes_from_them_on(divide, gamma):
    rng = np.random.default_rng(3)
    lengths = np.array([3, 1, 5, 2, 2, 2])
    inside = np.arange(5)[:, None] < lengths
    reward = rng.normal(size=(5, 6)) * inside
    reward[:, 4:] = 0.1 * inside[:, 4:]  # a group that is paid alike
    found, alike = step_advantage(
        torch.from_numpy(reward), torch.from_numpy(inside), 2, gamma, divide
    )
    coming = np.array([
        [sum(gamma ** (j - t) * reward[j, k] for j in range(t, 5)) for k in range(6)]
        for t in range(5)
    ])  # fmt: skip
    for first in (0, 2):
        pair = slice(first, first + 2)
        expected = (coming[:, pair] - coming[:, pair].mean(1, keepdims=True)) * inside[:, pair]
        spread = np.sqrt((expected**2).sum() / inside[:, pair].sum())
        expected = expected / (spread + 1e-6) if divide else expected
        np.testing.assert_allclose(found[:, pair], expected, atol=1e-12)
    assert (found[:, 4:] == 0).all() and alike.item() == pytest.approx(1 / 3)


def test_an_episode_that_earns_by_going_on_is_the_better_one():
    reward = torch.tensor([[1.0, 1.0], [0.0, 0.2], [0.0, 0.2]])
    alive = torch.tensor([[True, True], [False, True], [False, True]])
    advantage, _ = step_advantage(reward, alive, 2, 1.0, True)
    assert advantage[0, 1] > 0 > advantage[0, 0] and (advantage[1:, 1] > 0).all()


def test_the_clipped_surrogate_by_hand():
    ratio, advantage = torch.tensor([1.5, 0.5, 1.5, 0.5]), torch.tensor([1.0, 1.0, -1.0, -1.0])
    # What would gain is bounded by the clip, what loses is not.
    assert clipped(ratio, advantage, 0.2).item() == pytest.approx(-(1.2 + 0.5 - 1.5 - 0.8) / 4)


def test_groups_of_one_are_an_error():
    with pytest.raises(ValueError, match=r"group_size must be at least 2, .*; got 1"):
        agents.train("grpo", env_id("Grid"), steps=10, config={"group_size": 1})


def collected(name, **config):
    problem = Problem(name)
    player = GroupPlayer(problem, GRPOConfig(**({"num_groups": 3, "group_size": 4} | config)))
    player.begin(0)
    torch.manual_seed(0)
    return problem, player, GRPO(problem, GRPOConfig(hidden=(8,))).model


def first_rows(groups):
    """What is seen at the first step, [groups, members, numbers]."""
    observation = groups.observation
    parts = observation.values() if isinstance(observation, dict) else [observation]
    return torch.cat([part[0].reshape(12, -1).float() for part in parts], 1).reshape(3, 4, -1)


@pytest.mark.parametrize("name", [env_id("Grid"), env_id("Network"), "CartPole-v1"])
def test_members_of_a_group_start_from_one_state_and_groups_do_not(name):
    _, player, model = collected(name)
    first, again = first_rows(player.collect(model)), first_rows(player.collect(model))
    assert (first == first[:, :1]).all()
    assert len({tuple(row.tolist()) for row in first[:, 0]}) > 1
    assert not torch.equal(again, first), "the next batch has other states"


def test_groups_are_whole_episodes_and_their_returns_add_up():
    problem, player, model = collected(env_id("Grid"), gamma=0.5)
    groups = player.collect(model)
    lengths = groups.alive.sum(0)
    assert groups.alive[0].all() and (lengths <= 8).all() and lengths.max() == len(groups.alive)
    # An episode does not come back to life.
    assert (groups.alive[1:] <= groups.alive[:-1]).all()
    # Replayed by hand, in a branch of the same groups.
    envs = problem.make(3)
    envs.reset(seed=problem.env_seed())
    branch = envs.branch(4)
    returns, alive = torch.zeros(12), torch.ones(12, dtype=torch.bool)
    for t, action in enumerate(groups.action):
        assert torch.equal(groups.alive[t], alive)
        _, reward, terminated, truncated, _ = branch.step(action[:, 0])
        returns += 0.5**t * reward * alive
        ended = terminated | truncated
        alive = alive & ~ended
        if ended.any() and alive.any():
            branch.reset(options={"reset_mask": ended})
    assert torch.allclose(groups.returns, returns)
    assert (groups.reward[~groups.alive] == 0).all()
    assert torch.allclose(discounted(groups.reward, ~groups.alive, 0.5)[0], returns)
    assert player.episodes().count == 12


def test_the_ratio_is_exactly_one_at_the_first_update():
    problem, player, _ = collected(env_id("Network"))
    agent = GRPO(problem, GRPOConfig(hidden=(8,), group_size=4, epochs=3, learning_rate=0.1))
    losses = []

    class Look(Run):
        def log(self, **values):
            losses.append(values)

    groups = player.collect(agent.model)
    agent.improve(Look(0, 100), groups)
    # With every ratio 1, the loss is minus the mean of the advantages, to the bit.
    advantage, _ = group_advantage(groups.returns, 4, divide_by_std=True)
    expected = -advantage.expand_as(groups.alive).flatten()[groups.alive.flatten()].mean()
    assert torch.equal(losses[0]["policy_loss"], expected)
    assert losses[0]["clipped"] == 0.0 and losses[0]["kl"] == 0.0
    assert losses[1]["policy_loss"] < losses[0]["policy_loss"] and losses[1]["kl"] > 0.0


def test_a_batch_in_parts_is_learned_from_once_a_pass(monkeypatch):
    problem, player, _ = collected(env_id("Network"))
    config = GRPOConfig(hidden=(8,), group_size=4, epochs=2, batch_size=20, supervision="process")
    agent = GRPO(problem, config)
    seen, worth, policy = [], [], agent.model.policy

    class Heard:
        """A distribution; whose probability is asked for is told."""

        def __init__(self, made, tell):
            self.made, self.tell = made, tell
            self.kl, self.entropy = made.kl, made.entropy

        def log_prob(self, action):
            self.tell(action)
            return self.made.log_prob(action)

    def rows(observation, action, advantage):
        return torch.cat(
            [*(x.reshape(len(x), -1) for x in observation.values()), action, advantage], 1
        )

    def look(observation, mask):
        made = policy(observation, mask)
        if torch.is_grad_enabled():
            return Heard(made, lambda action: seen.append((observation, action)))
        return made

    def weighed(ratio, advantage, clip):
        worth.append(advantage)
        return clipped(ratio, advantage, clip)

    groups = player.collect(agent.model)
    monkeypatch.setattr(agent.model, "policy", look)
    monkeypatch.setattr("agents.grpo.clipped", weighed)
    agent.improve(Run(0, 100), groups)
    alive = groups.alive.flatten()
    advantage, _ = agent.advantage(groups)
    whole = rows(
        {k: v.flatten(0, 1)[alive] for k, v in groups.observation.items()},
        groups.action.flatten(0, 1)[alive],
        advantage.flatten()[alive][:, None],
    )
    parts = [rows(*own, w[:, None]) for own, w in zip(seen, worth, strict=True)]
    count = round(len(whole) / 20)
    assert count > 1 and len(parts) == 2 * count
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for once in (parts[:count], parts[count:]):
        assert sorted(torch.cat(once).tolist()) == sorted(whole.tolist())


def test_where_steps_are_paid_comparing_steps_learns_sooner():
    scores = {}
    for supervision, gamma in (("outcome", 1.0), ("process", 0.0)):
        config = QUICK["grpo"] | {"num_groups": 2, "group_size": 4, "gamma": gamma}
        config |= {"supervision": supervision, "batch_size": 16}
        runs = [
            agents.train("grpo", env_id("Picture"), steps=600, seed=seed, config=config)
            for seed in range(3)
        ]
        scores[supervision] = np.mean([row["return"] for run in runs for row in run.curve])
    assert 4 - scores["process"] < 0.6 * (4 - scores["outcome"]), scores  # 4 is the most


def test_kl_to_the_reference_is_zero_at_first_and_holds_the_policy_back():
    runs = {}
    for coefficient in (0.0, 3.0):
        config = QUICK["grpo"] | {"kl_coef": coefficient}
        found = agents.train("grpo", env_id("Picture"), steps=1_500, config=config)
        runs[coefficient] = [row["kl"] for row in found.curve]
    assert runs[0.0][0] < 0.05
    assert runs[3.0][-1] < 0.5 * runs[0.0][-1]


def test_a_flat_batch_changes_no_weight():
    problem, player, _ = collected(env_id("Endless"))
    agent = GRPO(problem, GRPOConfig(hidden=(8,), group_size=4, epochs=3))
    before = {k: v.clone() for k, v in agent.model.state_dict().items()}
    groups = player.collect(agent.model)
    assert isinstance(groups, Groups) and (groups.returns == 4.0).all()
    agent.improve(Run(0, 100), groups)
    for name, value in agent.model.state_dict().items():
        assert torch.equal(value, before[name]), name
