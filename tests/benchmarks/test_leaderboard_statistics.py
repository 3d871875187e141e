"""The board's statistics against rliable's values and against hand-made ones."""

import warnings
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.leaderboard import statistics
from genenvs.core.bootstrap import bootstrap
from tests.needs import MACHINE, import_or_skip, why_missing

scipy_stats = import_or_skip("scipy.stats", extra="benchmarks")

# Scores of two agents, drawn once; rows are runs, columns environments. The values that rliable
# 1.2.0 (arch 7.2, numpy 2.4, 50,000 resamples) gives for them:
#   metrics.aggregate_iqm(X), .aggregate_optimality_gap(X), .aggregate_mean(X),
#   metrics.probability_of_improvement(X, Y), and get_interval_estimates of the same;
#   library.create_performance_profile({"x": X}, np.linspace(0, 1, 6), reps=50_000)
X = np.array(
    [
        [0.600, 0.690, 0.518, 0.333, 0.464, 0.303, 0.618],
        [1.002, 0.452, 0.414, 0.747, 0.707, 0.632, 0.321],
        [0.591, 0.809, 0.197, 0.463, 0.030, 0.213, 0.047],
        [0.529, 0.220, 0.681, 0.647, 0.544, -0.155, 0.438],
        [0.585, 0.634, 0.141, 0.457, 0.306, 0.357, 0.918],
    ]
)
Y = np.array(
    [
        [0.338, 0.493, 0.677, 0.383, 0.478, 0.522, 0.513],
        [0.255, 0.515, 0.772, 0.191, 0.672, 0.524, 0.372],
        [0.900, 0.652, 0.260, 0.515, 0.615, 0.462, 0.637],
        [0.487, 0.633, 0.788, 0.365, 0.541, 0.407, 0.525],
    ]
)
GOLDEN = {
    "interquartile_mean": (
        (0.4871578947368421, 0.40647237, 0.56305395),
        (0.5164285714285716, 0.46350000, 0.56507143),
    ),
    "optimality_gap": (
        (0.5299714285714285, 0.45757143, 0.60334357),
        (0.4824285714285713, 0.42957054, 0.53510804),
    ),
    "mean": (
        (0.47008571428571433, 0.39665714, 0.54254429),
        (0.5175714285714286, 0.46489196, 0.57042946),
    ),
}
IMPROVEMENT = (0.45714285714285713, 0.32142857, 0.6)
THRESHOLDS = np.linspace(0, 1, 6)
PROFILE = (
    (0.97142857, 0.85714286, 0.65714286, 0.31428571, 0.08571429, 0.02857143),
    (0.91428571, 0.74285714, 0.51428571, 0.17142857, 0.0, 0.0),
    (1.0, 0.94285714, 0.8, 0.45714286, 0.17142857, 0.08571429),
)
MANY = 20_000  # resamples; ends of intervals then agree to some 0.003
NEAR = 0.005


def by_environment(matrix):
    return {f"e{k}": column for k, column in enumerate(np.asarray(matrix).T)}


@pytest.mark.parametrize("name", GOLDEN)
def test_aggregates_and_their_intervals_are_those_of_rliable(name):
    for matrix, (value, low, high) in zip((X, Y), GOLDEN[name], strict=True):
        found = statistics.aggregate(getattr(statistics, name), by_environment(matrix), MANY)
        assert found.mean == pytest.approx(value, abs=1e-12)
        assert (found.low, found.high) == pytest.approx((low, high), abs=NEAR)
        assert found.count == matrix.size


def test_probability_of_improvement_is_that_of_rliable():
    found = statistics.probability_of_improvement(by_environment(X), by_environment(Y), MANY)
    assert found.mean == pytest.approx(IMPROVEMENT[0], abs=1e-12)
    assert (found.low, found.high) == pytest.approx(IMPROVEMENT[1:], abs=2 * NEAR)  # steps of 1/140


def test_a_performance_profile_is_that_of_rliable():
    found = statistics.performance_profile(by_environment(X), THRESHOLDS, MANY)
    assert found.value == pytest.approx(PROFILE[0], abs=1e-8)
    assert found.low == pytest.approx(PROFILE[1], abs=1 / X.size)  # steps of 1/35
    assert found.high == pytest.approx(PROFILE[2], abs=1 / X.size)


def test_golden_values_are_still_those_of_the_rliable_installed_here():
    """Runs where somebody installed it: pip install rliable "arch<8" "pandas<3"."""
    # No extra brings it: it holds pandas and arch at versions of its own.
    problem = why_missing("rliable.library")
    if problem is not None:
        pytest.skip(f"{MACHINE}rliable ({problem})")
    library, metrics = (import_module(f"rliable.{name}") for name in ("library", "metrics"))
    for matrix, row in ((X, 0), (Y, 1)):
        for name, theirs in (
            ("interquartile_mean", metrics.aggregate_iqm),
            ("optimality_gap", metrics.aggregate_optimality_gap),
            ("mean", metrics.aggregate_mean),
        ):
            assert theirs(matrix) == pytest.approx(GOLDEN[name][row][0], abs=1e-12)
    assert metrics.probability_of_improvement(X, Y) == pytest.approx(IMPROVEMENT[0])
    profile, _ = library.create_performance_profile({"x": X}, THRESHOLDS, reps=10)
    assert profile["x"] == pytest.approx(PROFILE[0], abs=1e-8)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
def test_with_equally_many_runs_the_interquartile_mean_is_scipys_trimmed_mean(seed, runs, tasks):
    matrix = np.random.default_rng(seed).normal(size=(runs, tasks)).round(1)  # with ties
    ours = statistics.interquartile_mean(list(matrix.T))
    assert ours == pytest.approx(scipy_stats.trim_mean(matrix, 0.25, axis=None), abs=1e-12)


