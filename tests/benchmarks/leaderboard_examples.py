"""Small submissions, right in every respect until a test changes them."""

import copy
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors.numpy

from agents import configs
from agents.registry import BUILT_IN, find
from benchmarks.leaderboard import suites
from benchmarks.leaderboard.submission import Submission
from genenvs.core.registry import arguments_hash, declaration, scores

ENV = "genenvs/DenoiseSchedule-v0"
POLICY = safetensors.numpy.save({"network.weight": np.zeros(2, np.float32)})


def table(agent: str = "ppo", env: str = ENV, levels: tuple[float, ...] = (0.8, 0.9)) -> Any:
    """A submission as its file holds it.

    Args:
        agent: `random` and `reference` are scripted, others learn.
        env: an id with measured scores.
        levels: the normalised score of each seed.
    """
    measured = scores(env)
    assert measured is not None
    low, high = measured["random"]["mean"], measured["reference"]["mean"]
    paid = [measured[name]["metrics"]["return"] for name in ("random", "reference")]
    learner = agent not in ("random", "reference")
    smoke = suites.load("smoke")
    steps, seen = smoke.steps_of(env), smoke.settings.train_episodes
    name = f"{agent}-{env.rpartition('/')[2]}"
    runs: list[dict[str, Any]] = []
    for seed, level in enumerate(levels):
        score = low + level * (high - low)
        metrics = {
            key: {"mean": value, "std": 0.0, "n": 64}  # some means are an end of their range
            for key, value in measured["reference"]["metrics"].items()
            if key not in ("return", "length")
        }
        run = {
            "seed": seed,
            "score": {"mean": score, "std": 0.01, "n": 64},
            "normalised": (score - low) / (high - low),
            "paid": {"mean": paid[0] + level * (paid[1] - paid[0]), "std": 0.1, "n": 64},
            "metrics": metrics,
            "train_score": {"mean": score + 0.001, "std": 0.01, "n": seen} if learner else None,
            "episodes": None,
            "curve": [
                {"steps": steps * k // 10,
                 "mean_return": paid[0] + k / 10 * (paid[1] - paid[0]) * level, "episodes": 10}
                for k in range(1, 11)
            ] if learner else [],
            "seconds": 10.0 + seed,
            "cpu_seconds": 9.0,
            "weights": {"sha256": f"{seed:064x}", "bytes": 1000, "file": None} if learner else None,
        }  # fmt: skip
        runs.append(run)
    return {
        "format": 1,
        "name": name,
        "suite": "smoke",
        "author": "the genenvs authors",
        "date": "2026-11-21",
        "command": f"python -m benchmarks.leaderboard run --suite smoke --agents {agent}",
        "agent": {"name": agent, "kind": "learner" if learner else "scripted", "text": ""},
        "config": _config(agent) if learner else {},
        "tuning": {"trials": 0, "steps": 0, "text": ""},
        "environment": {
            "id": env,
            "arguments_hash": arguments_hash(env),
            "arguments": {},
            "score": declaration(env).score,
        },
        "training": {"steps": steps, "split": "train", "instances": None} if learner else None,
        "protocol": {
            "split": "test",
            "episodes": 64,
            "env_seeds": [0],
            "actions": "greedy" if learner else "scripted",
            "checkpoint": "last" if learner else "none",
        },
        "hardware": {"cpu": "a CPU", "cores": 2, "memory_gb": 8.0, "gpu": None,
                     "platform": "Linux"},
        "software": {
            "genenvs": _version(),
            "commit": "0" * 40,
            "python": "3.11.0",
            "libraries": {"torch": "2.13.0"},
        },
        "runs": runs,
        "failed": [],
        "summary": {
            "score": sum(run["score"]["mean"] for run in runs) / len(runs),
            "normalised": sum(run["normalised"] for run in runs) / len(runs),
            "seeds": len(runs),
        },
        "notes": "",
    }  # fmt: skip


def _config(agent: str) -> dict[str, Any]:
    """Complete, as JSON holds it."""
    if agent not in BUILT_IN:
        return {"learning_rate": 3e-4}
    return json.loads(json.dumps(asdict(configs.make(find(agent).Config, {}))))


def make(*arguments: Any, **changes: Any) -> Submission:
    """The same as the model; `changes` replace entries of the first level."""
    return Submission.model_validate(copy.deepcopy(table(*arguments)) | changes)


def _version() -> str:
    import genenvs

    return genenvs.__version__
