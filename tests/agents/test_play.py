"""Playing: what a rollout holds, at truncations above all, in our environments and in others'."""

from dataclasses import replace
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import nn

import agents
from agents.actor_critic import ActorCriticConfig, a2c_loss
from agents.networks import ActorCritic, NetworkConfig
from agents.play import Episodes, Player
from agents.problem import Problem
from tests.agents.problems import KINDS, env_id, single


def model_of(problem, seed=0):
    torch.manual_seed(seed)
    return ActorCritic(*problem.spaces, NetworkConfig(hidden=(8,)))


class Clock(nn.Module):
    """A critic that knows the step: it says 100 + step, so that one sees whose value it is."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def value(self, observation):
        return 100.0 + observation.argmax(1)

    def forward(self, observation, mask=None):
        return self.model.policy(observation, mask), self.value(observation)


def test_a_truncated_step_leads_to_the_final_observation_not_to_the_reset_one():
    problem = Problem(env_id("Clocked"))
    player = Player(problem, 2)
    player.begin(0)
    rollout = player.collect(Clock(model_of(problem)), 6)
    # Episodes of four steps: the state after the fourth is that of step 4, then it begins anew.
    assert rollout.value[:, 0].tolist() == [100, 101, 102, 103, 100, 101]
    assert rollout.next_value[:, 0].tolist() == [101, 102, 103, 104, 101, 102]
    assert rollout.ended[:, 0].tolist() == [False, False, False, True, False, False]
    assert not rollout.terminated.any()


def test_a_termination_is_one_and_its_next_value_is_never_used():
    problem = Problem(env_id("Ending"))
    player = Player(problem, 2)
    player.begin(0)
    model = model_of(problem)
    rollout = player.collect(model, 4)
    assert rollout.terminated[-1].all() and torch.equal(rollout.terminated, rollout.ended)
    config = ActorCriticConfig()
    loss, _ = a2c_loss(model, rollout, config)
    poisoned = rollout.next_value.clone()
    poisoned[-1] = 1e6
    again, _ = a2c_loss(model, replace(rollout, next_value=poisoned), config)
    assert torch.equal(loss, again)


def test_a_rollout_is_what_happened():
    problem = Problem(env_id("Grid"))
    player, shadow = Player(problem, 3), problem.make(3)
    player.begin(0)
    observation, info = shadow.reset(seed=problem.env_seed())
    model = model_of(problem)
    rollout = player.collect(model, 20)
    for t in range(20):
        assert torch.equal(rollout.observation[t], observation)
        assert torch.equal(rollout.mask[t], info["action_mask"])
        policy, value = model(observation, info["action_mask"])
        assert torch.allclose(rollout.log_prob[t], policy.log_prob(rollout.action[t]), atol=1e-5)
        assert torch.allclose(rollout.value[t], value, atol=1e-5)
        observation, reward, terminated, truncated, info = shadow.step(rollout.action[t][:, 0])
        assert torch.equal(rollout.reward[t], reward)
        assert torch.equal(rollout.ended[t], terminated | truncated)
    assert rollout.mask.gather(2, rollout.action).all(), "an illegal action was sampled"


def test_values_of_endless_and_ending_episodes_are_learned_as_they_are():
    """V of a truncated episode is that of one that goes on: 1 / (1 - 0.5) = 2 everywhere."""
    config = {"gamma": 0.5, "learning_rate": 0.01, "optimizer": "adam", "num_envs": 16}
    clock = torch.eye(5)[:4]
    found = agents.train("actor_critic", env_id("Endless"), steps=20_000, config=config)
    assert torch.allclose(found.agent.model.value(clock), torch.full((4,), 2.0), atol=0.05)
    found = agents.train("actor_critic", env_id("Ending"), steps=20_000, config=config)
    expected = torch.tensor([1.875, 1.75, 1.5, 1.0])
    assert torch.allclose(found.agent.model.value(clock), expected, atol=0.05)


def test_rewards_are_scaled_and_reported_returns_are_not():
    problem = Problem(env_id("Endless"))
    player = Player(problem, 2, reward_scale=10.0)
    player.begin(0)
    rollout = player.collect(model_of(problem), 8)
    assert (rollout.reward == 10.0).all()
    assert player.episodes() == Episodes(4, 16.0, 16.0)
    assert player.episodes() == Episodes()


@pytest.mark.parametrize("name", KINDS)
def test_a_snapshot_goes_on_as_if_nothing_had_been(name):
    problem = Problem(env_id(name))
    model = model_of(problem)
    player = Player(problem, 4)
    player.begin(0)
    player.collect(model, 3)
    kept = player.snapshot(1)
    kept = {k: v.clone() for k, v in kept.items()}
    torch.manual_seed(5)
    first = player.collect(model, 10)
    other = Player(problem, 4)
    other.restore(kept, 1)
    torch.manual_seed(5)
    second = other.collect(model, 10)
    assert torch.equal(first.reward, second.reward) and torch.equal(first.action, second.action)
    assert torch.equal(first.next_value, second.next_value)
    # Of the episodes that were running, too, nothing is forgotten.
    assert torch.equal(other.envs._length, player.envs._length)


def test_other_peoples_environments_give_what_gymnasiums_own_batch_gives():
    problem = Problem(single())
    envs = problem.make(3)
    theirs = gym.make_vec(
        single(), 3, "sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
    )
    observation, _ = envs.reset(seed=1)
    expected, _ = theirs.reset(seed=1)
    for action in (np.array([3, 4, 3]), np.array([4, 4, 3]), np.array([3, 3, 3])):
        for name in ("clock", "kind"):
            np.testing.assert_array_equal(observation[name].numpy(), expected[name])
        observation, reward, terminated, _, info = envs.step(torch.as_tensor(action))
        expected, their_reward, their_end, _, their_info = theirs.step(action)
        np.testing.assert_array_equal(reward.numpy(), their_reward)
        np.testing.assert_array_equal(terminated.numpy(), their_end)
        if their_end.any():
            clocks = [row["clock"] for row in their_info["final_obs"]]
            np.testing.assert_array_equal(info["final_obs"]["clock"].numpy(), clocks)
    assert observation["clock"].dtype == torch.float32


def test_other_peoples_actions_start_where_they_start_and_boxes_are_clipped():
    player = Player(Problem(single()), 4)
    player.begin(0)
    player.collect(model_of(Problem(single())), 6)  # Single asserts that actions are 3 or 4
    envs = Problem("Pendulum-v1").make(2)
    envs.reset(seed=0)
    envs.step(torch.tensor([[50.0], [-50.0]]))
    assert [env.unwrapped.last_u for env in envs.env.envs] == [2.0, -2.0]


def test_a_returned_observation_is_not_overwritten_by_the_next_step():
    envs = Problem("CartPole-v1").make(2)
    first, _ = envs.reset(seed=0)
    kept = first.clone()
    envs.step(torch.tensor([0, 1]))
    assert torch.equal(first, kept)


def test_a_partial_reset_takes_a_tensor_mask_and_leaves_the_options_alone():
    envs = Problem("CartPole-v1").make(3, AutoresetMode.DISABLED)
    before, _ = envs.reset(seed=0)
    options = {"reset_mask": torch.tensor([True, False, False])}
    after, _ = envs.reset(options=options)
    assert "reset_mask" in options
    assert not torch.equal(before[0], after[0]) and torch.equal(before[1:], after[1:])


def test_gymnasiums_masks_of_several_choices_become_flat():
    from agents.foreign import _flat_mask

    mask = (np.array([1, 0, 1], np.int8), np.array([0, 1], np.int8))
    assert _flat_mask(mask).tolist() == [True, False, True, False, True]


def test_pooled_seeds_of_other_peoples_environments_are_other_episodes():
    from agents.evaluation import score

    trained = agents.train("reinforce", single(), steps=64, config={"num_envs": 4, "n_steps": 4})
    found = score(trained, episodes=20, seeds=range(8)).evaluation
    assert len(set(found.episodes["seed"].tolist())) == 160


def test_environment_seeds_are_derived_and_never_the_runs_own():
    seeds = {
        Problem(env_id("Grid"), seed=s).env_seed(worker, start)
        for s in range(20)
        for worker in range(3)
        for start in range(3)
    }
    assert len(seeds) == 180
    # Rows have seeds that follow each other: batches of a million rows do not meet either.
    ordered = sorted(seeds)
    assert min(b - a for a, b in pairwise(ordered)) > 1_000_000


def test_spaces_come_from_the_environment():
    observation, action = Problem(env_id("Bandit")).spaces
    assert action == spaces.Box(-1, 1, (3,)) and observation == spaces.Box(0, 1, (3,))


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(ValueError, match="no environment 'DenoiseSchedule-v0'; nearest: genenvs/D"):
        Problem("DenoiseSchedule-v0").spec  # noqa: B018
