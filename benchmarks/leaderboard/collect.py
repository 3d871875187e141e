"""From the results of cells to submissions."""

import datetime
import hashlib
import json
import re
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.registry import BUILT_IN
from benchmarks import cells, machine
from benchmarks.cells import SCRIPTED, Cell
from benchmarks.leaderboard import submission
from benchmarks.leaderboard.submission import POLICIES, Submission
from benchmarks.leaderboard.suites import Suite
from genenvs.core.files import making
from genenvs.core.registry import arguments_hash, declaration, normalise, scores

RESULTS = Path("benchmarks/results/leaderboard")
BOARD = RESULTS.with_name("board")  # the site of these results
ROWS = 40  # of a published curve
LARGEST_POLICY = 500_000  # bytes that a repository keeps; larger ones are known by their hash
DIGITS = 12  # of a policy's hash, in its name
AUTHOR = "the genenvs authors"
SCRIPTED_TEXT = {"random": "uniform over legal actions", "reference": "the scripted baseline"}


def place(folder: Path, agent: str, env: str, author: str = AUTHOR) -> Path:
    """Where an author's submission of an agent on an id lies."""
    return folder / _slug(agent, author) / f"{env.rpartition('/')[2]}.json"


def _slug(agent: str, author: str) -> str:
    """Who played, as part of a file's name: no two agents have one, `a.b:C` and `a:b.C` neither.

    Two authors may; the second is told (`_spare`). Ours stand without their name, as ever.
    """
    name = agent.replace(":", "..")
    if author == AUTHOR:
        return name
    plain = unicodedata.normalize("NFKD", author).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-")
    return f"{name}-{plain or hashlib.sha256(author.encode()).hexdigest()[:8]}"


def _spare(path: Path, made: Submission, replace: bool) -> None:
    """Keep what lies at a path from a submission of another author, or one of fewer scores.

    Raises:
        ValueError: it stays; says why.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        author, scored = str(found["author"]), len(found["runs"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # nothing lies there that would be lost
    if author != made.author:
        raise ValueError(f"{path} is by {author!r:.80}: it is not replaced")
    if len(made.runs) < scored and not replace:
        raise ValueError(
            f"{path} has scores of {scored} seeds, the new one of {len(made.runs)}:"
            " it is not replaced without --replace"
        )


def permit(suite: Suite, planned: Sequence[Cell], author: str = AUTHOR) -> None:
    """See to it, before anything is played, that there can be a submission of it.

    Raises:
        ValueError: there cannot: of its author, say, or with a name of that length.
    """
    for (env, agent), group in _groups(planned).items():
        path = place(Path(), agent, env, author)
        try:
            _make(suite, [(cell, {"failed": "not played"}) for cell in group], path, author, 0)
        except ValueError as error:
            raise ValueError(f"{agent} on {env}: {error}") from error


def _groups(planned: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
    """Cells by id and agent: those of a submission."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in planned:
        groups.setdefault((cell.env, cell.agent), []).append(cell)
    return groups


def collect(
    suite: Suite,
    planned: Sequence[Cell],
    folder: Path,
    author: str = AUTHOR,
    policies: int = 1,
    replace: bool = False,
) -> tuple[list[Path], list[str]]:
    """Write a submission for every agent and id all of whose cells were played or failed.

    Args:
        suite: that was played.
        planned: its cells.
        folder: for its submissions.
        author: who answers for them.
        policies: of how many seeds, the first ones, the policy and every episode's score are kept
            beside the submission; of all others there is a hash.
        replace: take the place of a submission that has scores of more seeds, too.

    Returns:
        The files, and a line for what is not there yet, or would take the place of another
        author's or of one with scores of more seeds.

    Raises:
        OSError: one cannot be written; those before it are there.
    """
    written, lines = [], []
    for (env, agent), group in _groups(planned).items():
        waiting = [c for c in group if cells.known(c) is None and not c.failure.exists()]
        if waiting:
            done = len(group) - len(waiting)
            lines.append(f"{agent} on {env}: {done} of {len(group)} seeds are played")
            continue
        path = place(folder, agent, env, author)
        results = [(cell, cells.result(cell)) for cell in group]
        try:
            made = _make(suite, results, path, author, policies)
            _spare(path, made, replace)
            _write(made, group, path)
        except ValueError as error:  # a score that is no number, say: the others do not wait
            lines.append(f"{agent} on {env}: {error}")
            continue
        written.append(path)
    return written, lines


def _write(made: Submission, group: Sequence[Cell], path: Path) -> None:
    """Write a submission with its policies: at any moment those that the one there names are there.

    A policy's name holds its hash, so that a new one takes no older one's place before the
    submission does; what that named and this does not goes last.
    """
    named = {run.seed: run.weights.file for run in made.runs if run.weights and run.weights.file}
    for cell in group:
        if cell.seed in named:
            with making(path.parent / POLICIES / named[cell.seed]) as temporary:
                shutil.copyfile(cell.policy, temporary)
    submission.write(made, path)
    ours = re.compile(rf"{re.escape(path.stem)}-\d+(-[0-9a-f]{{{DIGITS}}})?\.safetensors")
    for policy in sorted((path.parent / POLICIES).glob("*.safetensors")):
        if ours.fullmatch(policy.name) and policy.name not in named.values():
            policy.unlink()


