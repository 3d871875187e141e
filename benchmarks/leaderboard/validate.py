"""What a submission claims, held against the registry and against itself."""

import dataclasses
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

import genenvs
from agents.registry import BUILT_IN, find
from benchmarks.cells import LIST_SEED, SCRIPTED
from benchmarks.leaderboard import suites
from benchmarks.leaderboard.submission import POLICIES, Run, Sample, Submission
from genenvs.core.files import sha256
from genenvs.core.loading import load_task
from genenvs.core.registry import NOT_OF_THE_MDP, arguments_hash, declaration, scores
from genenvs.core.rewards import Metric

# Of sums in another order, and of figures that were written with seven digits.
CLOSE = {"rel_tol": 1e-5, "abs_tol": 1e-6}


@dataclass
class Findings:
    """What was found.

    Attributes:
        errors: why the submission is refused.
        notes: why it is only reported: what it says may hold, but cannot be compared here.
    """

    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(submission: Submission, path: Path) -> Findings:
    """Everything about a submission that can be known without playing.

    Args:
        submission: what was read.
        path: where from; its policies lie beside it.
    """
    found = Findings()
    _arithmetic(submission, found)
    _policies(submission, path, found)
    if _environment(submission, found):
        _scores(submission, found)
    return found


# --- against itself ---


def _arithmetic(it: Submission, found: Findings) -> None:
    seeds = [run.seed for run in it.runs] + [failure.seed for failure in it.failed]
    if len(set(seeds)) < len(seeds):
        found.errors.append(f"every seed must stand there once; got {sorted(seeds)}")
    most = it.protocol.episodes * len(it.protocol.env_seeds)
    for run in it.runs:
        for name, sample in _samples(run):
            if sample.n > most and name != "train score":
                found.errors.append(
                    f"seed {run.seed}: {name} has {sample.n} episodes, the protocol {most}"
                )
        for name, sample in (("were paid", run.paid), ("have a score", run.score)):
            if sample.n != most:
                found.errors.append(
                    f"seed {run.seed}: {sample.n} episodes {name}, the protocol has {most}"
                )
        # Some episodes may be those that look well; every metric of ours is of all.
        if few := [name for name, sample in run.metrics.items() if sample.n < most]:
            names = ", ".join(few)
            found.notes.append(f"seed {run.seed}: {names:.200} of fewer than {most} episodes")
        _episodes(run, found)
        _curve(it, run, found)
    if it.summary is not None:
        _compare(found, "summary.seeds", it.summary.seeds, len(it.runs))
        mean = float(np.mean([run.score.mean for run in it.runs]))
        _compare(found, "summary.score", it.summary.score, mean)
        levels = [run.normalised for run in it.runs if run.normalised is not None]
        if len(levels) == len(it.runs):
            _compare(found, "summary.normalised", it.summary.normalised, float(np.mean(levels)))
        elif it.summary.normalised is not None:
            found.errors.append("summary.normalised must be null where a run has none")
    if it.date > datetime.date.today().isoformat():
        found.notes.append(f"its date, {it.date}, is to come")


def _curve(it: Submission, run: Run, found: Findings) -> None:
    steps = [row.steps for row in run.curve]
    if sorted(set(steps)) != steps:
        found.errors.append(f"seed {run.seed}: the curve's steps must rise")
    elif steps and it.training is None:
        found.errors.append(f"seed {run.seed}: who was not trained has no curve")
    elif len(steps) > 1 and it.training is not None and steps[-2] >= it.training.steps:
        # A rollout begins before the budget is used up, and may end behind it: no two do.
        found.errors.append(
            f"seed {run.seed}: the curve goes on at {steps[-2]:,} of {it.training.steps:,} steps"
        )


def _episodes(run: Run, found: Findings) -> None:
    """The published scores of every episode must have the mean and spread that are claimed."""
    if run.episodes is None:
        return
    _compare(found, f"seed {run.seed}: score.n", run.score.n, len(run.episodes))
    if run.episodes:
        values = np.asarray(run.episodes)
        _compare(found, f"seed {run.seed}: score.mean", run.score.mean, float(values.mean()))
        if run.score.std is not None:
            spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            _compare(found, f"seed {run.seed}: score.std", run.score.std, spread)


def _compare(found: Findings, name: str, said: float | None, right: float) -> None:
    if said is None or not math.isclose(said, right, **CLOSE):
        found.errors.append(f"{name} is given as {said}; its runs make it {right:.8g}")


def _samples(run: Run) -> list[tuple[str, Sample]]:
    found = [("the score", run.score), ("the return", run.paid), *run.metrics.items()]
    return [*found, *([("train score", run.train_score)] if run.train_score else [])]


