"""What the board says of each submission: its numbers, put on the registry's scale.

Nothing here trusts a submission's own arithmetic: normalised values are made again from raw ones
and the random and reference scores of the package, and only where id, arguments and split are those
that these were measured on. What depends on the number of episodes has the package's scale where
that is the package's, else that of the suite's own `random` and `reference`.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

import genenvs
from agents.training import smoothed
from benchmarks.cells import SCRIPTED, across_seeds
from benchmarks.leaderboard import statistics
from benchmarks.leaderboard.board import Entry, State
from benchmarks.leaderboard.submission import Submission
from genenvs.core import registry
from genenvs.core.evaluate import Interval
from genenvs.core.loading import load_task
from genenvs.core.rewards import Metric

# A single metric whose scale is short must not drown the others, nor a collapsed agent its peers.
BOUNDS = (-1.0, 2.0)
# A gold metric has a scale where the reference is better than random by this share of its size.
LEAST_SCALE = 0.01
GRID = np.linspace(0.02, 1.0, 50)  # of a training budget


@dataclass(frozen=True)
class Scale:
    """Where an id's numbers lie: 0 is random, 1 the reference."""

    random: dict[str, Any]
    reference: dict[str, Any]

    def of(self, name: str) -> tuple[float, float] | None:
        """Random's and the reference's mean of a metric (`return` among them), if measured."""
        low, high = (x["metrics"].get(name) for x in (self.random, self.reference))
        return None if low is None or high is None else (low, high)

    @property
    def score(self) -> tuple[float, float]:
        """The same of the score."""
        return self.random["mean"], self.reference["mean"]


@dataclass(frozen=True)
class Gold:
    """A metric that betrays a hacked reward, beside random's and the reference's.

    Attributes:
        name: of the metric.
        metric: its declaration.
        value: across runs.
        random: None where it was not measured; so `reference`.
        reference: see `random`.
        normalised: of each run, 0 random and 1 the reference; None without a scale.
    """

    name: str
    metric: Metric
    value: Interval
    random: float | None
    reference: float | None
    normalised: np.ndarray | None


@dataclass(frozen=True)
class Row:
    """One submission as the board shows it; intervals are Student's, across runs.

    Attributes:
        entry: the submission and how far it can be trusted.
        label: of the agent, with the author where several authors use the name; it is one
            player's alone.
        score: raw; None where every run failed.
        runs: normalised scores [n]; empty where they are not comparable, and `why` says so.
        why: see `runs`.
        paid: normalised return of the scored episodes, the proxy.
        golds: gold metrics that were measured.
        gold: mean of those with a scale, each within `BOUNDS`.
        gaming: `paid`, within `BOUNDS`, minus `gold`, of each run: how far the reward outran them;
            may be empty.
        gaps: score on the training instances minus score, normalised, of each run; may be empty.
        curves: normalised training return of each run on `GRID` [n, G]; may have no rows.
        current: whether it enters aggregates; older rows of one agent and environment do not.
    """

    entry: Entry
    label: str
    score: Interval | None
    runs: np.ndarray
    why: str | None
    paid: Interval | None = None
    golds: list[Gold] = field(default_factory=list)
    gold: Interval | None = None
    gaming: np.ndarray = field(default_factory=lambda: np.empty(0))
    gaps: np.ndarray = field(default_factory=lambda: np.empty(0))
    curves: np.ndarray = field(default_factory=lambda: np.empty((0, len(GRID))))
    current: bool = True

    @property
    def submission(self) -> Submission:
        """What was handed in."""
        return self.entry.submission

    @property
    def env(self) -> str:
        """The id."""
        return self.submission.environment.id

    @property
    def player(self) -> tuple[str, str]:
        """Who played: two authors may use one name."""
        return _player(self.submission)

    @property
    def normalised(self) -> Interval | None:
        """Across runs."""
        return _across(self.runs) if len(self.runs) else None

    @property
    def gamed(self) -> Interval | None:
        """Reward minus gold across runs."""
        return _across(self.gaming) if len(self.gaming) else None

    @property
    def gap(self) -> Interval | None:
        """The generalisation gap across runs."""
        return _across(self.gaps) if len(self.gaps) else None


