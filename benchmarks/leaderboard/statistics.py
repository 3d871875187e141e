"""The statistics of the board: of runs, never of their means (Agarwal et al., NeurIPS 2021).

*Scores* are normalised scores of one agent: environment -> array [runs], 0 random and 1 the
reference. Runs are the replicates, environments the strata: intervals are percentile intervals over
resamples of the runs of each environment (`genenvs.core.bootstrap`). Every environment counts the
same, however many of its runs ended well; where all have equally many, values are those of the
library rliable, which the tests compare them with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from genenvs.core.bootstrap import RESAMPLES, Statistic, bootstrap
from genenvs.core.evaluate import Interval

Scores = Mapping[str, np.ndarray]  # environment -> normalised scores of its runs, [n]
Curves = Mapping[str, np.ndarray]  # environment -> values on a common grid, [n, G]
GAMMA = 1.0  # the score at which an optimality gap is closed: the reference's
TRIM = 0.25  # of the runs, cut off on each side of an interquartile mean


@dataclass(frozen=True)
class Band:
    """A curve with its pointwise 95 % interval, float64 [G] each."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


# --- what is computed; strata are lists of arrays [..., n], the result is [...] ---


def interquartile_mean(strata: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the middle half of all runs, pooled: a tenth of the runs going wild moves nothing.

    A run weighs 1 / n of its environment's n runs. With equally many runs everywhere this is
    `scipy.stats.trim_mean(scores, 0.25)` of the pooled scores, hence rliable's.
    """
    pooled = np.concatenate(strata, axis=-1)
    total = pooled.shape[-1]
    mean_count = total / len(strata)
    weight = np.concatenate([np.full(s.shape[-1], mean_count / s.shape[-1]) for s in strata])
    order = pooled.argsort(-1)
    values, weight = np.take_along_axis(pooled, order, -1), weight[order]
    upper = weight.cumsum(-1)
    # Whole runs are cut, as scipy does; a weight that reaches across the border is cut in two.
    cut = int(TRIM * total)
    kept = np.minimum(upper, total - cut) - np.maximum(upper - weight, cut)
    kept = kept.clip(0.0)
    return (kept * values).sum(-1) / kept.sum(-1)


def mean(strata: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over environments of the mean over runs."""
    return np.mean([s.mean(-1) for s in strata], axis=0)


def optimality_gap(strata: Sequence[np.ndarray], gamma: float = GAMMA) -> np.ndarray:
    """How far runs stay below `gamma`; what lies above it makes up for nothing."""
    return gamma - mean([np.minimum(s, gamma) for s in strata])


def exceedance(strata: Sequence[np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """Share of runs above each threshold: [T, ...]."""
    return np.stack([mean([s > threshold for s in strata]) for threshold in thresholds])


def superiority(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> np.ndarray:
    """Chance that a run of ours beats one of theirs, ties half, averaged over environments.

    Mann and Whitney's U / (n m) for each environment; both lists hold the same ones.
    """
    chances = []
    for x, y in zip(ours, theirs, strict=True):
        difference = x[..., :, None] - y[..., None, :]
        chances.append(((difference > 0) + 0.5 * (difference == 0)).mean((-2, -1)))
    return np.mean(chances, axis=0)


# --- with intervals, of scores by environment ---


def _interval(statistic: Statistic, *groups: Scores, resamples: int) -> Interval:
    for scores in groups:
        _check(scores)
    names = list(groups[0])
    strata = [[scores[name] for name in names] for scores in groups]
    value, low, high = map(float, bootstrap(statistic, *strata, resamples=resamples))
    if _alone(*groups):
        low = high = float("nan")
    return Interval(value, low, high, sum(len(own) for group in groups for own in group.values()))


def _band(
    statistic: Statistic, scores: Curves, strata: Sequence[np.ndarray], resamples: int
) -> Band:
    value, low, high = bootstrap(statistic, strata, resamples=resamples)
    if _alone(scores):
        low = high = np.full_like(value, np.nan)
    return Band(value, low, high)


def _alone(*groups: Curves) -> bool:
    """Whether there is no interval: a single run resamples to itself, which is no certainty."""
    counts = [[len(values) for values in scores.values()] for scores in groups]
    mixed = any(min(own) < 2 <= max(own) for own in counts)
    return mixed or max(map(max, counts)) < 2


def _check(scores: Mapping[str, np.ndarray]) -> None:
    if not scores:
        raise ValueError("no environment: there is nothing to aggregate")
    for name, values in scores.items():
        if not len(values) or not np.isfinite(values).all():
            raise ValueError(f"scores of {name} must be finite numbers, one a run; got {values}")


def aggregate(
    statistic: Callable[[Sequence[np.ndarray]], np.ndarray],
    scores: Scores,
    resamples: int = RESAMPLES,
) -> Interval:
    """`interquartile_mean`, `optimality_gap` or `mean` of scores, with its interval.

    The ends are NaN where no environment has two runs.

    Raises:
        ValueError: no environment, one without runs, or a score that is no finite number.
    """
    return _interval(statistic, scores, resamples=resamples)


def probability_of_improvement(
    ours: Scores, theirs: Scores, resamples: int = RESAMPLES
) -> Interval | None:
    """Chance that a run of ours beats one of theirs on an environment that both played.

    None where no environment was played by both.

    Raises:
        ValueError: an environment without runs, or a score that is no finite number.
    """
    shared = [name for name in ours if name in theirs]
    if not shared:
        return None
    both = ({name: scores[name] for name in shared} for scores in (ours, theirs))
    return _interval(superiority, *both, resamples=resamples)


def performance_profile(scores: Scores, thresholds: np.ndarray, resamples: int = RESAMPLES) -> Band:
    """Share of runs with a score above each threshold [G].

    The ends are NaN as those of `aggregate`.

    Raises:
        ValueError: no environment, one without runs, or a score that is no finite number.
    """
    _check(scores)
    share = partial(exceedance, thresholds=thresholds)
    return _band(share, scores, list(scores.values()), resamples)


def sample_efficiency(curves: Curves, resamples: int = RESAMPLES) -> Band:
    """Interquartile mean at each point of the curves' grid.

    The ends are NaN as those of `aggregate`.

    Raises:
        ValueError: no environment, one without runs, or a value that is no finite number.
    """
    _check(curves)
    strata = [np.moveaxis(np.asarray(values), 0, -1) for values in curves.values()]  # [G, n]
    return _band(interquartile_mean, curves, strata, resamples)


def on_grid(
    steps: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray, grid: np.ndarray
) -> np.ndarray:
    """A run's curve at the points of a grid: linear between its rows, constant beyond them.

    Raises:
        ValueError: no rows, other lengths, or steps that do not increase.
    """
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    if not len(x) or x.shape != y.shape or (np.diff(x) <= 0).any():
        raise ValueError(
            f"a curve needs as many values as steps, which increase; got {len(x)} and {len(y)}"
        )
    return np.interp(grid, x, y)
