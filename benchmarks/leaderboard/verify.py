"""Playing a submission again: its policy, on the episodes that it states, in a process apart."""

import dataclasses
import datetime
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import genenvs
from agents.folder import git_commit
from agents.run import write_json
from agents.training import Trained
from benchmarks import apart, cells
from benchmarks.cells import SCRIPTED, Limits
from benchmarks.leaderboard import validate
from benchmarks.leaderboard.board import TOLERANCE, record_of
from benchmarks.leaderboard.submission import Run, Submission, no_link, read
from genenvs.core.evaluate import Evaluation
from genenvs.core.files import sha256

LIMITS = Limits(1_800.0, 6.0)
_ROLLOUT = 10_000  # steps of a long one
TRAIN = "train score"  # among what was found; no metric's name


class Unplayable(ValueError):
    """A submission that cannot be played again; says why."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Between what is stated and what was found.

    Attributes:
        what: is compared, for people.
        stated: mean.
        found: mean.
        allowed: between the two.
    """

    what: str
    stated: float
    found: float
    allowed: float

    @property
    def ratio(self) -> float:
        """Above 1 it is another result."""
        return abs(self.found - self.stated) / self.allowed

    def __str__(self) -> str:
        """As a record has it."""
        return f"{self.what}: {self.stated:.6g} is stated, {self.found:.6g} was found"


def verify(
    path: Path, who: str, seed: int | None = None, limits: Limits = LIMITS
) -> dict[str, Any]:
    """Play a submission again and write down, beside it, what came of it.

    Args:
        path: of the submission.
        who: answers for it.
        seed: of the run that is played; None: all whose policy is there.
        limits: of each run.

    Returns:
        The record.

    Raises:
        OSError: something cannot be read or written.
        ValueError: it is no valid submission, or cannot be played again.
        benchmarks.apart.Failed: playing it broke or took too much.
    """
    no_link(path)
    before = sha256(path)
    submission = checked(path)
    chosen = [run for run in playable(submission) if seed is None or run.seed == seed]
    if not chosen:
        raise Unplayable(f"{path.name} holds no policy of seed {seed}")
    found: list[Difference] = []
    for run in chosen:
        found += differences(run, replay(path, run.seed, None, limits))
    # What is no number differs most.
    worst = max(found, key=lambda each: np.nan_to_num(each.ratio, nan=np.inf))
    scores = [each for each in found if each.what.startswith("the score")]
    record = {
        "who": who,
        "date": datetime.date.today().isoformat(),
        "commit": git_commit() or "unknown",
        "submission": before,
        "seeds": [run.seed for run in chosen],
        "episodes": submission.protocol.episodes,
        "max_difference": float(max(abs(each.found - each.stated) for each in scores)),
        "tolerance": TOLERANCE,
        "worst": str(worst) if worst.ratio else "no difference",
        "passed": all(each.ratio <= 1 for each in found),
    }
    write_json(record_of(path), record)
    return record