def rows(entries: Sequence[Entry]) -> list[Row]:
    """A row for every entry, in their order.

    Raises:
        ValueError: two submissions have one name.
    """
    names = [entry.submission.name for entry in entries]
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two submissions are named {double!r}; a name stands for one")
    newest: dict[tuple[str, ...], Entry] = {}
    for entry in entries:
        each = entry.submission
        known = newest.setdefault(_place(each), entry)
        newest[_place(each)] = max(known, entry, key=_order)
    labels = _labels([entry.submission for entry in entries])
    scripted = _scripted(entries)
    budgets: dict[tuple[str, str], int] = {}
    for entry in entries:
        each = entry.submission
        # What is only reported, or no longer drawn, must not squeeze the others' curves.
        if why_not(entry) is None and newest[_place(each)] is entry:
            place = (each.suite, each.environment.id)
            budgets[place] = max(budgets.get(place, 1), _reach(each))
    return [
        _row(
            entry,
            label=labels[_player(entry.submission)],
            current=newest[_place(entry.submission)] is entry,
            budget=budgets.get((entry.submission.suite, entry.submission.environment.id), 1),
            ends=[scripted.get((*_game(entry.submission), name)) for name in SCRIPTED],
        )
        for entry in entries
    ]


def _scripted(entries: Sequence[Entry]) -> dict[tuple[str, ...], Submission]:
    """Of every suite and environment the scripts' own results: (suite, id, script) -> submission.

    Of several authors' the verified ones stand, then the older.
    """
    able = [e for e in entries if e.submission.agent.kind == "scripted" and why_not(e) is None]
    found: dict[tuple[str, ...], Submission] = {}
    for entry in sorted(able, key=_precedence):
        found.setdefault((*_game(entry.submission), entry.submission.agent.name), entry.submission)
    return found


def _precedence(entry: Entry) -> tuple[bool, str, str]:
    return entry.state != "verified", entry.submission.date, entry.submission.name


def why_not(entry: Entry) -> str | None:
    """Why a submission's scores have no place on the registry's scale; None where they have."""
    submission = entry.submission
    environment, protocol = submission.environment, submission.protocol
    if environment.id not in genenvs.ids():
        return "an environment that this version of genenvs does not know"
    if registry.scores(environment.id) is None:
        return "no random and reference scores were measured for this environment"
    if environment.arguments_hash != registry.arguments_hash(environment.id):
        return "other arguments than the registered ones"
    if environment.score != registry.declaration(environment.id).score:
        return f"another score than {registry.declaration(environment.id).score}"
    if protocol.split != "test":
        return f"scored on the split {protocol.split}, not on test"
    if not submission.runs:
        return "every run failed"
    if entry.state == "reported":
        return "; ".join(entry.notes) or "not validated"
    return None


def _order(entry: Entry) -> tuple[bool, int, str, str]:
    """Of submissions for one place on the board, the greatest stands there."""
    # What cannot be compared never stands in the way of what can, nor what nobody played again in
    # that of what somebody did: an author's name is text that anybody may write.
    known = -get_args(State).index(entry.state)
    return why_not(entry) is None, known, entry.submission.date, entry.submission.name


def scale(env_id: str) -> Scale | None:
    """Random and reference of an id, where they were measured."""
    measured = registry.scores(env_id) if env_id in genenvs.ids() else None
    return None if measured is None else Scale(measured["random"], measured["reference"])


def _across(values: np.ndarray) -> Interval:
    return across_seeds(values.tolist())


def _game(each: Submission) -> tuple[str, str]:
    return each.suite, each.environment.id


def _place(each: Submission) -> tuple[str, ...]:
    return *_game(each), each.agent.name, each.author


def _player(each: Submission) -> tuple[str, str]:
    return each.agent.name, each.author


def _labels(submissions: Sequence[Submission]) -> dict[tuple[str, str], str]:
    """What every player is called: no two alike, nor such that a reader takes one for the other."""
    players = list(dict.fromkeys(map(_player, submissions)))
    names = [name for name, _ in players]
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for name, author in players:
        plain = label = f"{name} ({author})" if names.count(name) > 1 else name
        count = 1
        while (seen := _seen(label)) in taken:
            count += 1
            label = f"{plain} #{count}"
        taken.add(seen)
        found[name, author] = label
    return found


def _seen(label: str) -> str:
    """What is left of a label on a page, to a reader who does not look closely."""
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())


def _reach(each: Submission) -> int:
    """Steps that a submission makes the axis of curves long: those that its curves bear out."""
    ends = [run.curve[-1].steps for run in each.runs if run.curve]
    if each.training is None or not ends:
        return 1
    # The last episode may end well before the last step; half of it is no budget.
    return each.training.steps if 2 * max(ends) >= each.training.steps else max(1, *ends)


