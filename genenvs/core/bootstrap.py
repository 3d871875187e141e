"""The percentile bootstrap, stratified: the one way that intervals by resampling are made."""

from collections.abc import Callable, Sequence

import numpy as np

RESAMPLES = 2_000
LEVELS = (2.5, 97.5)  # percentiles: 95 % intervals
MOST_NUMBERS = 1 << 18  # drawn at once: they fit in a cache

Strata = Sequence[np.ndarray]  # values [..., n] each, replicates along the last axis
Statistic = Callable[..., np.ndarray]


def bootstrap(
    statistic: Statistic, *groups: Strata, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A statistic with its 95 % percentile interval; replicates are resampled within each stratum.

    Args:
        statistic: gets every group as a list of arrays [..., R, n] and reduces the last axis of
            them all to one array [..., R]; R is 1 for the value itself.
        groups: samples that are resampled independently of each other, each a list of strata.
        resamples: how many.
        seed: of the resamples; the same seed and samples give the same interval.

    Returns:
        Value, lower and upper end, of the statistic's shape [...].

    Raises:
        ValueError: a group has no stratum, or a stratum no replicate.
    """
    groups = tuple([np.asarray(stratum, np.float64) for stratum in group] for group in groups)
    if not all(groups) or not all(s.ndim and s.shape[-1] for group in groups for s in group):
        sizes = [[s.shape for s in group] for group in groups]
        raise ValueError(f"every stratum needs at least one replicate; got shapes {sizes}")
    value = statistic(*([s[..., None, :] for s in group] for group in groups))[..., 0]
    generator = np.random.default_rng(seed)
    numbers = sum(s.size for group in groups for s in group)
    at_once = min(max(1, MOST_NUMBERS // numbers), resamples)
    parts = []
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = ([_drawn(s, rows, generator) for s in group] for group in groups)
        parts.append(statistic(*drawn))
    low, high = np.percentile(np.concatenate(parts, axis=-1), LEVELS, axis=-1)
    return value, low, high


def _drawn(stratum: np.ndarray, rows: int, generator: np.random.Generator) -> np.ndarray:
    """`rows` resamples of a stratum [..., n]: [..., rows, n]."""
    count = stratum.shape[-1]
    return stratum[..., generator.integers(0, count, (rows, count))]