def test_an_environment_with_few_runs_counts_as_much_as_one_with_many():
    assert statistics.mean([np.zeros(9), np.ones(1)]) == 0.5
    # Repeating every run changes nothing but the weights, and those are made equal again.
    few, many = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    ragged = statistics.interquartile_mean([few.repeat(6), many.repeat(2)])
    assert ragged == pytest.approx(statistics.interquartile_mean([few.repeat(4), many.repeat(4)]))
    assert ragged == pytest.approx(1.5)


def test_the_interquartile_mean_by_hand():
    strata = [np.array([0.0, 1.0, 2.0, 100.0]), np.array([-100.0, 3.0, 4.0, 5.0])]
    assert statistics.interquartile_mean(strata) == pytest.approx((1 + 2 + 3 + 4) / 4)


def test_what_lies_above_the_reference_closes_no_gap():
    assert statistics.optimality_gap([np.array([5.0, 0.5])]) == pytest.approx(0.25)


def test_ties_are_half_a_win_and_two_equal_agents_are_level():
    assert statistics.superiority([np.array([1.0, 1.0])], [np.array([1.0, 0.0])]) == 0.75
    assert statistics.probability_of_improvement(by_environment(X), by_environment(X)).mean == 0.5


def test_only_shared_environments_are_compared():
    ours, theirs = {"a": np.array([1.0]), "b": np.array([0.0])}, {"b": np.array([1.0])}
    found = statistics.probability_of_improvement(ours, theirs)
    assert (found.mean, found.count) == (0.0, 2)
    assert statistics.probability_of_improvement({"a": np.ones(2)}, theirs) is None


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        runs = {f"e{k}": generator.normal(size=20) for k in range(3)}
        found = statistics.aggregate(statistics.mean, runs, 400)
        hits += found.low <= 0 <= found.high
    assert 0.88 < hits / 200 < 0.99  # 0.95, less what a bootstrap of twenty misses


def test_resamples_stay_within_their_stratum():
    apart = {"low": np.zeros(5), "high": np.ones(5)}
    found = statistics.aggregate(statistics.mean, apart)
    assert (found.low, found.mean, found.high) == (0.5, 0.5, 0.5)


def test_the_same_scores_give_the_same_interval_and_global_streams_stay():
    before = np.random.get_state()[1].copy()
    first, second = (
        statistics.aggregate(statistics.interquartile_mean, by_environment(X)) for _ in range(2)
    )
    assert first == second
    assert (np.random.get_state()[1] == before).all()


def test_drawing_in_parts_changes_no_interval(monkeypatch):
    whole = bootstrap(statistics.mean, [X[:, 0]], resamples=100)
    monkeypatch.setattr("genenvs.core.bootstrap.MOST_NUMBERS", 35)
    assert np.allclose(bootstrap(statistics.mean, [X[:, 0]], resamples=100), whole, atol=0)


def test_a_sample_efficiency_curve_is_the_interquartile_mean_at_every_point():
    curves = {f"e{k}": np.stack([X[:, k], 2 * X[:, k]], axis=1) for k in range(7)}  # [5, 2] each
    found = statistics.sample_efficiency(curves)
    once = statistics.aggregate(statistics.interquartile_mean, by_environment(X))
    assert found.value == pytest.approx([once.mean, 2 * once.mean])
    assert found.low == pytest.approx([once.low, 2 * once.low])


def test_a_curve_is_laid_on_a_grid():
    found = statistics.on_grid([10, 20], [1.0, 3.0], np.array([0.0, 15.0, 99.0]))
    assert found.tolist() == [1.0, 2.0, 3.0]
    for steps in ([], [2, 1], [1, 1], [1]):
        with pytest.raises(ValueError, match="increase"):
            statistics.on_grid(steps, [1.0, 2.0][: max(len(steps), 2) if steps else 0], THRESHOLDS)


@pytest.mark.parametrize("bad", [{}, {"a": np.array([])}, {"a": np.array([np.nan])}])
def test_nothing_is_made_of_nothing(bad):
    with pytest.raises(ValueError, match=r"no environment|finite"):
        statistics.aggregate(statistics.mean, bad)


def test_one_run_has_no_interval():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = statistics.aggregate(statistics.interquartile_mean, {"a": np.array([0.25])})
    assert (found.mean, found.count) == (0.25, 1)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize("runs", [(1, 1), (1, 3), (2, 3)])
def test_curves_of_single_runs_have_no_band_either(runs):
    scores = {f"env{k}": np.linspace(0.1, 0.9, n) for k, n in enumerate(runs)}
    profile = statistics.performance_profile(scores, np.array([0.0, 0.3, 0.8]))
    curves = {name: values[:, None] * np.ones(4) for name, values in scores.items()}
    for band in (profile, statistics.sample_efficiency(curves)):
        assert np.isfinite(band.value).all()
        assert np.isnan([band.low, band.high]).all() == (1 in runs)
        assert band.low.shape == band.high.shape == band.value.shape


def test_a_single_run_among_several_gives_no_interval():
    """It resamples to itself, and would make the interval too narrow."""
    scores = {f"env{k}": np.array([0.5]) for k in range(9)} | {"pair": np.array([0.1, 0.9])}
    found = statistics.aggregate(statistics.mean, scores)
    assert found.mean == pytest.approx(0.5) and np.isnan([found.low, found.high]).all()
    single = {"a": np.array([0.5]), "b": np.array([0.7])}
    several = {"a": np.array([0.4, 0.6]), "b": np.array([0.6, 0.9])}
    chance = statistics.probability_of_improvement(several, single)
    assert chance.low <= chance.mean <= chance.high
