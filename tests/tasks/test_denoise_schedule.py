"""Sampling as a decision process: the environment is the sampler, and every ending pays alike."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import genenvs
from genenvs.core.vector import TaskVectorEnv
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import load
from genenvs.generators.sampling import sample, uniform_times
from genenvs.tasks.denoise_schedule import cheats, plans, rewards
from genenvs.tasks.denoise_schedule.budget import BUDGETS
from genenvs.tasks.denoise_schedule.task import LATENT_LIMIT, DenoiseSchedule, ladder

SCHEDULE, SCHEDULE_2M = "genenvs/DenoiseSchedule-v0", "genenvs/DenoiseScheduleDPM-v0"
BUDGET = "genenvs/DenoiseBudget-v0"


def make(env_id=SCHEDULE, num_envs=4, **arguments) -> TaskVectorEnv:
    arguments = {"split": "test", "autoreset_mode": AutoresetMode.DISABLED} | arguments
    return gym.make_vec(env_id, num_envs=num_envs, keep_final=True, **arguments)


def play(envs, actions):
    """Play each row's actions (a list of lists, all of one length) from the first episode."""
    envs.reset(seed=0)
    for column in zip(*actions, strict=True):
        observation, reward, terminated, _, info = envs.step(np.array(column))
    return observation, reward, terminated, info


def test_the_ladder_is_geometric_and_ends_with_finish():
    rungs = ladder(1000)
    assert rungs[:4] == [5, 7, 10, 14] and rungs[-2:] == [640, 1000] and len(rungs) == 16
    assert all(a < b for a, b in itertools.pairwise(rungs))
    assert ladder(50)[0] == 1  # a short schedule has no stride below one


@pytest.mark.parametrize("env_id", [SCHEDULE, SCHEDULE_2M])
def test_an_episode_equals_the_sampler_on_the_same_times(env_id):
    envs = make(env_id, num_envs=3)
    actions = [[10, 11, 9, 12, 15], [13, 2, 2, 8, 15], [7, 12, 13, 8, 15]]
    play(envs, actions)
    task, state = envs.unwrapped.task, envs.unwrapped.state
    strides = np.array(ladder(1000))[np.array(actions)]
    times = np.concatenate([np.full((3, 1), 1000), 1000 - strides.cumsum(1)], 1).clip(0)
    expected = sample(
        task.denoiser,
        task.bank.noise[state.instance],
        task.bank.condition[state.instance],
        torch.tensor(times),
        task.sampler,
    )
    torch.testing.assert_close(state.x, expected, atol=1e-5, rtol=0)


def test_a_step_equals_ddim_written_plainly():
    envs = make(num_envs=2)
    envs.reset(seed=3)
    task, before = envs.unwrapped.task, envs.unwrapped.state.clone()
    envs.step(np.array([9, 12]))
    after = envs.unwrapped.state
    squared = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))  # DDPM's schedule
    for row, stride in enumerate(task.strides[[9, 12]].tolist()):
        t, s = 1000 - 1, 1000 - stride - 1
        with torch.no_grad():
            output = task.denoiser.unet(
                before.x[row : row + 1], t, task.condition(before)[row : row + 1]
            ).sample[0]
        x, v = before.x[row].numpy().astype(float), output.numpy().astype(float)
        alpha, sigma = np.sqrt(squared[t]), np.sqrt(1 - squared[t])
        clean, noise = alpha * x - sigma * v, sigma * x + alpha * v
        expected = np.sqrt(squared[s]) * clean + np.sqrt(1 - squared[s]) * noise
        np.testing.assert_allclose(after.x[row].numpy(), expected, atol=2e-5)


