"""Claims about the sampler updates: equal to diffusers, to numpy, and to themselves by rows."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genenvs.generators.denoiser import Denoiser, load
from genenvs.generators.sampling import (
    clean_from_noise,
    ddim,
    dpmpp_2m,
    sample,
    uniform_times,
)
from genenvs.generators.schedule import from_alphas_cumprod

SCHEDULE = from_alphas_cumprod(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000).double(), 0))
TIMES = st.lists(st.integers(0, 1000), min_size=2, max_size=8, unique=True)


def starts(denoiser: Denoiser, rows: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.randn(rows, *denoiser.shape, generator=torch.Generator().manual_seed(7))
    return noise, torch.arange(rows) % denoiser.num_conditions


def diffusers_sample(denoiser, scheduler, timesteps, noise, condition) -> torch.Tensor:
    x = noise
    for step in timesteps:
        time = torch.full((len(x),), int(step))
        x = scheduler.step(denoiser.unet(x, time, condition).sample, step, x).prev_sample
    return x


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("steps", [1, 4, 20])
def test_ddim_sampling_equals_diffusers(folders: dict, kind: str, steps: int) -> None:
    from diffusers import DDIMScheduler

    denoiser = load(str(folders[kind]))
    noise, condition = starts(denoiser)
    scheduler = DDIMScheduler.from_pretrained(
        folders[kind] / "scheduler",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    times = uniform_times(denoiser.schedule, steps)
    assert (times[:-1] - 1).tolist() == scheduler.timesteps.tolist()
    expected = diffusers_sample(denoiser, scheduler, scheduler.timesteps, noise, condition)
    found = sample(denoiser, noise, condition, times)
    scale = float(expected.abs().max())  # an untrained network may grow far beyond 1
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("grid", [[100, 0], [100, 60, 0], [100, 90, 55, 54, 20, 3, 0]])
def test_dpmpp_2m_sampling_equals_diffusers(folders: dict, kind: str, grid: list[int]) -> None:
    from diffusers import DPMSolverMultistepScheduler

    denoiser = load(str(folders[kind]))
    noise, condition = starts(denoiser)
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=100,
        prediction_type=kind,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(timesteps=[each - 1 for each in grid[:-1]])
    expected = diffusers_sample(denoiser, scheduler, scheduler.timesteps, noise, condition)
    found = sample(denoiser, noise, condition, torch.tensor(grid), "dpmpp_2m")
    scale = float(expected.abs().max())
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-4, atol=1e-4)


def rows_of(seed: int, rows: int = 6) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(rows, 1, 3, 2, generator=generator) for _ in range(3))


def sorted_times(seed: int, rows: int = 6) -> torch.Tensor:
    """Three falling times per row, the last of some rows 0."""
    generator = np.random.default_rng(seed)
    drawn = [np.sort(generator.choice(999, 3, replace=False) + 1)[::-1] for _ in range(rows)]
    times = torch.from_numpy(np.stack(drawn).copy())
    times[::3, 2] = 0
    return times.T


@given(st.integers(0, 10_000))
def test_ddim_equals_its_equation_in_plain_numpy(seed: int) -> None:
    x, noise, _ = rows_of(seed)
    _, time, time_next = sorted_times(seed)
    clean = clean_from_noise(x, noise, time, SCHEDULE)
    found = ddim(x, clean, noise, time, time_next, SCHEDULE)
    alpha, sigma = SCHEDULE.alpha.double().numpy(), SCHEDULE.sigma.double().numpy()
    for row in range(len(x)):
        now, after = int(time[row]), int(time_next[row])
        clean_row = (x[row].double().numpy() - sigma[now] * noise[row].numpy()) / alpha[now]
        expected = alpha[after] * clean_row + sigma[after] * noise[row].numpy()
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=2e-4, atol=2e-4)


@given(st.integers(0, 10_000))
def test_dpmpp_2m_equals_its_equation_in_plain_numpy(seed: int) -> None:
    x, clean, before = rows_of(seed)
    previous, time, time_next = sorted_times(seed)
    first = torch.tensor([row % 2 == 1 for row in range(len(x))])
    found = dpmpp_2m(x, clean, before, time, previous, time_next, SCHEDULE, first)
    alpha, sigma = SCHEDULE.alpha.double().numpy(), SCHEDULE.sigma.double().numpy()
    with np.errstate(divide="ignore"):
        lam = np.log(alpha) - np.log(sigma)
    for row in range(len(x)):
        s, t, u = (int(each[row]) for each in (previous, time, time_next))
        target = clean[row].double().numpy()
        if not first[row] and u != 0:
            ratio = (lam[t] - lam[s]) / (lam[u] - lam[t])
            target = target + (target - before[row].double().numpy()) / (2 * ratio)
        step = lam[u] - lam[t]
        expected = sigma[u] / sigma[t] * x[row].double().numpy()
        expected = expected - alpha[u] * np.expm1(-step) * target
        scale = 1 + np.abs(expected).max()
        np.testing.assert_allclose(found[row].numpy() / scale, expected / scale, atol=2e-5)


@given(st.integers(0, 10_000))
def test_first_order_dpmpp_is_ddim(seed: int) -> None:
    x, noise, other = rows_of(seed)
    _, time, time_next = sorted_times(seed)
    time = time.clamp(max=900)  # beyond, 1 / alpha magnifies rounding
    time_next = torch.minimum(time_next, time)
    clean = clean_from_noise(x, noise, time, SCHEDULE)
    first = torch.ones(len(x), dtype=torch.bool)
    found = dpmpp_2m(x, clean, other, time, time, time_next, SCHEDULE, first)
    expected = ddim(x, clean, noise, time, time_next, SCHEDULE)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


@given(TIMES)
def test_ddim_with_the_true_noise_lands_on_the_true_latent(drawn: list[int]) -> None:
    """With an exact prediction any strides give the same trajectory: no discretisation error."""
    clean, noise, _ = rows_of(1)
    drawn = sorted(drawn, reverse=True)
    for time, time_next in itertools.pairwise(drawn):
        now, after = torch.full((6,), time), torch.full((6,), time_next)
        x = SCHEDULE.alpha[time] * clean + SCHEDULE.sigma[time] * noise
        found = ddim(x, clean, noise, now, after, SCHEDULE)
        expected = SCHEDULE.alpha[time_next] * clean + SCHEDULE.sigma[time_next] * noise
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_ragged_strides_in_a_batch_equal_a_loop_over_rows(tiny: Denoiser, sampler: str) -> None:
    noise, condition = starts(tiny, 4)
    grids = [[100, 50, 0, 0, 0], [100, 99, 98, 97, 0], [100, 80, 40, 10, 0], [60, 30, 20, 0, 0]]
    together = sample(tiny, noise, condition, torch.tensor(grids), sampler)
    for row, grid in enumerate(grids):
        short = torch.tensor(grid[: grid.index(0) + 1])
        alone = sample(tiny, noise[row, None], condition[row, None], short, sampler)
        torch.testing.assert_close(together[row, None], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_a_finished_row_keeps_its_value_and_disturbs_nobody(tiny: Denoiser, sampler: str) -> None:
    noise, condition = starts(tiny, 2)
    times = torch.tensor([[0, 0, 0], [100, 50, 0]])
    found = sample(tiny, noise, condition, times, sampler)
    assert torch.equal(found[0], noise[0])
    alone = sample(tiny, noise[1:], condition[1:], times[1], sampler)
    torch.testing.assert_close(found[1:], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_sampling_in_chunks_changes_nothing_and_writes_to_no_input(folders, sampler) -> None:
    whole = load(str(folders["v_prediction"]))
    chunked = load(str(folders["v_prediction"]), max_batch=2)
    noise, condition = starts(whole)
    before = noise.clone()
    times = uniform_times(whole.schedule, 5)
    expected = sample(whole, noise, condition, times, sampler)
    found = sample(chunked, noise, condition, times, sampler)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(noise, before)
    assert not found.is_inference()


def test_sampling_costs_one_evaluation_per_stride(tiny: Denoiser) -> None:
    calls: list[int] = []
    hook = tiny.unet.register_forward_hook(lambda *_: calls.append(1))
    sample(tiny, *starts(tiny), uniform_times(tiny.schedule, 7), "dpmpp_2m")
    hook.remove()
    assert len(calls) == 7


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m"])
def test_sampling_reads_nothing_from_the_device(tiny: Denoiser, sampler: str) -> None:
    """On the device `meta`, where no tensor has values, every look at one raises."""
    unet = copy.deepcopy(tiny.unet).to("meta")
    seen: list[int] = []
    unet.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    meta = replace(
        tiny,
        unet=unet,
        device=torch.device("meta"),
        schedule=tiny.schedule.to(torch.device("meta")),
        max_batch=2,
        _table=tiny._table.to("meta"),
    )
    noise, condition = (each.to("meta") for each in starts(tiny, 3))
    times = torch.tensor([[100, 50, 50, 0], [100, 80, 20, 0], [100, 0, 0, 0]])
    found = sample(meta, noise, condition, times, sampler)
    assert found.device.type == "meta" and found.shape == noise.shape
    assert seen == [2, 1, 2, 1]


def test_the_uniform_grid_runs_from_the_last_timestep_to_clean() -> None:
    assert uniform_times(SCHEDULE, 4).tolist() == [1000, 750, 500, 250, 0]
    assert uniform_times(SCHEDULE, 3).tolist() == [1000, 667, 333, 0]
    assert uniform_times(SCHEDULE, 1000).tolist() == list(range(1000, -1, -1))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_more_steps_than_timesteps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=rf"steps must be in 1\.\.1000; got {steps}"):
        uniform_times(SCHEDULE, steps)


def test_wrong_samplers_and_grids_are_refused(tiny: Denoiser) -> None:
    noise, condition = starts(tiny, 2)
    for times, message in (
        (torch.tensor([1.0, 0.0]), "times must be int64"),
        (torch.tensor([50, 60, 0]), "must not rise"),
        (torch.tensor([101, 0]), r"0\.\.100"),
        (torch.tensor([50, -1]), r"0\.\.100"),
    ):
        with pytest.raises(ValueError, match=message):
            sample(tiny, noise, condition, times)
    with pytest.raises(ValueError, match="sampler must be one of ddim, dpmpp_2m; got 'euler'"):
        sample(tiny, noise, condition, torch.tensor([100, 0]), "euler")
