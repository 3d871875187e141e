"""Claims about one denoising step: its Gaussian, its log-probability, its divergence."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genenvs.generators.sampling import ddim
from genenvs.generators.schedule import from_alphas_cumprod
from genenvs.generators.transition import (
    RULES,
    as_diffusion,
    check_rule,
    cps,
    dance,
    ddim_eta,
    ddpm,
    flow_grpo,
    gaussian_step,
    kl,
    log_prob,
    stochastic,
)

SCHEDULE = from_alphas_cumprod(torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000).double(), 0))
MEAN, SPREAD = 0.5, 0.6  # the analytic target N(MEAN, SPREAD^2)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def places(rule: str, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random times of a rule's process, each row's next one below its own."""
    pair = torch.rand(rows, 2, generator=torch.Generator().manual_seed(seed)).sort(1).values
    if RULES[rule].kind == "diffusion":
        pair = (pair * 998).round() + torch.tensor([0.0, 2.0])
    return pair[:, 1], pair[:, 0]


def predicted(x: Tensor, time: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """The exact posterior mean of clean data under the target, and the noise that goes with it."""
    if kind == "diffusion":
        alpha, sigma = SCHEDULE.alpha[time.long()], SCHEDULE.sigma[time.long()]
    else:
        alpha, sigma = 1 - time, time
    gain = alpha * SPREAD**2 / (alpha.square() * SPREAD**2 + sigma.square())
    clean = MEAN + gain[:, None] * (x - alpha[:, None] * MEAN)
    return clean, (x - alpha[:, None] * clean) / sigma[:, None]


@given(std=st.floats(2e-3, 10), size=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_log_prob_is_the_closed_form_summed_over_dimensions(std: float, size: int) -> None:
    mean, x = normal(3, size), normal(3, size, seed=1)
    scale = torch.full((3,), std)
    expected = torch.distributions.Normal(mean.double(), std).log_prob(x.double()).sum(1)
    found = log_prob(x, mean, scale)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


def test_log_prob_golden_value() -> None:
    # -0.5 (1 + 4) - 2 log 2 - log(2 pi) = -2.5 - 1.386294 - 1.837877
    found = log_prob(torch.tensor([[2.0, -4.0]]), torch.zeros(1, 2), torch.tensor([2.0]))
    torch.testing.assert_close(found, torch.tensor([-5.724171]))


def test_deterministic_steps_are_masked_and_not_floored() -> None:
    std = torch.tensor([0.0, 9e-4, 1e-3, 0.5])
    assert stochastic(std).tolist() == [False, False, True, True]
    mean = normal(4, 2, 3, 3).requires_grad_()
    values = log_prob(normal(4, 2, 3, 3, seed=1), mean, std)
    assert values[:2].tolist() == [0, 0] and (values[2:] != 0).all()
    assert kl(mean, mean + 1, std)[:2].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(values.sum(), mean)
    assert torch.isfinite(gradient).all()
    assert (gradient[:2] == 0).all() and (gradient[2:] != 0).all()


def test_kl_equals_monte_carlo() -> None:
    mean, reference, std = normal(1, 6), normal(1, 6, seed=1) * 0.3, torch.tensor([0.7])
    x = mean + 0.7 * normal(200_000, 6, seed=2)
    rows = len(x)
    samples = log_prob(x, mean.expand(rows, -1), std.expand(rows)) - log_prob(
        x, reference.expand(rows, -1), std.expand(rows)
    )
    error = float(samples.std()) / rows**0.5
    assert abs(float(samples.mean() - kl(mean, reference, std))) < 4 * error


def test_kl_of_a_flow_step_contains_its_length_in_time() -> None:
    x, clean, noise = normal(1, 8), normal(1, 8, seed=1), normal(1, 8, seed=2)
    time, later = torch.tensor([0.6]), torch.tensor([0.5])
    mean, std = flow_grpo(x, clean, noise, time, later)
    other, _ = flow_grpo(x, clean + 0.1, noise, time, later)
    rate = 0.7 * math.sqrt(0.6 / 0.4)
    without_length = float((mean - other).square().sum() / (2 * rate**2))
    torch.testing.assert_close(float(kl(mean, other, std)) * 0.1, without_length, rtol=1e-4, atol=0)


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_equals_its_rows_one_by_one(rule: str) -> None:
    rows = 9
    x, clean, noise = (normal(rows, 2, 3, 3, seed=seed) for seed in range(3))
    time, later = places(rule, rows)
    level = torch.linspace(0, 1, rows)
    mean, std = gaussian_step(rule, x, clean, noise, time, later, level, SCHEDULE)
    assert mean.shape == x.shape and std.shape == (rows,)
    assert mean.dtype == std.dtype == torch.float32
    for row in range(rows):
        one = slice(row, row + 1)
        of_one, std_one = gaussian_step(
            rule, x[one], clean[one], noise[one], time[one], later[one], float(level[row]), SCHEDULE
        )
        torch.testing.assert_close(of_one, mean[one])
        torch.testing.assert_close(std_one, std[one], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("rule", [name for name in RULES if name != "ddpm"])
def test_level_0_is_the_deterministic_sampler(rule: str) -> None:
    clean, noise = normal(6, 5), normal(6, 5, seed=1)
    time, later = places(rule, 6)
    if RULES[rule].kind == "diffusion":
        here = time.long()
        x = SCHEDULE.alpha[here, None] * clean + SCHEDULE.sigma[here, None] * noise
        expected = ddim(x, clean, noise, here, later.long(), SCHEDULE)
    else:
        x = (1 - time[:, None]) * clean + time[:, None] * noise
        expected = x + (noise - clean) * (later - time)[:, None]  # Euler
    mean, std = gaussian_step(rule, x, clean, noise, time, later, 0.0, SCHEDULE)
    assert (std == 0).all()
    torch.testing.assert_close(mean, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_equals_diffusers(eta: float) -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(1000, 1e-4, 0.02, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(50)
    x, noise, fresh = normal(1, 4), normal(1, 4, seed=1), normal(1, 4, seed=2)
    for timestep in (999, 499, 39, 19):
        expected = scheduler.step(noise, timestep, x, eta=eta, variance_noise=fresh).prev_sample
        time, later = torch.tensor([timestep + 1.0]), torch.tensor([timestep - 19.0])
        alpha, sigma = SCHEDULE.alpha[timestep + 1], SCHEDULE.sigma[timestep + 1]
        clean = (x - sigma * noise) / alpha
        mean, std = ddim_eta(clean, noise, time, later, SCHEDULE, eta)
        torch.testing.assert_close(mean + std * fresh, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("timestep", [999, 500, 3, 1])
def test_ddpm_equals_diffusers_posterior(timestep: int) -> None:
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(1000, 1e-4, 0.02, clip_sample=False)
    x, noise = normal(1, 4), normal(1, 4, seed=1)
    torch.manual_seed(0)
    made = scheduler.step(noise, timestep, x, generator=torch.Generator().manual_seed(5))
    fresh = torch.randn(1, 4, generator=torch.Generator().manual_seed(5))
    place = torch.tensor([timestep + 1.0])
    clean = (x - SCHEDULE.sigma[timestep + 1] * noise) / SCHEDULE.alpha[timestep + 1]
    mean, std = ddpm(clean, noise, place, place - 1, SCHEDULE)
    torch.testing.assert_close(mean + std * fresh, made.prev_sample, rtol=5e-4, atol=5e-4)


def test_flow_golden_values() -> None:
    x, clean, noise = torch.tensor([[0.8]]), torch.tensor([[0.2]]), torch.tensor([[1.2]])
    time, later = torch.tensor([0.6]), torch.tensor([0.5])
    # v = 1, dt = -0.1; Flow-GRPO: g^2 = 0.49 * 1.5 = 0.735, g^2 / (2 s) = 0.6125
    mean, std = flow_grpo(x, clean, noise, time, later, 0.7)
    torch.testing.assert_close(mean, torch.tensor([[0.8 - 0.1 * (1 + 0.6125 * 1.2)]]))
    torch.testing.assert_close(std, torch.tensor([math.sqrt(0.735 * 0.1)]))
    # DanceGRPO: g^2 / (2 s) = 0.09 / 1.2 = 0.075
    mean, std = dance(x, clean, noise, time, later, 0.3)
    torch.testing.assert_close(mean, torch.tensor([[0.8 - 0.1 * (1 + 0.075 * 1.2)]]))
    torch.testing.assert_close(std, torch.tensor([0.3 * math.sqrt(0.1)]))
    # CPS: std = 0.5 sin(0.4 pi), mean = 0.5 * 0.2 + 0.5 cos(0.4 pi) * 1.2
    mean, std = cps(clean, noise, time, later, 0.8)
    torch.testing.assert_close(mean, torch.tensor([[0.1 + 0.6 * math.cos(0.4 * math.pi)]]))
    torch.testing.assert_close(std, torch.tensor([0.5 * math.sin(0.4 * math.pi)]))


def test_flow_grpo_replaces_only_the_infinite_denominator_at_s_1() -> None:
    x = normal(1, 3)
    _, std = flow_grpo(x, x, x, torch.tensor([1.0]), torch.tensor([0.9]), 0.7)
    torch.testing.assert_close(std, torch.tensor([0.7 * math.sqrt(1 / 0.1 * 0.1)]))


def test_which_last_steps_are_deterministic() -> None:
    x, clean, noise = normal(1, 3), normal(1, 3, seed=1), normal(1, 3, seed=2)
    end, step = torch.tensor([0.0]), torch.tensor([0.25])
    for rule, moves in {"flow_grpo": True, "dance": True, "cps": False}.items():
        assert bool(stochastic(gaussian_step(rule, x, clean, noise, step, end)[1])) is moves
    for time in (1.0, 20.0):
        _, std = ddpm(clean, noise, torch.tensor([time]), end, SCHEDULE)
        assert float(std) == 0


@pytest.mark.parametrize("rule", RULES)
def test_a_row_that_stays_keeps_its_value(rule: str) -> None:
    diffusion = RULES[rule].kind == "diffusion"
    time = torch.tensor([0.0, 500.0, 1000.0] if diffusion else [0.0, 0.5, 1.0])
    clean, noise = normal(3, 4), normal(3, 4, seed=1)
    if diffusion:
        sigma = SCHEDULE.sigma[time.long(), None]
        x = SCHEDULE.alpha[time.long(), None] * clean + sigma * noise
    else:
        x = (1 - time[:, None]) * clean + time[:, None] * noise
    level = 0.0 if rule == "cps" else 0.7  # CPS renews noise whether or not time passes
    mean, std = gaussian_step(rule, x, clean, noise, time, time, level, SCHEDULE)
    torch.testing.assert_close(mean, x, rtol=1e-5, atol=1e-5)
    assert (std == 0).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_marginals_of_the_sde_are_those_of_the_ode(rule: str, share: float) -> None:
    """With the exact prediction of a Gaussian target every rule samples that target."""
    kind, rows, steps = RULES[rule].kind, 20_000, 200
    x, generator = normal(rows, 1), torch.Generator().manual_seed(1)
    if kind == "diffusion":
        times = torch.linspace(1000, 0, steps + 1).round()
    else:
        times = torch.linspace(1, 0, steps + 1)
    level: float | Tensor = RULES[rule].level * share
    if rule == "cps":
        # A fixed share of new noise at every step has no limit in ever shorter steps.
        level = level * steps**-0.5
    for here, there in itertools.pairwise(times):
        time, later = here.expand(rows), there.expand(rows)
        clean, noise = predicted(x, time, kind)
        mean, std = gaussian_step(rule, x, clean, noise, time, later, level, SCHEDULE)
        x = mean + std[:, None] * torch.randn(rows, 1, generator=generator)
    assert abs(float(x.mean()) - MEAN) < 0.02
    assert abs(float(x.std()) - SPREAD) < 0.02


def test_cps_keeps_coefficients_where_clean_and_noise_are_known() -> None:
    clean, noise = normal(50_000, 1), normal(50_000, 1, seed=1)
    time, later = torch.full((50_000,), 0.7), torch.full((50_000,), 0.4)
    mean, std = cps(clean, noise, time, later)
    x = mean + std[:, None] * normal(50_000, 1, seed=2)
    assert abs(float((x * clean).mean()) - 0.6) < 0.02  # the share of clean
    assert abs(float((x - 0.6 * clean).std()) - 0.4) < 0.01  # all noise


@pytest.mark.parametrize("rule", RULES)
def test_gradients_flow_to_the_prediction(rule: str) -> None:
    time, later = places(rule, 3)
    x = normal(3, 4)
    clean, noise = normal(3, 4, seed=1).requires_grad_(), normal(3, 4, seed=2).requires_grad_()
    mean, std = gaussian_step(rule, x, clean, noise, time, later, None, SCHEDULE)
    x_next = (mean + std[:, None] * normal(3, 4, seed=3)).detach()
    value = log_prob(x_next, mean, std).sum()
    gradients = torch.autograd.grad(value, [clean, noise])
    assert all(torch.isfinite(each).all() and each.abs().sum() > 0 for each in gradients)


def test_errors_name_what_is_known() -> None:
    x, time = normal(1, 3), torch.tensor([0.5])
    with pytest.raises(ValueError, match="ddim_eta, ddpm, flow_grpo, dance, cps; got 'euler'"):
        gaussian_step("euler", x, x, x, time, time)
    with pytest.raises(ValueError, match="rule of a flow model must be one of flow_grpo, dance"):
        check_rule("ddpm", "flow")
    with pytest.raises(ValueError, match="needs their schedule"):
        gaussian_step("ddpm", x, x, x, time, time)
    with pytest.raises(ValueError, match=r"level must be in 0..1; got 1.5"):
        gaussian_step("cps", x, x, x, time, time, 1.5)


def test_a_flow_seen_as_diffusion_is_made_of_the_same_parts() -> None:
    fine = from_alphas_cumprod(torch.linspace(1, 1e-6, 20_000, dtype=torch.float64))
    clean, noise = normal(33, 4, 3, 3), normal(33, 4, 3, 3, seed=1)
    time = torch.linspace(0.0, 1.0, 33)
    s = time[:, None, None, None]
    x, place = as_diffusion((1 - s) * clean + s * noise, time, fine)
    alpha, sigma = (each[place.long(), None, None, None] for each in (fine.alpha, fine.sigma))
    torch.testing.assert_close(x, alpha * clean + sigma * noise, atol=2e-2, rtol=0)
    assert place[0] == 0 and place[-1] == fine.steps
    one, its = as_diffusion(x[7:8], time[7:8], SCHEDULE)
    many, theirs = as_diffusion(x, time, SCHEDULE)
    assert one.equal(many[7:8]) and its.equal(theirs[7:8])