def spot_check(path: Path, seed: int, episodes: int, limits: Limits = LIMITS) -> Difference:
    """Play the first episodes of a run whose every score is published; the worst but an eighth.

    An episode depends on its seed and number alone, so the first are the same however many follow.

    Raises:
        As `verify`.
    """
    submission = checked(path)
    run = next((run for run in playable(submission) if run.seed == seed), None)
    if run is None or run.episodes is None:
        raise Unplayable(f"{path.name} holds no policy and episodes of seed {seed}")
    stated = run.episodes[:episodes]
    found = replay(path, seed, len(stated), limits)
    again, spread = found["values"], found["score"]["std"]
    if again is None or len(again) != len(stated):
        raise Unplayable(f"{path.name}: not every episode of seed {seed} has a score")
    each = [
        Difference(f"the score of episode {k} of seed {seed}", a, b, _allowed(a, spread))
        for k, (a, b) in enumerate(zip(stated, again, strict=True))
    ]
    each.sort(key=lambda one: -np.nan_to_num(one.ratio, nan=np.inf))
    return each[len(each) // 8]  # on another machine a close choice may turn in a few


def checked(path: Path) -> Submission:
    """A submission without errors.

    Raises:
        ValueError: it has some.
    """
    submission = read(path)
    errors = validate.check(submission, path).errors
    if errors:
        raise ValueError(f"{path.name}: {'; '.join(errors)}")
    return submission


def playable(submission: Submission) -> list[Run]:
    """The runs that can be played again.

    Raises:
        Unplayable: there are none; says why.
    """
    permit(submission)
    if not submission.playable_runs:
        raise Unplayable(f"{submission.name} has no policy beside it")
    return submission.playable_runs


def permit(submission: Submission) -> None:
    """Whether policies of a submission can be played here, wherever they lie.

    Raises:
        Unplayable: they cannot; says why.
    """
    it = submission
    if it.environment.id not in genenvs.ids() or it.software.genenvs != genenvs.__version__:
        raise Unplayable(f"{it.name} is of another version than this one")
    if it.protocol.actions == "stochastic":
        raise Unplayable(f"{it.name} draws its actions: only greedy ones can be played again")
    if it.agent.kind == "scripted":
        if it.agent.name not in SCRIPTED or len(it.protocol.env_seeds) > 1:
            raise Unplayable(f"{it.name}: of scripts {', '.join(SCRIPTED)} can be played, one seed")
        _no_code(it)
    else:
        _no_code(it, it.agent.name)


def _no_code(it: Submission, agent: str = "ppo") -> None:
    """Refuse what names code, files or downloads: nothing of a submission is executed.

    Raises:
        Unplayable: it does.
    """
    from agents.folder import foreign_code

    record = {
        "agent": agent, "env": it.environment.id, "config": it.config,
        "arguments": it.environment.arguments,
    }  # fmt: skip
    if named := foreign_code(record):
        raise Unplayable(
            f"{it.name} names {', '.join(named)}: code, files and downloads are not played"
        )


def differences(run: Run, found: Mapping[str, Any]) -> list[Difference]:
    """Of every measurement of a run."""
    stated = {"score": run.score, "paid": run.paid, **run.metrics}
    if run.train_score is not None:
        stated[TRAIN] = run.train_score
    names = {
        "score": f"the score of seed {run.seed}",
        "paid": f"the return of seed {run.seed}",
        TRAIN: f"the training score of seed {run.seed}",
    }
    listed = []
    for name, sample in stated.items():
        what = names.get(name, f"{name} of seed {run.seed}")
        # What was not measured this time differs by all that there is.
        again = found.get(name, {"mean": math.inf, "std": 0.0, "n": -1})
        # By the spread that was found: a stated one could allow anything. A set's metric has none.
        spread = abs(again["mean"]) if again["std"] is None else again["std"]
        listed.append(Difference(what, sample.mean, again["mean"], _allowed(sample.mean, spread)))
        listed.append(Difference(f"the number of {what}", sample.n, again["n"], 0.5))
        if sample.std is not None and again["std"] is not None:
            allowed = _allowed(again["std"], spread)
            listed.append(Difference(f"the spread of {what}", sample.std, again["std"], allowed))
    return listed


def _allowed(mean: float, spread: float) -> float:
    return TOLERANCE * spread + 1e-5 * abs(mean) + 1e-6


def replay(path: Path, seed: int, episodes: int | None, limits: Limits) -> dict[str, Any]:
    """Samples of a run that is played again in a process of its own.

    Args:
        path: of the submission.
        seed: of the run.
        episodes: only the first so many; None: all that the protocol has.
        limits: of the process.
    """
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        out = Path(folder) / "found.json"
        command = [
            "benchmarks.leaderboard.verify",
            str(path.resolve()),
            str(seed),
            str(episodes or 0),
            str(out),
        ]
        apart.run(command, limits.seconds, limits.memory_gb)
        return json.loads(out.read_text(encoding="utf-8"))


# --- in that process ---


def play(submission: Submission, path: Path, seed: int, episodes: int | None) -> Evaluation:
    """Evaluate a run of a submission as it says that it was evaluated."""
    it, protocol = submission, submission.protocol
    playable(it)
    env, arguments = it.environment.id, dict(it.environment.arguments)
    rows = min(256, protocol.episodes)
    if it.agent.kind == "scripted":
        policy: Any = it.agent.name
        return genenvs.evaluate(
            env, policy, episodes=episodes or protocol.episodes, seed=protocol.env_seeds[0],
            num_envs=rows, split=protocol.split, **arguments,
        )  # fmt: skip
    from agents.evaluation import score

    return score(
        policy_to_play(it, path, next(run for run in it.runs if run.seed == seed)),
        episodes=episodes or protocol.episodes,
        split=protocol.split,
        seeds=tuple(protocol.env_seeds),
    ).evaluation


def _train_score(submission: Submission, path: Path, run: Run) -> dict[str, Any]:
    """The score on the instances that were trained on."""
    from agents.evaluation import score

    assert run.train_score is not None and submission.training is not None
    trained, instances = policy_to_play(submission, path, run), submission.training.instances
    if instances is not None:
        arguments = trained.problem.arguments | {"instances": instances}
        problem = dataclasses.replace(trained.problem, arguments=arguments)
        trained = dataclasses.replace(trained, problem=problem)
    found = score(
        trained, episodes=run.train_score.n, split=submission.training.split, judged=False
    )
    return cells.sample(found.evaluation, found.evaluation.score)


def policy_to_play(
    submission: Submission, path: Path, run: Run, policy: Path | None = None
) -> Trained:
    """The policy of a run, on the environment that was played.

    Args:
        submission: that is played again.
        path: of the submission.
        run: whose policy it is.
        policy: where it lies; None: beside the submission.

    Raises:
        ValueError: its file is none, or of something else than the submission says.
    """
    from agents import policy as policies

    it = submission
    trained = policies.load(policy or validate.policy_of(path, run))
    made = dataclasses.asdict(trained.agent.config)
    _same("agent", trained.name, it.agent.name)
    _same("config", json.loads(json.dumps(made)), it.config)
    _same("environment", trained.problem.env, it.environment.id)
    _same("seed", trained.problem.seed, run.seed)
    assert it.training is not None
    arguments = dict(trained.problem.arguments)
    _same("instances", arguments.pop("instances", None), it.training.instances)
    _same("arguments", json.loads(json.dumps(arguments)), it.environment.arguments)
    # A rollout begins before the budget is used up, and may end behind it.
    if not it.training.steps <= trained.steps < 2 * it.training.steps + _ROLLOUT:
        _same("steps", trained.steps, it.training.steps)
    problem = dataclasses.replace(trained.problem, arguments=dict(it.environment.arguments))
    return dataclasses.replace(trained, problem=problem)


def _same(name: str, kept: Any, stated: Any) -> None:
    if kept != stated:
        raise Unplayable(f"the policy's {name} is {kept!r:.200}; {stated!r:.200} is stated")


def main(path: str, seed: str, episodes: str, out: str) -> None:
    """Play a run again and write its samples."""
    import torch

    torch.set_num_threads(1)
    apart.end_with_parent()
    submission = read(Path(path))
    found = play(submission, Path(path), int(seed), int(episodes) or None)
    samples = {
        name: cells.sample(found, name)
        for name in [*found.episodes, *found.sets]
        if name not in cells.NOT_METRICS and found.interval(name).count
    }
    samples |= {"score": cells.sample(found, found.score), "paid": cells.sample(found, "return")}
    run = next(run for run in submission.runs if run.seed == int(seed))
    if run.train_score is not None and not int(episodes):
        samples[TRAIN] = _train_score(submission, Path(path), run)
    samples["values"] = cells.episode_scores(found)
    Path(out).write_text(json.dumps(samples), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
