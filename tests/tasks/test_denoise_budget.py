"""A budget is sampled once, where the episode ends, and the device is asked for K integers."""

import copy
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

import genenvs  # noqa: F401  (registers the ids)
from genenvs.core.vector import TaskVectorEnv
from genenvs.generators.sampling import sample, uniform_times
from genenvs.tasks.denoise_schedule.budget import BUDGETS, BudgetState, DenoiseBudget

ACTIONS = np.array([0, 3, 1, 3])  # 1, 4, 2 and 4 evaluations
EVALUATIONS = [4, 3, 2, 2]  # rows of each


@pytest.fixture
def make():
    """Environments with a network of their own, and the rows of each evaluation it makes."""
    hooks = []

    def make(mode: AutoresetMode, **arguments) -> tuple[TaskVectorEnv, list[int]]:
        envs = gym.make_vec(
            "genenvs/DenoiseBudget-v0",
            num_envs=4,
            split="test",
            autoreset_mode=mode,
            keep_final=True,
            render_mode="rgb_array",
            **arguments,
        ).unwrapped
        rows: list[int] = []
        unet = envs.task.denoiser.unet
        hooks.append(unet.register_forward_hook(lambda _, given, __: rows.append(len(given[0]))))
        envs.reset(seed=0)
        return envs, rows

    yield make
    for hook in hooks:
        hook.remove()


def expected(task: DenoiseBudget, state: BudgetState) -> torch.Tensor:
    """Each row sampled alone."""
    images = []
    for row in range(len(state.instance)):
        pick = state.instance[row : row + 1]
        times = uniform_times(task.schedule, int(state.budget[row]))
        noise = task.bank.noise[pick]
        images.append(sample(task.denoiser, noise, task.bank.condition[pick], times, task.sampler))
    return torch.cat(images)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_what_is_judged_was_sampled_once(make, mode: AutoresetMode, sampler: str) -> None:
    envs, rows = make(mode, sampler=sampler)
    info = envs.step(ACTIONS)[-1]
    assert rows == EVALUATIONS
    final = info["final_state"]
    envs.task.judge(final)
    envs.task.features(final)
    envs.task.render(final, 1)
    envs.task.artefact(final, 1)
    assert rows == EVALUATIONS  # nothing was sampled again
    assert final.budget.tolist() == [BUDGETS[k] for k in ACTIONS]
    torch.testing.assert_close(final.image, expected(envs.task, final), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_an_ended_row_shows_its_sample_until_it_is_reset(make, mode: AutoresetMode) -> None:
    envs, _ = make(mode)
    final = envs.step(ACTIONS)[-1]["final_state"]
    for row in range(4):
        shown = np.asarray(envs.artefact(row)).astype(int)
        sampled = np.asarray(envs.task.artefact(final, row)).astype(int)
        noise = np.asarray(envs.task.artefact(envs.task.initial_state(final.instance, final.key),
                                              row)).astype(int)  # fmt: skip
        assert abs(shown - sampled).max() <= 1  # another batch, rounded to bytes
        assert abs(shown - noise).max() > 50
    assert len(envs.render()) == 4


def test_a_decision_under_an_outer_cap_is_sampled_for_its_judges(make) -> None:
    envs, _ = make(AutoresetMode.SAME_STEP, max_episode_steps=1)
    final = envs.step(ACTIONS)[-1]["final_state"]
    torch.testing.assert_close(
        envs.task.images(final), expected(envs.task, final), atol=1e-5, rtol=0
    )


def test_the_next_episode_starts_from_its_own_noise(make) -> None:
    envs, _ = make(AutoresetMode.SAME_STEP)
    envs.step(ACTIONS)
    assert envs.state.image.equal(envs.task.bank.noise[envs.state.instance])
    assert not envs.state.pending.any() and not envs.state.budget.any()


def test_the_host_reads_the_budgets_and_nothing_else(make) -> None:
    """On the device `meta`, where no tensor has values, every look at one raises."""
    envs, _ = make(AutoresetMode.DISABLED)
    action = torch.from_numpy(ACTIONS)
    state = envs.task.transition(envs.state, action).state
    task, meta = copy.copy(envs.task), torch.device("meta")
    unet = copy.deepcopy(task.denoiser.unet).to(meta)
    rows: list[int] = []
    unet.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    task.schedule = task.schedule.to(meta)
    task.denoiser = replace(
        task.denoiser,
        unet=unet,
        device=meta,
        schedule=task.schedule,
        _table=task.denoiser._table.to(meta),
    )
    bank = task.bank
    task.bank = replace(
        bank,
        noise=bank.noise.to(meta),
        condition=bank.condition.to(meta),
        solution=bank.solution.to(meta),
    )
    elsewhere = {name: value.to(meta) for name, value in state.tensors().items()}
    outcome = task.outcome(state.replace(**elsewhere | {"pending": state.pending}))
    assert outcome.metrics["error"].device == meta
    assert rows == EVALUATIONS
    with pytest.raises(NotImplementedError, match="meta"):  # the one copy there is
        task.outcome(state.replace(**elsewhere))


def test_sampling_leaves_what_was_decided(make) -> None:
    """Also where `outcome` is given the very state that `transition` made."""
    envs, _ = make(AutoresetMode.DISABLED)
    state = envs.task.transition(envs.state, torch.from_numpy(ACTIONS)).state
    found = envs.task.outcome(state).metrics["evaluations"]
    assert found.tolist() == state.budget.tolist() == [BUDGETS[k] for k in ACTIONS]
    assert state.pending.tolist() == [0] * 4
