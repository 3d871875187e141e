"""What the board says of each agent over a suite: aggregates of rows, with intervals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.leaderboard import statistics
from benchmarks.leaderboard.site.rows import GRID, Row
from benchmarks.leaderboard.statistics import Band
from genenvs.core.evaluate import Interval

THRESHOLDS = np.linspace(-0.25, 1.5, 71)  # of normalised scores


@dataclass(frozen=True)
class Standing:
    """An agent over the environments of a suite that it played.

    Attributes:
        label: of the agent.
        kind: `learner` or `scripted`.
        rows: what it is made of.
        scores: environment -> normalised scores of its runs.
        iqm: interquartile mean.
        optimality_gap: how far runs stay below the reference.
        generalisation: training minus test score, mean over environments; None where unmeasured.
        gamed: normalised return minus gold, mean over environments that have both; what is paid
            less than gold in one makes up for more in another.
        failed: runs that gave no score, those of environments on which every one failed among them.
        profile: share of runs above each of `THRESHOLDS`.
        efficiency: the interquartile mean of training returns on the first points of `GRID`.
        improvement: label of another -> chance that a run of this one beats one of the other.
    """

    label: str
    kind: str
    rows: list[Row]
    scores: dict[str, np.ndarray]
    iqm: Interval
    optimality_gap: Interval
    generalisation: Interval | None
    gamed: Interval | None
    failed: int
    profile: Band
    efficiency: Band | None
    improvement: dict[str, Interval]

    @property
    def verified_run_count(self) -> int:
        """Runs that were played again and gave the same."""
        return sum(len(row.entry.verified_seeds) for row in self.rows)

    @property
    def states(self) -> Counter[str]:
        """How many of its rows are verified, validated."""
        return Counter(row.entry.state for row in self.rows)

    @property
    def run_count(self) -> int:
        """Runs that gave a score."""
        return sum(len(runs) for runs in self.scores.values())


@dataclass(frozen=True)
class Suite:
    """Every agent of a suite, those that played most environments first, then by their score."""

    name: str
    envs: list[str]
    standings: list[Standing]
    rows: list[Row]


def suites(rows: Sequence[Row]) -> list[Suite]:
    """The suites that rows belong to, in order of appearance."""
    names = dict.fromkeys(row.submission.suite for row in rows)
    return [_suite(name, [r for r in rows if r.submission.suite == name]) for name in names]


def _suite(name: str, rows: list[Row]) -> Suite:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.current and len(row.runs):
            groups.setdefault(row.label, []).append(row)
    scores = {label: {row.env: row.runs for row in own} for label, own in groups.items()}
    chances = _improvement(scores)
    standings = [
        Standing(
            label,
            own[0].submission.agent.kind,
            own,
            scores[label],
            statistics.aggregate(statistics.interquartile_mean, scores[label]),
            statistics.aggregate(statistics.optimality_gap, scores[label]),
            _over([(row.env, row.gaps) for row in own]),
            _over([(row.env, row.gaming) for row in own]),
            _failed(own, rows),
            statistics.performance_profile(scores[label], THRESHOLDS),
            _efficiency(own),
            chances[label],
        )
        for label, own in groups.items()
    ]
    standings.sort(key=lambda s: (-len(s.scores), -s.iqm.mean, s.label))
    envs = list(dict.fromkeys(row.env for row in rows if len(row.runs) or not row.submission.runs))
    return Suite(name, envs, standings, rows)


def _improvement(scores: dict[str, dict[str, np.ndarray]]) -> dict[str, dict[str, Interval]]:
    """Every ordered pair that shares an environment; the second of a pair is 1 minus the first."""
    found: dict[str, dict[str, Interval]] = {label: {} for label in scores}
    labels = list(scores)
    for k, ours in enumerate(labels):
        for theirs in labels[k + 1 :]:
            chance = statistics.probability_of_improvement(scores[ours], scores[theirs])
            if chance is not None:
                found[ours][theirs] = chance
                found[theirs][ours] = Interval(
                    1 - chance.mean, 1 - chance.high, 1 - chance.low, chance.count
                )
    return found


def _over(values: Sequence[tuple[str, np.ndarray]]) -> Interval | None:
    """The mean over environments that have values, of each run."""
    known = {env: runs for env, runs in values if len(runs)}
    return statistics.aggregate(statistics.mean, known) if known else None


def _failed(own: Sequence[Row], rows: Sequence[Row]) -> int:
    """Failed runs of an agent: beside scores, and on environments where it has none."""
    label, scored = own[0].label, {row.env for row in own}
    empty = [r for r in rows if r.label == label and not r.submission.runs and r.env not in scored]
    return sum(len(row.submission.failed) for row in [*own, *empty])


def _efficiency(rows: list[Row]) -> Band | None:
    """Over environments with curves, as far as all of these go."""
    curves = {row.env: row.curves for row in rows if len(row.curves)}
    if not curves:
        return None
    known = np.all([np.isfinite(x).all(0) for x in curves.values()], axis=0)  # [G]
    count = len(GRID) if known.all() else int(known.argmin())
    if count == 0:
        return None
    return statistics.sample_efficiency({env: x[:, :count] for env, x in curves.items()})
