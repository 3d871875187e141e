"""SB3VecEnv: what Stable-Baselines3 sees is what the single environments do."""

import builtins
import importlib
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from genenvs.core.vector import TaskVectorEnv
from tests.needs import import_or_skip, needs_device

sb3 = import_or_skip("stable_baselines3", extra="sb3")
contrib = import_or_skip("sb3_contrib", extra="sb3")

from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked  # noqa: E402
from stable_baselines3.common.evaluation import evaluate_policy  # noqa: E402
from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env import (  # noqa: E402
    DummyVecEnv,
    VecCheckNan,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from genenvs.interop.sb3 import SB3VecEnv, make_sb3  # noqa: E402

HORIZON = {"Grid": 8, "Bandit": 1, "Network": 6, "Walk": 5}
IDS = {name: f"genenvs-sb3-test/{name}-v0" for name in HORIZON}
for name, horizon in HORIZON.items():
    if IDS[name] not in gym.registry:
        gym.register(
            IDS[name],
            entry_point="genenvs.core.env:TaskEnv",
            vector_entry_point="genenvs.core.vector:TaskVectorEnv",
            kwargs={"task": f"tests.core.throwaway:{name}", "horizon": horizon},
        )


def small():
    """Arguments of a small agent; SB3 writes into `policy_kwargs`."""
    return {"policy_kwargs": {"net_arch": [16]}, "device": "cpu", "seed": 7}


def policy_of(name):
    return "MultiInputPolicy" if name == "Network" else "MlpPolicy"


def legal(envs, rng):
    """A legal random action for every row."""
    space = envs.action_space
    if isinstance(space, gym.spaces.Discrete):
        masks = np.stack(envs.env_method("action_masks"))
        return np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
    space.seed(int(rng.integers(1 << 31)))
    return np.stack([space.sample() for _ in range(envs.num_envs)])


def same(a, b):
    if isinstance(b, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in b)
    return np.allclose(a, b, atol=1e-4) and np.asarray(a).dtype == np.asarray(b).dtype


def row(obs, i):
    return {key: value[i] for key, value in obs.items()} if isinstance(obs, dict) else obs[i]


@pytest.mark.parametrize("name", HORIZON)
def test_rows_are_what_dummy_vec_env_makes_of_the_single_environments(name):
    """Row i of `seed(s)` is the single environment of seed s + i, through several autoresets."""
    native = make_sb3(IDS[name], 3)
    dummy = DummyVecEnv([lambda: gym.make(IDS[name])] * 3)
    assert native.seed(11) == dummy.seed(11) == [11, 12, 13]
    obs, expected = native.reset(), dummy.reset()
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(3 * HORIZON[name] + 2):
        assert same(obs, expected)
        assert [info["seed"] for info in native.reset_infos] == [11, 12, 13]
        for mine, theirs in zip(native.reset_infos, dummy.reset_infos, strict=True):
            assert mine["episode_index"] == theirs["episode_index"]
        actions = legal(native, rng)
        obs, reward, done, infos = native.step(actions)
        expected, reward_, done_, infos_ = dummy.step(actions)
        assert np.allclose(reward, reward_, atol=1e-4) and reward.dtype == np.float32
        assert np.array_equal(done, done_) and done.dtype == np.bool_
        for i in range(3):
            if not done[i]:
                assert infos[i] == {}
                continue
            ends += 1
            assert same(infos[i]["terminal_observation"], infos_[i]["terminal_observation"])
            for key in ("TimeLimit.truncated", "seed", "episode_index"):
                assert infos[i][key] == infos_[i][key] and type(infos[i][key]) is type(
                    infos_[i][key]
                )
            for key in ("terms", "metrics"):
                assert infos[i][key].keys() == infos_[i][key].keys()
                for item, value in infos[i][key].items():
                    assert type(value) is float
                    assert value == pytest.approx(infos_[i][key][item], abs=1e-4)
    assert ends >= 3


def test_an_episode_that_the_outer_cap_cut_off_has_no_end_metrics():
    envs = make_sb3(IDS["Grid"], 8, size=3, max_episode_steps=3)
    envs.seed(0)
    envs.reset()
    rng, seen = np.random.default_rng(0), set()
    for _ in range(24):
        for info in envs.step(legal(envs, rng))[3]:
            if info:
                assert ("covered" in info["metrics"]) == (info["terms"]["goal"] == 1)
                assert "nearness" in info["metrics"]
                seen.add(info["TimeLimit.truncated"])
    assert seen == {True, False}


def test_the_limit_of_a_task_that_truncates_is_a_time_limit_and_of_one_that_terminates_is_none():
    for name, expected in (("Walk", True), ("Bandit", False)):
        envs = make_sb3(IDS[name], 2)
        envs.reset()
        rng = np.random.default_rng(0)
        for _ in range(HORIZON[name]):
            _, _, done, infos = envs.step(legal(envs, rng))
        assert done.all()
        assert [info["TimeLimit.truncated"] for info in infos] == [expected] * 2


def test_reaching_the_goal_at_the_limit_is_no_time_limit():
    """`TimeLimit.truncated` is truncated and not terminated: a Grid walked to its goal."""
    envs = make_sb3(IDS["Grid"], 64, horizon=12)
    obs = envs.reset()
    seen = set()
    for _ in range(12):
        gap = obs[:, 2:] - obs[:, :2]
        actions = np.where(
            gap[:, 0] != 0, np.where(gap[:, 0] > 0, 1, 3), np.where(gap[:, 1] > 0, 0, 2)
        )
        obs, _, done, infos = envs.step(actions)
        for i in np.flatnonzero(done):
            final = infos[i]["terminal_observation"]
            assert infos[i]["TimeLimit.truncated"] == (not np.array_equal(final[:2], final[2:]))
            seen.add(infos[i]["TimeLimit.truncated"])
    assert False in seen


def test_episode_statistics_are_those_of_a_manual_loop():
    envs = make_sb3(IDS["Grid"], 5)
    envs.seed(3)
    envs.reset()
    total, length = np.zeros(5), np.zeros(5, int)
    rng = np.random.default_rng(1)
    count = 0
    for _ in range(40):
        _, reward, done, infos = envs.step(legal(envs, rng))
        total += reward
        length += 1
        for i in np.flatnonzero(done):
            count += 1
            assert infos[i]["episode"]["r"] == pytest.approx(total[i], abs=1e-5)
            assert infos[i]["episode"]["l"] == length[i]
            assert infos[i]["episode"]["t"] >= 0
            total[i] = length[i] = 0
    assert count > 10


def test_a_reset_in_the_middle_starts_statistics_and_the_next_episode():
    envs = make_sb3(IDS["Walk"], 2)
    envs.seed(0)
    envs.reset()
    for _ in range(3):
        envs.step(np.ones((2, 4), np.int8))
    envs.reset()
    assert [info["episode_index"] for info in envs.reset_infos] == [1, 1]
    for _ in range(5):
        _, _, done, infos = envs.step(np.ones((2, 4), np.int8))
    assert done.all() and infos[0]["episode"]["l"] == 5
    assert infos[0]["episode"]["r"] == pytest.approx(2.5)


@pytest.mark.parametrize("name", HORIZON)
def test_what_was_returned_is_never_written_again(name):
    envs = make_sb3(IDS[name], 4)
    kept = []

    def keep(value):
        if isinstance(value, dict):
            for item in value.values():
                keep(item)
        elif isinstance(value, np.ndarray):
            kept.append((value, value.copy()))

    keep(envs.reset())
    rng = np.random.default_rng(0)
    for _ in range(2 * HORIZON[name] + 1):
        masks = envs.env_method("action_masks") if name != "Bandit" else []
        obs, reward, done, infos = envs.step(legal(envs, rng))
        for value in (obs, reward, done, *masks, *infos):
            keep(value)
    for now, then in kept:
        np.testing.assert_array_equal(now, then)


def test_a_seed_holds_for_one_reset_and_the_next_goes_on():
    envs = make_sb3(IDS["Walk"], 2)
    envs.seed(5)
    first = envs.reset()
    second = envs.reset()
    envs.seed(5)
    assert np.array_equal(envs.reset(), first) and not np.array_equal(first, second)
    assert np.array_equal(envs.reset(), second)


def test_options_of_the_batch_and_of_each_row():
    envs = make_sb3(IDS["Bandit"], 2)
    envs.seed(5)
    envs.reset()
    third = envs.reset(), envs.reset()
    envs.seed(5)
    envs.set_options({"episode": 2})
    assert np.array_equal(envs.reset(), third[1])
    envs.set_options([{"episode": 7}, {"episode": 9}])
    envs.reset()
    assert [info["episode_index"] for info in envs.reset_infos] == [7, 9]
    envs.reset()  # options hold for one reset
    assert [info["episode_index"] for info in envs.reset_infos] == [8, 10]

    single = gym.make(IDS["Bandit"])
    expected = [single.reset(seed=4, options={"instance": i})[0] for i in (20, 30)]
    envs.set_options([{"instance": 20}, {"instance": 30}])
    np.testing.assert_array_equal(envs.reset(), expected)
    envs.set_options({"instances": [30], "repeats": 2})
    np.testing.assert_array_equal(envs.reset(), [expected[1]] * 2)
    for wrong in ([{"episode": 1}], [{"episode": 1}, {}], [{"repeats": 1}, {"repeats": 1}]):
        with pytest.raises(ValueError, match="option"):
            envs.set_options(wrong)


def test_masks_are_exact_and_all_true_where_the_task_has_none():
    grid = make_sb3(IDS["Grid"], 3)
    assert grid.has_attr("action_masks")
    obs = grid.reset()
    for i, mask in enumerate(grid.env_method("action_masks")):
        x, y = obs[i, :2]
        assert mask.tolist() == [y < 5, x < 5, y > 0, x > 0]
    single = gym.make(IDS["Grid"])
    single.reset(seed=grid.reset_infos[1]["seed"])
    assert np.array_equal(
        grid.env_method("action_masks", indices=1)[0],
        single.get_wrapper_attr("action_masks")(),
    )
    network = make_sb3(IDS["Network"], 2)
    network.reset()
    assert network.has_attr("action_masks")
    assert np.stack(network.env_method("action_masks")).all()
    assert np.stack(network.env_method("action_masks")).shape == (2, 5)
    bandit = make_sb3(IDS["Bandit"], 2)
    bandit.reset()
    assert not bandit.has_attr("action_masks")
    with pytest.raises(AttributeError):
        bandit.env_method("action_masks")


def test_attributes_and_methods_of_the_rows():
    envs = make_sb3(IDS["Grid"], 3, render_mode="rgb_array")
    envs.seed(0)
    envs.reset()
    assert envs.render_mode == "rgb_array" and envs.metadata["render_modes"]
    assert [task.horizon for task in envs.get_attr("task")] == [8] * 3
    assert envs.get_attr("observation_space", indices=[0, 2]) == [envs.observation_space] * 2
    assert envs.get_attr("action_masks")[1]().shape == (4,)
    assert len(envs.get_images()) == 3 and envs.get_images()[0].shape == (48, 48, 3)
    assert envs.render().dtype == np.uint8
    assert envs.env_method("render", indices=[1])[0].shape == (48, 48, 3)
    walk = make_sb3(IDS["Walk"], 3)
    walk.reset()
    assert walk.env_method("reference_action") == [None] * 3
    assert not envs.has_attr("nothing")
    with pytest.raises(AttributeError, match="nothing"):
        envs.get_attr("nothing")
    with pytest.raises(AttributeError, match="compute_reward"):
        envs.env_method("compute_reward")
    with pytest.raises(TypeError, match="no arguments"):
        envs.env_method("render", "human")
    envs.set_attr("keep_final", True)
    assert envs.envs.keep_final
    with pytest.raises(ValueError, match="all rows"):
        envs.set_attr("keep_final", False, indices=[0])
    assert envs.env_is_wrapped(Monitor) == [True] * 3
    assert envs.env_is_wrapped(gym.wrappers.TimeLimit, indices=0) == [False]
    envs.close()
    blind = make_sb3(IDS["Grid"], 3)
    blind.reset()
    assert list(blind.get_images()) == [None] * 3


def test_torch_output_gives_the_same_numpy():
    a, b = make_sb3(IDS["Network"], 2), make_sb3(IDS["Network"], 2, output="torch")
    a.seed(1), b.seed(1)
    assert same(a.reset(), b.reset())
    rng = np.random.default_rng(0)
    for _ in range(8):
        actions = legal(a, rng)
        one, two = a.step(actions), b.step(actions)
        assert same(one[0], two[0]) and isinstance(two[1], np.ndarray)
        assert [i.get("metrics") for i in one[3]] == [i.get("metrics") for i in two[3]]


def test_what_is_no_native_same_step_environment_is_refused():
    native = {"task": "tests.core.throwaway:Grid", "horizon": 4, "num_envs": 2}
    with pytest.raises(ValueError, match="SAME_STEP; got NEXT_STEP"):
        SB3VecEnv(TaskVectorEnv(**native))
    with pytest.raises(ValueError, match="got DISABLED"):
        make_sb3(IDS["Grid"], 2, autoreset_mode="DISABLED")
    with pytest.raises(TypeError, match="TimeLimit"):
        SB3VecEnv(gym.wrappers.TimeLimit(gym.make(IDS["Grid"]), 3))
    with pytest.raises(TypeError, match="make_sb3"):
        SB3VecEnv(gym.make(IDS["Grid"]))
    with pytest.raises(TypeError, match="make_sb3"):
        SB3VecEnv(gym.make_vec(IDS["Grid"], 2, vectorization_mode="sync"))
    with pytest.raises(TypeError, match="vectorization_mode"):
        make_sb3(IDS["Grid"], 2, vectorization_mode="sync")
    wrapped = gym.wrappers.vector.RecordEpisodeStatistics(
        TaskVectorEnv(**native, autoreset_mode=AutoresetMode.SAME_STEP)
    )
    with pytest.raises(TypeError, match="wrapped in RecordEpisodeStatistics"):
        SB3VecEnv(wrapped)


def test_a_wrong_action_is_refused_and_changes_nothing():
    envs = make_sb3(IDS["Walk"], 2)
    envs.seed(0)
    envs.reset()
    for wrong in (np.full((2, 4), 0.5), np.full((2, 4), 2), np.ones((3, 4))):
        with pytest.raises(ValueError, match="action must be"):
            envs.step(wrong)
    for _ in range(5):
        _, _, done, _ = envs.step(np.ones((2, 4), np.float32))  # as a Bernoulli sample comes
    assert done.all()


def test_stepping_before_a_reset_says_so():
    with pytest.raises(RuntimeError, match="reset"):
        make_sb3(IDS["Walk"], 2).step(np.ones((2, 4)))


# --- training ---


@pytest.mark.parametrize("name", HORIZON)
@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
def test_on_policy_agents_train_on_every_kind_of_space(algorithm, name):
    kind = getattr(sb3, algorithm)
    extra = {"batch_size": 32} if algorithm == "PPO" else {}
    model = kind(policy_of(name), make_sb3(IDS[name], 4), n_steps=16, **small(), **extra)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    model.learn(256)
    after = model.policy.state_dict()
    assert any(not value.equal(before[key]) for key, value in after.items())
    assert len(model.ep_info_buffer) > 10
    assert all(1 <= episode["l"] <= HORIZON[name] for episode in model.ep_info_buffer)


def test_off_policy_agents_train():
    sac = sb3.SAC("MlpPolicy", make_sb3(IDS["Bandit"], 4), learning_starts=64, **small())
    sac.learn(160)
    assert sac._n_updates > 0 and len(sac.ep_info_buffer) > 30
    dqn = sb3.DQN("MlpPolicy", make_sb3(IDS["Grid"], 4), learning_starts=64, **small())
    dqn.learn(240)
    assert dqn._n_updates > 0
    stored = dqn.replay_buffer
    # A time limit's next observation is the terminal one, and it counts as no end.
    ends = stored.dones[: stored.pos] > 0
    cut = stored.timeouts[: stored.pos] > 0
    assert ends.any() and cut.any() and not (cut & ~ends).any()
    moved = np.abs(stored.next_observations[: stored.pos] - stored.observations[: stored.pos])
    assert (moved.sum(-1) <= 1).all()  # one step, never a jump to the next episode


def test_maskable_ppo_never_meets_an_illegal_action():
    envs = make_sb3(IDS["Grid"], 4)
    taken = []
    step_async = envs.step_async

    def watch(actions):
        masks = np.stack(envs.env_method("action_masks"))
        taken.extend(masks[np.arange(4), actions])
        step_async(actions)

    envs.step_async = watch
    model = contrib.MaskablePPO("MlpPolicy", envs, n_steps=32, batch_size=32, **small())
    model.learn(512)
    assert len(taken) >= 512 and all(taken)
    taken.clear()
    mean, _ = evaluate_masked(model, envs, n_eval_episodes=8)
    assert np.isfinite(mean) and taken and all(taken)


def test_maskable_ppo_runs_where_the_task_has_no_mask():
    model = contrib.MaskablePPO(
        "MultiInputPolicy", make_sb3(IDS["Network"], 4), n_steps=16, batch_size=32, **small()
    )
    model.learn(128)
    assert len(model.ep_info_buffer) > 10


def test_evaluate_policy_gives_the_mean_of_a_manual_loop(recwarn):
    envs = make_sb3(IDS["Grid"], 4)
    model = sb3.PPO("MlpPolicy", envs, n_steps=16, batch_size=32, **small())
    envs.seed(21)
    returns, lengths = evaluate_policy(model, envs, n_eval_episodes=12, return_episode_rewards=True)
    assert not [w for w in recwarn if "Monitor" in str(w.message)]
    expected = []
    for k in range(4):
        env = gym.make(IDS["Grid"])
        obs, _ = env.reset(seed=21 + k)
        for _ in range(3):
            total, done = 0.0, False
            while not done:
                obs, reward, terminated, truncated, _ = env.step(
                    int(model.predict(obs, deterministic=True)[0])
                )
                total, done = total + reward, terminated or truncated
            expected.append(total)
            obs, _ = env.reset()
    assert len(lengths) == 12
    assert np.mean(returns) == pytest.approx(np.mean(expected), abs=1e-5)
    assert sorted(returns) == pytest.approx(sorted(expected), abs=1e-5)


def test_vec_normalize_normalises_the_terminal_observation_too():
    plain = make_sb3(IDS["Walk"], 3)
    envs = VecNormalize(make_sb3(IDS["Walk"], 3), gamma=0.9)
    plain.seed(2), envs.seed(2)
    plain.reset(), envs.reset()
    for _ in range(5):
        actions = np.ones((3, 4))
        _, _, _, raw = plain.step(actions)
        _, _, done, infos = envs.step(actions)
    assert done.all()
    expected = envs.normalize_obs(raw[1]["terminal_observation"])
    np.testing.assert_allclose(infos[1]["terminal_observation"], expected, rtol=1e-5)
    assert infos[1]["episode"]["r"] == pytest.approx(2.5)  # what the environment paid
    sb3.PPO("MlpPolicy", envs, n_steps=16, batch_size=16, **small()).learn(96)


def test_other_wrappers_of_stable_baselines3_go_around_it():
    with pytest.warns(UserWarning, match="Monitor"):
        envs = VecMonitor(make_sb3(IDS["Walk"], 2), info_keywords=("metrics",))
    envs = VecFrameStack(VecCheckNan(envs, raise_exception=True), 2)
    obs = envs.reset()
    assert obs.shape == (2, 2)
    for _ in range(5):
        _, _, done, infos = envs.step(np.ones((2, 4)))
    assert done.all() and infos[0]["episode"]["r"] == pytest.approx(2.5)
    assert infos[0]["terminal_observation"].shape == (2,)
    assert envs.spec.id == IDS["Walk"]


def test_without_stable_baselines3_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("stable_baselines3"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "genenvs.interop.sb3")
    for name in [name for name in sys.modules if name.startswith("stable_baselines3")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "genenvs\[sb3\]"'):
        importlib.import_module("genenvs.interop.sb3")


@needs_device("cuda")
def test_a_cuda_environment_gives_numpy_on_the_host():
    envs = make_sb3("genenvs/DenoiseSchedule-v0", 4, device="cuda")
    obs = envs.reset()
    assert all(isinstance(value, np.ndarray) for value in obs.values())
    obs, reward, done, _ = envs.step(np.zeros(4, int))
    assert isinstance(reward, np.ndarray) and isinstance(done, np.ndarray)


@pytest.mark.parametrize("name", HORIZON)
def test_a_saved_state_replays_observations_statistics_and_masks(name):
    """Into another object: what a killed training resumes with."""
    rng = np.random.default_rng(0)
    first, second = make_sb3(IDS[name], 3), make_sb3(IDS[name], 3)
    first.seed(11)
    first.reset()
    second.reset()
    for _ in range(3):
        first.step(legal(first, rng))
    kept = first.get_state()
    actions, expected = [], []
    for _ in range(HORIZON[name] + 2):
        actions.append(legal(first, rng))
        expected.append(first.step(actions[-1]))
    masks = first.action_masks() if first.has_attr("action_masks") else None
    second.set_state(kept)
    assert [info["seed"] for info in second.reset_infos] == [11, 12, 13]
    if masks is not None:
        assert second.action_masks().shape == masks.shape
    ends = 0
    for action, (obs, reward, done, infos) in zip(actions, expected, strict=True):
        found, reward_, done_, infos_ = second.step(action)
        assert same(found, obs) and np.array_equal(reward_, reward) and np.array_equal(done_, done)
        for info, info_ in zip(infos, infos_, strict=True):
            for part in ("r", "l") if info else ():
                assert info_["episode"][part] == info["episode"][part]
        ends += done.sum()
    assert ends >= 3 and second.reset_infos == first.reset_infos
    assert masks is None or np.array_equal(second.action_masks(), masks)
