"""The protocol: a fixed list of episodes, each exactly once, whatever the batch."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from genenvs.core.actions import action_sizes
from genenvs.core.env import TaskEnv
from genenvs.core.evaluate import evaluate, mean_interval, random_policy, set_intervals
from genenvs.core.vector import TaskVectorEnv
from tests.core import throwaway

HORIZONS = {"Grid": 12, "Bandit": 1, "Network": 9, "Walk": 7}


def make(name, num_envs=4, **arguments):
    arguments = {"autoreset_mode": AutoresetMode.SAME_STEP, "keep_final": True} | arguments
    return TaskVectorEnv(
        getattr(throwaway, name), num_envs=num_envs, horizon=HORIZONS[name], **arguments
    )


def constant(envs):
    """A policy whose actions depend on nothing but the observation."""
    space = envs.single_action_space
    one = space.sample() * 0 + 1
    return lambda observation, info: np.stack([one] * envs.num_envs)


@pytest.mark.parametrize("name", list(HORIZONS))
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_the_result_does_not_depend_on_batch_size_mode_or_output(name, mode):
    envs = make(name, num_envs=1)
    expected = evaluate(envs, constant(envs), episodes=7)
    for size, output in ((3, "numpy"), (7, "torch"), (16, "numpy")):
        envs = make(name, num_envs=size, autoreset_mode=mode, output=output)
        found = evaluate(envs, constant(envs), episodes=7)
        assert set(found.episodes) == set(expected.episodes)
        for key, value in expected.episodes.items():
            np.testing.assert_allclose(found.episodes[key], value, atol=1e-5, err_msg=key)


def test_every_finite_instance_is_played_once():
    envs = make("Bandit", num_envs=8)
    found = evaluate(envs, constant(envs), keep_final=True)
    assert sorted(found.final.instance.tolist()) == list(range(37))
    assert len(found.episodes["return"]) == 37


def test_a_task_says_how_often_its_instances_are_played(monkeypatch):
    monkeypatch.setattr(throwaway.Bandit, "rounds", 3)
    envs = make("Bandit", num_envs=8)
    found = evaluate(envs, constant(envs), keep_final=True)
    assert sorted(found.final.instance.tolist()) == sorted(3 * list(range(37)))
    assert len(np.unique(found.final.key)) == 3 * 37, "no episode is played twice"


def test_the_return_is_the_weighted_sum_of_its_terms():
    envs = make("Network", reward_weights={"bonus": 3.0})
    found = evaluate(envs, constant(envs), episodes=10).episodes
    expected = found["term/small"] + 3.0 * found["term/bonus"]
    np.testing.assert_allclose(found["return"], expected, rtol=1e-5)
    assert (found["term/bonus"] == 1).all() and (found["length"] == 9).any()


def test_short_episodes_do_not_crowd_out_long_ones():
    """With the first N that finish, the mean length would be biased downwards."""
    envs = make("Grid", num_envs=4)
    walk = evaluate(envs, "random", episodes=32)
    again = evaluate(make("Grid", num_envs=32), "random", episodes=32)
    assert len(walk.episodes["length"]) == 32
    assert (np.sort(walk.episodes["episode_index"]) == np.arange(32)).all()
    assert abs(walk.episodes["length"].mean() - again.episodes["length"].mean()) < 3


def test_other_libraries_environments_play_one_seed_an_episode():
    envs = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    found = evaluate(
        envs, lambda observation, info: (observation[:, 2] > 0).astype(int), episodes=5
    )
    assert found.episodes["seed"].tolist() == [0, 1, 2, 3, 4]
    for seed in range(5):
        env, total, done = gym.make("CartPole-v1"), 0.0, False
        observation, _ = env.reset(seed=seed)
        while not done:
            observation, reward, terminated, truncated, _ = env.step(int(observation[2] > 0))
            total, done = total + float(reward), terminated or truncated
        assert found.episodes["return"][seed] == total


def test_the_reference_beats_random_on_the_grid():
    reference = evaluate(make("Grid", num_envs=16), "reference", episodes=64).interval("return")
    walk = evaluate(make("Grid", num_envs=16), "random", episodes=64).interval("return")
    assert reference.low > walk.high


def test_random_draws_legal_actions_uniformly():
    envs = make("Grid", num_envs=512)
    envs.reset(seed=0)
    action, mask = random_policy(envs, 3)(None, {}), envs.action_masks()
    assert bool(mask.gather(1, action[:, None]).all())
    inner = mask.all(1)  # rows where all four moves are legal
    share = np.bincount(action[inner].numpy(), minlength=4) / int(inner.sum())
    assert abs(share - 0.25).max() < 0.1


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Discrete(4, start=3),
        gym.spaces.MultiDiscrete([3, 2], start=[-1, 5]),
        gym.spaces.MultiDiscrete([[3, 2], [2, 4]]),
        gym.spaces.MultiBinary(3),
    ],
    ids=str,
)
def test_random_draws_every_action_of_a_space_and_no_other(space):
    class Any(throwaway.Walk):
        def __init__(self, **common):
            super().__init__(**common)
            self.action_space = space

    envs = TaskVectorEnv(Any, num_envs=256, horizon=5)
    envs.reset(seed=0)
    actions = random_policy(envs, 1)(None, {})
    assert actions.shape == envs.action_space.shape and actions.dtype == torch.int64
    assert all(action in space for action in actions.numpy().astype(space.dtype))
    table = actions.reshape(256, -1)
    assert [len(column.unique()) for column in table.T] == action_sizes(space)
    envs._reader.read(actions, None, True)


def nearest(features):
    """A diversity: the mean distance to the nearest neighbour."""
    distances = torch.cdist(features, features).fill_diagonal_(torch.inf)
    return {"diversity": float(distances.min(1).values.mean())}


def test_the_interval_of_a_set_metric_covers_it_and_shrinks():
    features = torch.randn(800, 3, generator=torch.Generator().manual_seed(0))
    width = {}
    for count in (50, 51, 200, 800):
        found = set_intervals(nearest, features[:count])["diversity"]
        assert found.low < found.mean < found.high and found.count == count
        assert found.mean == nearest(features[:count])["diversity"]
        width[count] = found.high - found.low
    assert width[50] > 1.5 * width[200] > 2 * width[800]
    assert 0.7 < width[50] / width[51] < 1.4


def test_the_interval_of_a_set_metric_that_is_a_mean_is_the_means():
    values = torch.randn(401, 1, generator=torch.Generator().manual_seed(0))
    for count in (40, 41, 401):
        part = values[:count]
        found = set_intervals(lambda x: {"mean": float(x.mean())}, part)["mean"]
        usual = 2 * 1.96 * float(part.std()) / count**0.5
        assert found.high - found.low == pytest.approx(usual, rel=0.3)


def test_three_episodes_have_a_set_metric_and_no_interval():
    found = set_intervals(nearest, torch.eye(3))["diversity"]
    assert found.mean == pytest.approx(2**0.5) and np.isnan([found.low, found.high]).all()


def test_an_interval_covers_the_mean_and_shrinks():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    wide, narrow = mean_interval(values[:25]), mean_interval(values)
    assert wide.low < wide.mean < wide.high and narrow.high - narrow.low < wide.high - wide.low
    # The percentile bootstrap of a mean is close to the normal interval.
    half = 1.96 * values.std() / 20
    assert narrow.high - narrow.mean == pytest.approx(half, rel=0.15)


def test_missing_values_are_left_out_and_not_counted():
    values = np.random.default_rng(0).normal(2.0, 1.0, 50)
    holes = np.insert(values, [0, 7, 50], np.nan)
    assert mean_interval(holes) == mean_interval(values) and mean_interval(values).count == 50
    nothing = mean_interval(np.full(3, np.nan))
    assert nothing.count == 0 and np.isnan([nothing.mean, nothing.low, nothing.high]).all()


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_episodes_that_were_cut_off_have_no_end_metrics(native, mode):
    """A zero would be a measurement that nobody made."""
    if native:
        envs = make("Grid", num_envs=4, size=3, autoreset_mode=mode, max_episode_steps=4)
    else:
        name = "tests.core.throwaway:Grid"
        single = [lambda: gym.wrappers.TimeLimit(TaskEnv(name, horizon=12, size=3), 4)] * 4
        envs = gym.vector.SyncVectorEnv(single, autoreset_mode=mode)
    found = evaluate(envs, "random", episodes=20).episodes
    cut = found["term/goal"] == 0
    assert 0 < cut.sum() < 20 and (found["length"][cut] == 4).all()
    assert (np.isnan(found["covered"]) == cut).all()
    assert np.isfinite(found["nearness"]).all() and (found["covered"][~cut] > 0).all()


def test_summary_is_plain_numbers():
    import json

    envs = make("Grid")
    text = json.dumps(evaluate(envs, "random", episodes=4).summary())
    assert '"covered"' in text and '"term/closer"' in text


@pytest.mark.parametrize(
    ("policy", "arguments", "words"),
    [
        ("rnadom", {}, '"random" or "reference"'),
        ("random", {"episodes": 0}, "at least 1"),
        ("reference", {}, "no reference policy"),
    ],
)
def test_wrong_requests_say_what_was_expected(policy, arguments, words):
    with pytest.raises(ValueError, match=words):
        evaluate(make("Walk"), policy, **({"episodes": 2} | arguments))


def test_disabled_autoreset_is_refused():
    with pytest.raises(ValueError, match="autoreset"):
        evaluate(make("Walk", autoreset_mode=AutoresetMode.DISABLED), "random")


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(KeyError, match="genenvs/DenoiseBudget-v0"):
        evaluate("genenvs/DenoiseBugdet-v0", "random")


def test_an_unknown_value_lists_those_there_are():
    found = evaluate(make("Walk"), "random", episodes=2)
    with pytest.raises(KeyError, match="position"):
        found.interval("postion")