def _row(
    entry: Entry, label: str, current: bool, budget: int, ends: Sequence[Submission | None]
) -> Row:
    submission = entry.submission
    runs = submission.runs
    score = across_seeds([run.score.mean for run in runs]) if runs else None
    why, measured = why_not(entry), scale(submission.environment.id)
    if why is not None or measured is None:
        return Row(entry, label, score, np.empty(0), why, current=False)
    low, high = measured.score
    seen = [run for run in runs if run.train_score is not None]
    gaps = [(run.train_score.mean - run.score.mean) / (high - low) for run in seen]  # type: ignore[union-attr]
    paid = _paid(submission, measured)
    golds = _golds(submission, measured, ends)
    scaled = [g.normalised.clip(*BOUNDS) for g in golds if g.normalised is not None]
    gold = np.mean(scaled, axis=0) if scaled else None
    both = paid is not None and gold is not None
    return Row(
        entry,
        label,
        score,
        np.array([(run.score.mean - low) / (high - low) for run in runs]),
        None,
        paid=None if paid is None else _across(paid),
        golds=golds,
        gold=None if gold is None else _across(gold),
        gaming=paid.clip(*BOUNDS) - gold if both else np.empty(0),  # type: ignore[union-attr]
        gaps=np.array(gaps),
        curves=_curves(submission, measured, budget),
        current=current,
    )


def _paid_scale(submission: Submission, measured: Scale) -> tuple[float, float] | None:
    """Random's and the reference's return, where the reward was the registered one."""
    ends = measured.of("return")
    other = "reward_weights" in submission.environment.arguments
    return None if other or ends is None or ends[1] <= ends[0] else ends


def _paid(submission: Submission, measured: Scale) -> np.ndarray | None:
    ends = _paid_scale(submission, measured)
    if ends is None:
        return None
    low, high = ends
    return np.array([(run.paid.mean - low) / (high - low) for run in submission.runs])


def _golds(
    submission: Submission, measured: Scale, scripted: Sequence[Submission | None]
) -> list[Gold]:
    declared = load_task(registry.declaration(submission.environment.id).task).metrics
    found = []
    for name, metric in declared.items():
        if not metric.gold or not all(name in run.metrics for run in submission.runs):
            continue
        values = np.array([run.metrics[name].mean for run in submission.runs])
        ends, alike = measured.of(name), True
        if metric.when == "set" and not _as_large(submission, name, measured):
            # Their size depends on that of the sample: to those of another nothing compares.
            played = _ends_as_large(submission, name, scripted)
            ends, alike = played or ends, played is not None
        usable = ends is not None and alike and _has_scale(metric, *ends)
        low, high = ends or (None, None)
        scaled = (values - ends[0]) / (ends[1] - ends[0]) if usable and ends else None
        found.append(Gold(name, metric, _across(values), low, high, scaled))
    return found


def _has_scale(metric: Metric, random: float, reference: float) -> bool:
    """Whether the reference is better than random by more than noise."""
    if metric.better is None:
        return False
    better = reference - random if metric.better == "higher" else random - reference
    return better > LEAST_SCALE * max(abs(random), abs(reference))


def _sizes(submission: Submission, name: str) -> set[int]:
    """How many episodes a metric is of; 0: of none."""
    return {run.metrics[name].n if name in run.metrics else 0 for run in submission.runs}


def _as_large(submission: Submission, name: str, measured: Scale) -> bool:
    registered = {measured.random["episodes"], measured.reference["episodes"]}
    return len(registered) == 1 and _sizes(submission, name) == registered


def _ends_as_large(
    submission: Submission, name: str, scripted: Sequence[Submission | None]
) -> tuple[float, float] | None:
    """Random's and the reference's mean in the same suite, of as many episodes; None without."""
    sizes, ends = _sizes(submission, name), []
    for each in scripted:
        if each is None or len(sizes) != 1 or _sizes(each, name) != sizes:
            return None
        ends.append(float(np.mean([run.metrics[name].mean for run in each.runs])))
    return ends[0], ends[1]


def _curves(submission: Submission, measured: Scale, budget: int) -> np.ndarray:
    """[n, G]; NaN beyond the end of training."""
    ends = _paid_scale(submission, measured)
    found = []
    for run in submission.runs:
        points = [row for row in run.curve if row.episodes]
        if ends is None or not points:
            continue
        returns = smoothed([{"return": p.mean_return, "episodes": p.episodes} for p in points])
        steps = np.array([p.steps for p in points], np.float64)
        if (np.diff(steps) <= 0).any():
            continue
        values = (np.array(returns) - ends[0]) / (ends[1] - ends[0])
        laid = statistics.on_grid(steps / budget, values, GRID)
        found.append(np.where(steps[-1] / budget >= GRID - 0.02, laid, np.nan))
    return np.array(found).reshape(len(found), len(GRID))
