"""The arithmetic behind the demo's claims."""

import numpy as np
import pytest
import torch

from benchmarks import frontier
from benchmarks.frontier import Point
from benchmarks.open_loop import grid_of, profile_of
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import load
from genenvs.tasks.denoise_schedule import plans


def point(family, evaluations, *rows):
    return Point.of(family, evaluations, np.array(rows, dtype=float))


CURVE = [point("uniform", 4, 0.16, 0.16), point("uniform", 8, 0.04, 0.04)]


def test_evaluations_are_those_of_a_mixture_of_two_budgets():
    assert frontier.evaluations_for(CURVE, "uniform", 0.10) == pytest.approx(6.0)
    assert frontier.evaluations_for(CURVE, "uniform", 0.16) == pytest.approx(4.0)
    assert frontier.evaluations_for(CURVE, "uniform", 0.03) is None


def test_a_saving_is_the_share_of_evaluations_at_equal_error():
    assert frontier.saving(CURVE, point("learned", 4.5, 0.10, 0.10)) == pytest.approx(0.25)
    assert frontier.saving(CURVE, point("learned", 9.0, 0.10, 0.10)) == pytest.approx(-0.5)


def test_a_savings_interval_covers_it_and_knows_certainty():
    agent = point("learned", 4.5, 0.10, 0.10)
    found = frontier.saving_interval(CURVE, agent, np.array([4.5, 4.5]))
    assert found == pytest.approx((0.25, 0.25))
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 0.01, (3, 200))
    curve = [
        Point.of("uniform", n, m + noise[k]) for k, (n, m) in enumerate([(4, 0.16), (8, 0.04)])
    ]
    agent = Point.of("learned", 4.5, 0.10 + noise[2])
    low, high = frontier.saving_interval(curve, agent, np.full(200, 4.5))
    assert low < frontier.saving(curve, agent) < high and high - low < 0.1


def test_rows_are_mixed_between_neighbouring_budgets():
    curve = [point("x", 2, 0.4, 0.1), point("x", 4, 0.1, 0.1)]
    np.testing.assert_allclose(frontier.rows_at(curve, "x", 3), [0.25, 0.1])
    assert frontier.rows_at(curve, "x", 5) is None


@pytest.mark.parametrize("budget", [1, 2, 5, 12])
def test_a_profile_and_its_grid_agree(budget):
    profile = np.linspace(0.5, -0.5, budget)
    grid = grid_of(profile, budget, 1000)
    assert grid[0] == 1000 and grid[-1] == 0 and len(grid) == budget + 1
    again = profile_of(grid, budget)
    np.testing.assert_allclose(again - again.mean(), profile - profile.mean(), atol=0.05)


def test_the_library_solver_agrees_with_ours_on_the_same_model():
    """DPM-Solver++(2M) of diffusers and of the suite: same order, same fidelity."""
    denoiser = load("digits")
    whole = Bank.load(denoiser, "test")
    bank = Bank(whole.noise[:64], whole.condition[:64], whole.solution[:64], whole.key)
    theirs = frontier.library("DPM-Solver++", denoiser, bank, 20)
    times = plans.uniform(denoiser.schedule, 20)
    ours = frontier.open_loop("ours", denoiser, bank, times, "dpmpp_2m")
    assert theirs.error == pytest.approx(ours.error, rel=0.35)
    assert theirs.evaluations == 20


def test_the_betas_are_the_training_schedule():
    denoiser = load("digits")
    betas = frontier._betas(denoiser)
    np.testing.assert_allclose(betas, np.linspace(1e-4, 0.02, 1000), rtol=2e-2, atol=2e-6)
    assert torch.tensor(betas).isfinite().all()


def test_an_agents_rows_are_compared_with_the_same_noise():
    """Episodes come in the order of a permutation; rows are paired by instance."""
    found = frontier.evaluate_agent("reference", episodes=64, num_envs=64)
    evaluations, error = frontier.by_instance(found)
    instance = found.final.instance.sort().values
    bank = Bank.load(load("digits"), "test")
    rows = found.final.instance.argsort()
    again = frontier.fidelity_error(found.final.x[rows], bank.solution[instance])
    np.testing.assert_allclose(error, again, atol=1e-6)
    assert (evaluations == found.episodes["evaluations"].mean()).all()