def _policies(it: Submission, path: Path, found: Findings) -> None:
    hashes: dict[str, int] = {}
    for run in it.runs:
        if run.weights is None:
            if it.agent.kind == "learner":
                found.notes.append(f"seed {run.seed} has no weights")
            continue
        if run.weights.sha256 in hashes:
            found.errors.append(
                f"seeds {hashes[run.weights.sha256]} and {run.seed} have the same weights"
            )
        hashes[run.weights.sha256] = run.seed
        if run.weights.file is not None:
            why = wrong_file(path, run)
            if why is not None:
                found.errors.append(f"seed {run.seed}: {why}")


def policy_of(path: Path, run: Run) -> Path:
    """Where the policy of a run lies; its name is checked to be a plain one."""
    assert run.weights is not None and run.weights.file is not None
    return path.parent / POLICIES / run.weights.file


def wrong_file(path: Path, run: Run) -> str | None:
    """Why the policy of a run is not the one that was submitted; None where it is."""
    assert run.weights is not None
    policy = policy_of(path, run)
    if policy.parent.is_symlink():
        return f"the folder {policy.parent.name} is a link"
    if policy.is_symlink():
        return f"the policy {policy.name} is a link"
    if not policy.is_file():
        return f"there is no policy {policy.name}"
    if policy.stat().st_size != run.weights.bytes:
        return (
            f"the policy {policy.name} has {policy.stat().st_size:,} bytes,"
            f" {run.weights.bytes:,} are stated"
        )
    if sha256(policy) != run.weights.sha256:
        return f"the policy {policy.name} does not match its hash"
    try:
        with safe_open(policy, "numpy"):
            return None
    except (OSError, SafetensorError) as error:
        return f"the policy {policy.name} is no safetensors file: {error}"


# --- against the registry ---


def _environment(it: Submission, found: Findings) -> bool:
    """Whether the environment is one whose scores can be compared here."""
    env = it.environment.id
    if env not in genenvs.ids():
        family = env.rpartition("-v")[0]
        others = [known for known in genenvs.ids() if known.rpartition("-v")[0] == family]
        if others:
            found.notes.append(f"{env} is of another version; here there is {', '.join(others)}")
        else:
            found.errors.append(_unknown(env))
        return False
    if it.environment.score != declaration(env).score:
        found.errors.append(
            f"the score of {env} is {declaration(env).score!r}; got {it.environment.score!r}"
        )
        return False
    if it.software.genenvs != genenvs.__version__:
        found.notes.append(
            f"it is of genenvs {it.software.genenvs}, and this is {genenvs.__version__}"
        )
        return False
    # No hash tells them, and `task` names code.
    if given := sorted(NOT_OF_THE_MDP & set(it.environment.arguments)):
        found.errors.append(f"environment.arguments: {', '.join(given)} cannot be set here")
        return False
    try:
        said = arguments_hash(env, it.environment.arguments)
    except (TypeError, ValueError) as error:
        found.errors.append(f"environment.arguments: {error}")
        return False
    if it.environment.arguments_hash != said:
        found.errors.append(
            f"the arguments of {env} have the hash {said}; got {it.environment.arguments_hash}"
        )
        return False
    if said != arguments_hash(env):
        found.notes.append("it is of other arguments than the registered ones")
    if it.protocol.split != "test":
        found.notes.append(f"it is of the split {it.protocol.split!r}; the board's is 'test'")
    if it.protocol.env_seeds != [LIST_SEED]:
        seeds = ", ".join(map(str, it.protocol.env_seeds))
        found.notes.append(f"its episodes are of seed {seeds}; the board's are of {LIST_SEED}")
    if it.training is not None and it.training.split != "train":
        found.notes.append(f"it was trained on the split {it.training.split!r}")
    _play(it, found)
    _budget(it, found)
    return True


def _play(it: Submission, found: Findings) -> None:
    """Who plays, and how, are things that this version knows."""
    if it.agent.kind == "scripted":
        if it.agent.name not in SCRIPTED:
            found.notes.append(f"of scripts {', '.join(SCRIPTED)} are known here")
        return
    for name, said, ours in (
        ("actions", it.protocol.actions, "greedy"),
        ("checkpoint", it.protocol.checkpoint, "last"),
    ):
        if said != ours:
            found.notes.append(f"its {name} are of kind {said!r}; the board's are {ours!r}")
    if it.agent.name in BUILT_IN:
        fields = {each.name for each in dataclasses.fields(find(it.agent.name).Config)}
        if missing := sorted(fields - set(it.config)):
            found.notes.append(f"its configuration does not say {', '.join(missing)}")