def test_finish_uses_the_prediction_already_made():
    envs = make()
    envs.reset(seed=1)
    clean = envs.unwrapped.state.clean.clone()
    _, reward, terminated, _, info = envs.step(np.full(4, 15))
    assert terminated.all() and envs.unwrapped.state.x.equal(clean)
    error = rewards.fidelity_error(clean, envs.unwrapped.task.solution(envs.unwrapped.state))
    np.testing.assert_allclose(reward, -error - 0.006, atol=1e-6)
    assert info["metrics"]["evaluations"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("name", "actions", "horizon"),
    [
        ("finish", [8, 8, 15], 50),
        ("a jump past the end", [8, 8, 14, 14], 50),
        ("the horizon", [8, 8, 0], 3),
    ],
)
def test_every_ending_pays_quality_exactly_once(name, actions, horizon):
    envs = make(horizon=horizon, num_envs=2)
    envs.reset(seed=0)
    paid = []
    for action in actions:
        _, _, terminated, truncated, info = envs.step(np.array([action] * 2))
        paid.append(info["terms"]["quality"])
    paid = np.array(paid)
    assert terminated.all() and not truncated.any()
    assert (paid[:-1] == 0).all() and (paid[-1] < 0).all()
    np.testing.assert_allclose(paid[-1], -info["metrics"]["error"])
    assert (envs.unwrapped.state.time == 0).all()


def test_the_horizon_finishes_whatever_the_action_says():
    envs = make(horizon=2, num_envs=2)
    observation, _, terminated, _ = play(envs, [[0, 0], [5, 1]])
    assert terminated.all()
    assert (observation["time"][:, 0] == 0).all()


def test_the_objective_has_a_fixed_price_whatever_the_agent_is_paid():
    cheap = make(reward_weights={"evaluations": 0.0})
    _, reward, _, info = play(cheap, [[11, 15]] * 4)
    error = info["metrics"]["error"]
    np.testing.assert_allclose(reward, -error, atol=1e-6)
    np.testing.assert_allclose(info["metrics"]["objective"], -error - 2 * 0.006, atol=1e-6)


def test_what_the_bound_clamps_is_counted(monkeypatch):
    monkeypatch.setattr("genenvs.tasks.denoise_schedule.task.LATENT_LIMIT", 0.5)
    envs = make()
    _, _, _, info = play(envs, [[8, 15]] * 4)
    assert (info["metrics"]["clamped"] > 0.1).all()
    monkeypatch.undo()
    _, _, _, info = play(make(), [[8, 15]] * 4)
    assert LATENT_LIMIT == 8.0 and (info["metrics"]["clamped"] == 0).all()


def test_observations_name_what_the_state_holds():
    envs = make(SCHEDULE_2M)
    observation, _ = envs.reset(seed=5)
    assert (observation["previous_time"] == 0).all() and (observation["previous_clean"] == 0).all()
    first = observation["clean"].copy()
    observation, *_ = envs.step(np.full(4, 10))
    np.testing.assert_array_equal(observation["previous_clean"], first)
    np.testing.assert_allclose(observation["previous_time"][:, 0], 1.0)
    np.testing.assert_allclose(observation["time"][:, 0], (1000 - ladder(1000)[10]) / 1000)
    np.testing.assert_allclose(observation["evaluations"], 1 / 50)


def test_the_instances_of_a_split_are_met_once_each():
    bank = Bank.load(load("digits"), "validation")
    envs = make(split="validation", num_envs=len(bank))
    envs.reset(seed=[9] * len(bank), options={"episode": np.arange(len(bank))})
    assert sorted(envs.unwrapped.state.instance.tolist()) == list(range(1024))


@pytest.mark.parametrize("name", list(plans.SCRIPTED))
@pytest.mark.parametrize("budget", [1, 2, 7, 30])
def test_scripted_plans_fall_strictly_from_noise_to_clean(name, budget):
    times = plans.SCRIPTED[name](load("digits").schedule, budget)
    assert times[0] == 1000 and times[-1] == 0 and len(times) == budget + 1
    assert all(a > b for a, b in itertools.pairwise(times))


def test_uniform_log_snr_is_uniform_in_log_snr():
    schedule = load("digits").schedule
    levels = schedule.log_snr[torch.tensor(plans.uniform_log_snr(schedule, 8)[:-1])]
    gaps = levels.diff()
    assert float(gaps.std() / gaps.mean()) < 0.02


def test_following_a_plan_takes_its_number_of_evaluations():
    envs = make(num_envs=8)
    envs.reset(seed=0)
    task = envs.unwrapped.task
    plan = torch.tensor(plans.uniform(task.schedule, 8))
    for _ in range(8):
        action = task.follow(envs.unwrapped.state, plan)
        _, _, terminated, _, info = envs.step(action.numpy())
    assert terminated.all() and (info["metrics"]["evaluations"] == 8).all()


