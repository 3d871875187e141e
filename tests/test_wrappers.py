"""The torch wrappers: equal to numpy references in all autoreset modes, without a host copy."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.utils import RunningMeanStd
from packaging.version import Version

from genenvs.core.vector import TaskVectorEnv
from genenvs.wrappers import (
    Moments,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
)
from tests.needs import import_or_skip

MODES = ["NEXT_STEP", "SAME_STEP", "DISABLED"]
HORIZON = {"Grid": 7, "Bandit": 1, "Network": 5, "Walk": 4}


def make(name, mode, num_envs=4, output="torch", **kwargs):
    task = f"tests.core.throwaway:{name}"
    kwargs = {"horizon": HORIZON[name]} | kwargs
    return TaskVectorEnv(task, num_envs=num_envs, output=output, autoreset_mode=mode, **kwargs)


def play(envs, steps, actions, see):
    """Step with given actions; with autoreset disabled, reset what ended. Show all to `see`."""
    see("reset", *envs.reset(seed=3))
    for k in range(steps):
        result = envs.step(actions[k])
        see("step", *result)
        ended = np.asarray(result[2] | result[3])
        if envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            see("reset", *envs.reset(options={"reset_mask": ended}), ended)


def random_actions(envs, steps):
    envs.action_space.seed(0)
    return [envs.action_space.sample() for _ in range(steps)]


# --- statistics of episodes ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", HORIZON)
def test_episode_statistics_equal_those_of_gymnasium_in_numpy(name, mode):
    if mode == "SAME_STEP" and Version(gym.__version__) < Version("1.4"):
        pytest.skip(f"the RecordEpisodeStatistics of Gymnasium {gym.__version__} refuses SAME_STEP")
    ours = RecordEpisodeStatistics(make(name, mode))
    theirs = gym.wrappers.vector.RecordEpisodeStatistics(make(name, mode, output="numpy"))
    actions = random_actions(ours, 40)
    seen = {}
    for key, envs in (("ours", ours), ("theirs", theirs)):
        rows = seen[key] = []

        def see(kind, *result, rows=rows):
            if kind == "step":  # a copy: Gymnasium's partial reset writes into its last `_episode`
                rows.append(copy.deepcopy(result[4]))

        play(envs, 40, actions, see)
    episodes = []
    for mine, other in zip(seen["ours"], seen["theirs"], strict=True):
        assert mine["_episode"].dtype == torch.bool and mine["episode"]["l"].dtype == torch.int64
        if "episode" not in other:  # theirs is there only when a row ended
            assert not mine["_episode"].any() and not mine["episode"]["r"].any()
            continue
        np.testing.assert_array_equal(mine["_episode"], other["_episode"])
        np.testing.assert_array_equal(mine["episode"]["l"], other["episode"]["l"])
        np.testing.assert_allclose(mine["episode"]["r"], other["episode"]["r"], atol=1e-4)
        ended = other["_episode"]
        episodes += zip(other["episode"]["r"][ended], other["episode"]["l"][ended], strict=True)
    assert len(episodes) > 10
    returns, lengths = np.array(episodes).T
    found = ours.summary()
    assert found["episodes"] == len(episodes) == theirs.episode_count
    for name_, values in (("return", returns), ("length", lengths)):
        for part in ("mean", "std", "min", "max"):
            expected = getattr(np, part)(values)
            assert found[f"{name_}_{part}"] == pytest.approx(expected, abs=1e-4)


def test_clearing_the_summary_leaves_running_episodes_alone():
    envs = RecordEpisodeStatistics(make("Walk", "SAME_STEP"))
    envs.reset(seed=0)
    assert envs.summary() == {"episodes": 0}
    for _ in range(6):
        envs.step(torch.ones(4, 4, dtype=torch.int64))
    assert envs.summary()["episodes"] == 4 and envs.summary()["length_mean"] == 4
    envs.clear()
    assert envs.summary() == {"episodes": 0}
    for _ in range(2):
        info = envs.step(torch.ones(4, 4, dtype=torch.int64))[4]
    assert envs.summary()["length_min"] == 4 == info["episode"]["l"].min()
    assert envs.summary()["return_max"] == pytest.approx(2.0)


@pytest.mark.parametrize("mode", MODES)
def test_a_partial_reset_starts_the_statistics_of_its_rows_alone(mode):
    envs = RecordEpisodeStatistics(make("Walk", mode, horizon=5))
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(torch.ones(4, 4, dtype=torch.int64))
    envs.reset(options={"reset_mask": torch.tensor([True, False, False, True])})
    for _ in range(3):
        info = envs.step(torch.ones(4, 4, dtype=torch.int64))[4]
    assert info["_episode"].tolist() == [False, True, True, False]
    assert info["episode"]["l"].tolist() == [0, 5, 5, 0]


# --- moments ---


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_moments_equal_numpy_over_all_rows_at_once(shape):
    rng = np.random.default_rng(0)
    moments, theirs = Moments(shape, torch.device("cpu"), start=0.0), RunningMeanStd(0.0, shape)
    kept = []
    for size in (1, 5, 64):
        value = rng.normal(100.0, 0.1, (size, *shape))
        rows = rng.random(size) < 0.5
        rows[0] = True
        moments.update(torch.as_tensor(value), torch.as_tensor(rows))
        theirs.update(value[rows])
        kept.append(value[rows])
    moments.update(torch.full((4, *shape), torch.nan).nan_to_num(7.0), torch.zeros(4).bool())
    whole = np.concatenate(kept)
    np.testing.assert_allclose(moments.mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.var, whole.var(0), rtol=1e-8)
    np.testing.assert_allclose(moments.var, theirs.var, rtol=1e-8)
    assert float(moments.count) == len(whole)


# --- observations ---


def observed(mode, name, steps, num_envs=4):
    """Every raw observation that an episode shows, in numpy, one list of rows per call."""
    calls = []

    def see(kind, obs, *rest):
        rows = [obs] if len(rest) < 2 or kind == "step" else [select(obs, rest[-1])]
        info = rest[-1] if kind == "step" else {}
        if "final_obs" in info:
            rows.append(select(info["final_obs"], info["_final_obs"]))
        calls.append((kind, rows))

    envs = make(name, mode, num_envs)
    play(envs, steps, random_actions(envs, steps), see)
    return calls


def select(obs, rows):
    if isinstance(obs, dict):
        return {key: value[rows] for key, value in obs.items()}
    return obs[rows]


@pytest.mark.parametrize("mode", MODES)
def test_observation_statistics_are_those_of_every_observation_shown(mode):
    steps = 23
    envs = NormalizeObservation(make("Network", mode))
    play(envs, steps, random_actions(envs, steps), lambda *_: None)
    shown = [rows for _, parts in observed(mode, "Network", steps) for rows in parts]
    for name in ("x", "prediction"):
        whole = np.concatenate([rows[name] for rows in shown]).astype(np.float64)
        reference = RunningMeanStd(shape=(4,))
        reference.update(whole)
        found = envs.state_dict()
        np.testing.assert_allclose(found[f"{name}.mean"], reference.mean, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found[f"{name}.var"], reference.var, rtol=1e-4)
        assert float(found[f"{name}.count"]) == pytest.approx(len(whole) + 1e-4)
    assert "kind.mean" not in found  # an index is none to normalise


def test_the_three_modes_end_with_the_same_statistics_of_the_same_episodes():
    found = {}
    for mode in MODES:
        envs = NormalizeObservation(make("Walk", mode, horizon=4))
        envs.reset(seed=0)
        for _ in range(3):
            for k in range(4):
                action = torch.full((4, 4), k % 2)
                envs.step(action)
            if mode == "NEXT_STEP":
                envs.step(action)
            elif mode == "DISABLED":
                envs.reset(options={"reset_mask": np.ones(4, bool)})
        found[mode] = envs.state_dict()
    for mode in MODES[1:]:
        for key, value in found[MODES[0]].items():
            torch.testing.assert_close(found[mode][key], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_normalised_observations_equal_a_plain_reference(mode):
    steps = 17
    plain, envs = make("Network", mode), NormalizeObservation(make("Network", mode))
    actions = random_actions(envs, steps)
    raw, results = [], []
    play(plain, steps, actions, lambda *result: raw.append(result))
    play(envs, steps, actions, lambda *result: results.append(result))
    reference = RunningMeanStd(shape=(4,))
    finals = 0
    for before, after in zip(raw, results, strict=True):
        x, info = before[1]["x"].numpy(), before[-1]
        seen = [x]
        if before[0] == "reset" and len(before) == 4:
            seen, info = [x[before[3]]], before[2]
        if "final_obs" in info:
            seen.append(info["final_obs"]["x"].numpy()[info["_final_obs"].numpy()])
        reference.update(np.concatenate(seen).astype(np.float64))

        def scaled(value):
            return (value - reference.mean) / np.sqrt(reference.var + 1e-8)

        np.testing.assert_allclose(after[1]["x"], scaled(x), rtol=1e-4, atol=1e-4)
        assert after[1]["x"].dtype == torch.float32
        torch.testing.assert_close(after[1]["kind"], before[1]["kind"])
        if "final_obs" in info:
            finals += 1
            final, rows = after[-1]["final_obs"]["x"], info["_final_obs"]
            expected = scaled(info["final_obs"]["x"].numpy())
            np.testing.assert_allclose(final[rows], expected[rows], rtol=1e-4, atol=1e-4)
            assert not final[~rows].any()
    assert (finals > 2) == (mode == "SAME_STEP")


def test_normalised_observations_equal_those_of_gymnasium_under_next_step():
    ours = NormalizeObservation(make("Walk", "NEXT_STEP"))
    theirs = gym.wrappers.vector.NormalizeObservation(make("Walk", "NEXT_STEP", output="numpy"))
    actions = random_actions(ours, 30)
    mine, other = [], []
    play(ours, 30, actions, lambda kind, obs, *_: mine.append(obs.numpy()))
    play(theirs, 30, actions, lambda kind, obs, *_: other.append(obs))
    np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


def test_statistics_stand_still_travel_and_are_refused_elsewhere():
    envs = NormalizeObservation(make("Network", "SAME_STEP"), clip=0.5)
    envs.reset(seed=0)
    actions = random_actions(envs, 5)
    for action in actions:
        obs, *_ = envs.step(action)
    assert obs["x"].abs().max() <= 0.5
    assert envs.single_observation_space["x"].high.max() == 0.5
    assert all(envs.single_observation_space.contains({k: np.asarray(v[i]) if k != "kind" else
               int(v[i]) for k, v in obs.items()}) for i in range(4))  # fmt: skip
    kept = envs.state_dict()
    envs.update = False
    envs.step(actions[0])
    envs.reset(seed=1)
    for key, value in envs.state_dict().items():
        assert value.equal(kept[key])
    other = NormalizeObservation(make("Network", "DISABLED", num_envs=2))
    other.load_state_dict(kept)
    kept["x.mean"].zero_()  # a copy went in
    assert other.state_dict()["x.mean"].equal(envs.state_dict()["x.mean"])
    before = other.state_dict()
    with pytest.raises(ValueError, match="must have the shapes"):
        other.load_state_dict({**before, "x.mean": torch.zeros(3)})
    with pytest.raises(ValueError, match="must have the shapes"):
        NormalizeReward(make("Walk", "DISABLED")).load_state_dict(before)
    assert all(value.equal(before[key]) for key, value in other.state_dict().items())


def test_what_cannot_be_wrapped_is_refused():
    for kind in (RecordEpisodeStatistics, NormalizeObservation, NormalizeReward):
        with pytest.raises(ValueError, match=rf"gymnasium\.wrappers\.vector\.{kind.__name__}"):
            kind(make("Walk", "SAME_STEP", output="numpy"))
    with pytest.raises(ValueError, match="no float"):
        NormalizeObservation(make("Grid", "SAME_STEP"))
    with pytest.raises(ValueError, match="gamma"):
        NormalizeReward(make("Walk", "SAME_STEP"), gamma=1.5)
    with pytest.raises(ValueError, match="epsilon"):
        NormalizeObservation(make("Walk", "SAME_STEP"), epsilon=0)


# --- rewards ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["Grid", "Network", "Bandit"])
def test_normalised_rewards_equal_a_plain_reference(name, mode):
    steps, gamma = 40, 0.9
    plain, envs = make(name, mode), NormalizeReward(make(name, mode), gamma=gamma)
    actions = random_actions(envs, steps)
    raw, results = [], []
    play(plain, steps, actions, lambda *result: raw.append(result))
    play(envs, steps, actions, lambda *result: results.append(result))
    reference, returns, over = RunningMeanStd(), np.zeros(4), np.zeros(4, bool)
    for before, after in zip(raw, results, strict=True):
        if before[0] == "reset":
            continue
        reward = before[2].numpy().astype(np.float64)
        returns = returns * gamma + reward
        if (~over).any():
            reference.update(returns[~over])
        ended = (before[3] | before[4]).numpy()
        returns[ended] = 0.0
        over = ended if mode == "NEXT_STEP" else over
        expected = reward / np.sqrt(reference.var + 1e-8)
        np.testing.assert_allclose(after[2], expected, rtol=1e-4, atol=1e-5)
        assert after[2].dtype == torch.float32


def test_normalised_rewards_equal_those_of_gymnasium_while_no_episode_ends():
    ours = NormalizeReward(make("Walk", "NEXT_STEP", horizon=50))
    theirs = gym.wrappers.vector.NormalizeReward(
        make("Walk", "NEXT_STEP", horizon=50, output="numpy")
    )
    actions = random_actions(ours, 40)
    mine, other = [], []
    play(ours, 40, actions, lambda kind, *result: mine.append(result[1]))
    play(theirs, 40, actions, lambda kind, *result: other.append(result[1]))
    np.testing.assert_allclose(np.stack(mine[1:]), np.stack(other[1:]), rtol=1e-4, atol=1e-5)


def test_normalised_rewards_equal_those_of_stable_baselines3():
    import_or_skip("stable_baselines3", extra="sb3")
    from stable_baselines3.common.vec_env import VecNormalize

    from genenvs.interop.sb3 import SB3VecEnv

    ours = NormalizeReward(make("Grid", "SAME_STEP"), gamma=0.9)
    theirs = VecNormalize(
        SB3VecEnv(make("Grid", "SAME_STEP")), norm_obs=False, gamma=0.9, clip_reward=1e9
    )
    actions = random_actions(ours, 40)
    ours.reset(seed=3)
    theirs.seed(3)
    theirs.reset()
    for action in actions:
        mine, other = ours.step(action)[1], theirs.step(action)[1]
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


# --- on the device ---


class Meta(gym.vector.VectorEnv):
    """A batch on torch's `meta` device, where tensors have no values: to read one is an error."""

    output, device, num_envs, render_mode = "torch", torch.device("meta"), 4, None
    single_observation_space = spaces.Dict(
        {"x": spaces.Box(-1, 1, (3,)), "kind": spaces.Discrete(2)}
    )
    observation_space = gym.vector.utils.batch_space(single_observation_space, 4)
    single_action_space = spaces.Discrete(2)

    def __init__(self, mode):
        self.metadata = {"autoreset_mode": mode}

    def _obs(self):
        kind = torch.zeros(4, dtype=torch.int64, device="meta")
        return {"x": torch.rand(4, 3, device="meta"), "kind": kind}

    def reset(self, *, seed=None, options=None):
        return self._obs(), {}

    def step(self, actions):
        flag = torch.zeros(4, dtype=torch.bool, device="meta")
        info = {}
        if self.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP:
            info = {"final_obs": self._obs(), "_final_obs": flag}
        return self._obs(), torch.rand(4, device="meta"), flag, flag.clone(), info


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_read_from_the_device(mode):
    envs = RecordEpisodeStatistics(
        NormalizeReward(NormalizeObservation(Meta(AutoresetMode[mode]), clip=5.0))
    )
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool(torch.ones(1, device="meta"))  # what reading would do
    envs.reset(seed=0)
    for _ in range(2):
        obs, reward, _, _, info = envs.step(None)
    envs.reset(options={"reset_mask": np.array([True, False, True, False])})
    held = [obs["x"], reward, info["episode"]["r"], info["episode"]["l"], info["_episode"]]
    assert all(value.device.type == "meta" for value in held)
    with pytest.raises((RuntimeError, NotImplementedError)):
        envs.summary()


def test_what_was_returned_is_never_written_again():
    envs = RecordEpisodeStatistics(
        NormalizeReward(NormalizeObservation(make("Network", "SAME_STEP")))
    )
    kept = []

    def keep(value):
        if isinstance(value, dict):
            for item in value.values():
                keep(item)
        elif isinstance(value, torch.Tensor):
            kept.append((value, value.clone()))

    play(envs, 20, random_actions(envs, 20), lambda kind, *result: [keep(r) for r in result])
    assert all(now.equal(then) for now, then in kept)