def _make(
    suite: Suite,
    results: Sequence[tuple[Cell, Mapping[str, Any]]],
    path: Path,
    author: str,
    kept: int,
) -> Submission:
    """The submission of cells that differ in their seeds alone, and what they came to."""
    cell = results[0][0]
    learner = cell.agent not in SCRIPTED
    played = [(each, found) for each, found in results if "failed" not in found]
    first: Mapping[str, Any] = played[0][1] if played else {}
    runs = [_run(each, found, path, k < kept) for k, (each, found) in enumerate(played)]
    more = "" if cell.agent in SCRIPTED else f" --seeds {len(results)}"
    table = {
        "format": submission.FORMAT,
        "name": f"{suite.name}-{_slug(cell.agent, author)}-{path.stem}",
        "suite": suite.name,
        "author": author,
        "date": max([f["date"] for _, f in played], default=datetime.date.today().isoformat()),
        "command": f"python -m benchmarks.leaderboard run --suite {suite.given}"
        f" --agents {cell.agent} --environments {cell.env}{more}",
        "agent": {
            "name": cell.agent,
            "kind": "learner" if learner else "scripted",
            "text": SCRIPTED_TEXT.get(cell.agent) or BUILT_IN.get(cell.agent, ("", "", ""))[2],
        },
        "config": json.loads(json.dumps(cell.whole_config())),
        "tuning": _tuning(cell),
        "environment": {
            "id": cell.env,
            "arguments_hash": first.get("arguments_hash", arguments_hash(cell.env)),
            "arguments": {},
            "score": declaration(cell.env).score,
        },
        "training": None,
        "protocol": {
            "split": "test",
            "episodes": first["paid"]["n"] if first else cell.episodes or 1,
            "env_seeds": [cells.LIST_SEED],
            "actions": "greedy" if learner else "scripted",
            "checkpoint": "last" if learner else "none",
        },
        **_circumstances([found for _, found in played]),
        "runs": runs,
        "failed": [
            {"seed": each.seed, "why": _text(found["failed"])}
            for each, found in results
            if "failed" in found
        ],
        "summary": summary(runs),
    }
    if learner:
        given = {"steps": cell.steps, "split": "train", "instances": cell.instances}
        table["training"] = given
    return submission.of(table)


def _circumstances(played: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hardware and software: of the first run, but for commits, of which all are told."""
    if not played:
        return machine.describe()
    every = [found["circumstances"] for found in played]
    commits = dict.fromkeys(each["software"]["commit"] for each in every)
    if len(commits) < 2:
        return every[0]
    told = ", ".join(
        (commit or "none")[:12] + "+" * str(commit).endswith("+") for commit in commits
    )
    return every[0] | {"software": every[0]["software"] | {"commit": told[:300]}}


def _run(cell: Cell, found: Mapping[str, Any], path: Path, kept: bool) -> dict[str, Any]:
    """A run as a submission has it."""
    weights = None
    if found["weights"] is not None:
        weights = dict(found["weights"]) | {"file": None}
        if kept and weights["bytes"] <= LARGEST_POLICY:
            weights["file"] = f"{path.stem}-{cell.seed}-{weights['sha256'][:DIGITS]}.safetensors"
    return {
        "seed": cell.seed,
        "score": found["sample"],
        "normalised": normalised(cell.env, found["sample"]["mean"]),
        "paid": found["paid"],
        "metrics": {k: v for k, v in found["metrics"].items() if k != found["score"]},
        "train_score": found["train"],
        "episodes": found["values"] if kept else None,
        "curve": thinned(found["curve"]),
        "seconds": round(found["seconds"], 1),
        "cpu_seconds": round(found["cpu_seconds"], 1),
        "weights": weights,
    }


def normalised(env: str, score: float) -> float | None:
    """On the registry's scale, where 0 is random and 1 the reference."""
    return None if scores(env) is None else normalise(env, score)


def thinned(curve: Sequence[Sequence[float]], rows: int = ROWS) -> list[dict[str, Any]]:
    """At most so many points: neighbours are one, each of their episodes counting the same.

    Args:
        curve: (steps, mean return, episodes) of every row.
        rows: that are left at most.
    """
    found = []
    for part in np.array_split(np.asarray(curve, dtype=np.float64), min(rows, len(curve)) or 1):
        if len(part):
            episodes = part[:, 2].sum()
            mean = float((part[:, 1] * part[:, 2]).sum() / episodes)
            found.append(
                {
                    "steps": int(part[-1, 0]),
                    "mean_return": round(mean, 5),
                    "episodes": int(episodes),
                }
            )
    return found


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Means over runs; None of none."""
    if not runs:
        return None
    levels = [run["normalised"] for run in runs]
    return {
        "score": float(np.mean([run["score"]["mean"] for run in runs])),
        "normalised": None if None in levels else float(np.mean(levels)),
        "seeds": len(runs),
    }


def _tuning(cell: Cell) -> dict[str, Any]:
    """Where a configuration of ours comes from; how many were tried was not counted."""
    if not cell.config:
        return {"trials": 0, "steps": 0, "text": "nothing was tuned"}
    return {"trials": None, "steps": None, "text": f"agents/defaults/{cell.agent}.yaml, by hand"}


def _text(said: str) -> str:
    """The end of what a program said, as a submission may hold it."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in said)[-2_000:]