def _budget(it: Submission, found: Findings) -> None:
    """Whoever takes part in a suite of ours plays as it says; of others nothing is known."""
    if it.suite not in {path.stem for path in suites.FOLDER.glob("*.yaml")}:
        return
    suite, env = suites.load(it.suite), it.environment.id
    if env not in suite.environments:
        found.notes.append(f"the suite {it.suite} has no environment {env}")
        return
    # Who chooses seeds or episodes may choose those that he likes.
    seeds = sorted([run.seed for run in it.runs] + [failure.seed for failure in it.failed])
    count = 1 if it.training is None else suite.settings.seeds
    if seeds != list(range(count)):
        here, there = ", ".join(map(str, seeds)), ", ".join(map(str, range(count)))
        found.notes.append(f"its seeds are {here:.80}; those of the suite {it.suite} are {there}")
    episodes = suite.episodes_of(env) or whole_split(env)
    if it.runs and episodes not in (None, it.protocol.episodes):
        found.notes.append(
            f"it was scored on {it.protocol.episodes:,} episodes;"
            f" the suite {it.suite} has {episodes:,}"
        )
    if it.training is None:
        return
    seen = {run.train_score.n if run.train_score else 0 for run in it.runs}
    if seen - {suite.settings.train_episodes}:
        found.notes.append(
            f"its training score is of {', '.join(map(str, sorted(seen))):.80} episodes;"
            f" that of the suite {it.suite} is of {suite.settings.train_episodes}"
        )
    for name, said, right in (
        ("steps", it.training.steps, suite.steps_of(env)),
        ("instances", it.training.instances, suite.settings.instances),
    ):
        if said != right:
            here, there = ("all" if each is None else f"{each:,}" for each in (said, right))
            found.notes.append(
                f"it was trained with {here} {name}; the suite {it.suite} has {there}"
            )


def whole_split(env: str) -> int | None:
    """Episodes of the test split: as many as the registry's scores are of; None without these.

    To ask the environment itself would load its generator.
    """
    measured = scores(env)
    return None if measured is None else int(measured["random"]["episodes"])


def _unknown(env: str) -> str:
    try:
        declaration(env)
    except KeyError as error:
        return str(error.args[0])
    return f"no environment {env!r} in genenvs"  # registered under a module's name


def _scores(it: Submission, found: Findings) -> None:
    """Normalised scores follow from the registry, and nothing lies where nothing can."""
    env = it.environment.id
    measured = scores(env)
    comparable = (
        it.environment.arguments_hash == arguments_hash(env) and it.protocol.split == "test"
    )
    metrics = known_metrics(env)
    for run in it.runs:
        if comparable and measured is not None:
            low, high = measured["random"]["mean"], measured["reference"]["mean"]
            right = (run.score.mean - low) / (high - low)
            _compare(found, f"seed {run.seed}: normalised", run.normalised, right)
        elif run.normalised is not None:
            found.errors.append(
                f"seed {run.seed}: normalised must be null where split or arguments are others"
            )
        score = metrics.get(it.environment.score)
        for name, sample in (("score", run.score), ("train score", run.train_score)):
            if score is not None and sample is not None:
                _possible(found, f"seed {run.seed}: {name}", sample, score.range)
        if score is not None and run.episodes:
            _within(found, f"seed {run.seed}: episodes", run.episodes, score.range)
        for name, sample in run.metrics.items():
            if name in metrics:
                _possible(found, f"seed {run.seed}: {name}", sample, metrics[name].range)
            elif name == "length":
                _possible(found, f"seed {run.seed}: {name}", sample, (1.0, math.inf))
            elif not name.startswith("term/"):
                found.errors.append(f"seed {run.seed}: {env} has no metric {name!r}")
    if measured is None:
        found.notes.append(f"{env} has no measured scores to compare with")
        return
    # Who leaves one out would look less gamed than he is.
    golden = {k for k in measured["random"]["metrics"] if k in metrics and metrics[k].gold}
    for run in it.runs:
        if missing := sorted(golden - set(run.metrics) - {it.environment.score}):
            found.notes.append(f"seed {run.seed} does not say {', '.join(missing)}")


def _within(
    found: Findings, name: str, values: Sequence[float], span: tuple[float, float] | None
) -> None:
    """Refuse a value outside of the range."""
    low, high = span or (-math.inf, math.inf)
    for value in (min(values), max(values)):
        if not low - 1e-6 <= value <= high + 1e-6:
            found.errors.append(f"{name} must lie in {low:g} .. {high:g}; got {value:.8g}")


def _possible(found: Findings, name: str, sample: Sample, span: tuple[float, float] | None) -> None:
    """Refuse a mean outside of the range of its values, and a spread that none of them have."""
    if span is None:
        return
    low, high = span
    if not low - 1e-6 <= sample.mean <= high + 1e-6:
        found.errors.append(f"{name} must lie in {low:g} .. {high:g}; got {sample.mean:.8g}")
    elif sample.std is not None and sample.n > 1 and math.isfinite(high - low):
        # Bhatia and Davis (2000): the variance of values in [a, b] is at most (b - m)(m - a).
        most = math.sqrt(max((high - sample.mean) * (sample.mean - low), 0.0))
        most *= math.sqrt(sample.n / (sample.n - 1))
        if sample.std > most + 1e-4:
            found.errors.append(f"{name} can spread by {most:.4g} at most; got {sample.std:.4g}")


@cache
def known_metrics(env: str) -> Mapping[str, Metric]:
    """What a task declares of its metrics, `gold`, `better` and `range` among it."""
    task = load_task(declaration(env).task)
    return {**task.metrics, **task.may_report}