def test_searched_plans_beat_uniform_ones_of_equal_budget():
    denoiser = load("digits")
    bank = Bank.load(denoiser, "test")
    best = plans.searched(denoiser, "ddim")
    assert set(range(2, 11)) <= set(best), "run `python -m benchmarks.open_loop`"
    rows = torch.arange(256)
    for budget in (3, 5, 10):
        errors = [
            rewards.fidelity_error(
                sample(denoiser, bank.noise[rows], bank.condition[rows], torch.tensor(times)),
                bank.solution[rows],
            ).mean()
            for times in (best[budget], plans.uniform(denoiser.schedule, budget))
        ]
        assert errors[0] < 0.95 * errors[1]


def test_a_budget_runs_the_sampler_on_a_uniform_grid():
    envs = make(BUDGET, num_envs=len(BUDGETS))
    _, reward, terminated, info = play(envs, [[k] for k in range(len(BUDGETS))])
    task, state = envs.unwrapped.task, envs.unwrapped.state
    assert terminated.all()
    assert info["metrics"]["evaluations"].tolist() == list(BUDGETS)
    for row, budget in enumerate(BUDGETS[:8]):
        pick = state.instance[row : row + 1]
        image = sample(
            task.denoiser,
            task.bank.noise[pick],
            task.bank.condition[pick],
            uniform_times(task.schedule, budget),
        )
        error = float(rewards.fidelity_error(image, task.solution(state)[row : row + 1])[0])
        assert info["metrics"]["error"][row] == pytest.approx(error, abs=1e-5)
        assert reward[row] == pytest.approx(-error - 0.006 * budget, abs=1e-5)


def test_more_budget_costs_less_error():
    envs = make(BUDGET, num_envs=64)
    errors = []
    for action in (2, 4, 7, 12):
        _, _, _, info = play(envs, [[action]] * 64)
        errors.append(info["metrics"]["error"].mean())
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.05


@pytest.mark.parametrize("env_id", [SCHEDULE, BUDGET])
def test_cheats_score_below_the_reference(env_id):
    envs = make(env_id, num_envs=64, autoreset_mode=AutoresetMode.SAME_STEP)
    reference = genenvs.evaluate(envs, "reference", episodes=64).interval()
    for policy in (cheats.smallest, cheats.largest):
        found = genenvs.evaluate(envs, policy(envs), episodes=64).interval()
        assert found.high < reference.low


def test_gold_metrics_notice_what_the_reward_does_not():
    """A sample of the wrong class at full fidelity is impossible; of low fidelity it shows."""
    good = genenvs.evaluate(SCHEDULE, "reference", episodes=256)
    envs = make(autoreset_mode=AutoresetMode.SAME_STEP, num_envs=256)
    poor = genenvs.evaluate(envs, cheats.largest(envs), episodes=256)
    assert good.interval("accuracy").mean > 0.95
    assert poor.sets["frechet"].mean > 1.5 * good.sets["frechet"].mean
    assert poor.sets["diversity"].mean < good.sets["diversity"].mean


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sampler": "euler"}, "ddim, dpmpp_2m"),
        ({"generator": "digit"}, "digits"),
        ({"horizon": 0}, "horizon must be an integer >= 1"),
        ({"split": "tset"}, "train, validation, test"),
        ({"reward_weights": {"qualty": 1.0}}, "quality, evaluations"),
        ({"reward_weights": {"quality": float("nan")}}, "finite"),
        ({"instances": 4096}, "has only 2048"),
        ({"device": "gpu"}, "device"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        make(**arguments)


def test_an_unknown_keyword_lists_the_known_ones():
    with pytest.raises(TypeError, match=r"'smapler'.*generator, sampler.*split.*num_envs"):
        make(smapler="ddim")


def test_a_budget_has_no_horizon_but_one():
    with pytest.raises(ValueError, match="horizon must be 1"):
        make(BUDGET, horizon=2)


def test_the_task_checks_nothing_twice():
    """The same weights serve every environment of a process."""
    first, second = make().unwrapped.task, make().unwrapped.task
    assert isinstance(first, DenoiseSchedule) and first.denoiser.unet is second.denoiser.unet
