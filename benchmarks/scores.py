"""Measure the random, reference and cheat scores of every id, and write them into the package.

    python -m benchmarks.scores [ID ...]

Each is the mean of the id's score metric over the test split (or 1,000 episodes where instances
are endless), with a 95 % bootstrap interval.
"""

import argparse
import importlib
import json
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode

import genenvs
from genenvs.core.evaluate import Evaluation
from genenvs.core.files import replacing
from genenvs.core.registry import SCORES, arguments_hash, declaration


def measure(env_id: str) -> dict[str, Any]:
    """Every score of an id."""
    known = declaration(env_id)
    entry: dict[str, Any] = {
        "arguments": arguments_hash(env_id),
        "metric": known.score,
        "command": f"python -m benchmarks.scores {env_id}",
    }
    for name in ("random", "reference"):
        entry[name] = _record(genenvs.evaluate(env_id, name, progress=True), known.score)
    entry["cheats"] = {}
    for name, path in known.cheats.items():
        module, _, function = path.partition(":")
        envs = gym.make_vec(
            env_id, num_envs=256, split="test", keep_final=True,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )  # fmt: skip
        policy = getattr(importlib.import_module(module), function)(envs)
        entry["cheats"][name] = _record(genenvs.evaluate(envs, policy, progress=True), known.score)
    return entry


def _record(found: Evaluation, score: str) -> dict[str, Any]:
    interval = found.interval(score)
    gold = {k: round(v["mean"], 4) for k, v in found.summary().items() if k != score}
    return {
        "mean": round(interval.mean, 5),
        "low": round(interval.low, 5),
        "high": round(interval.high, 5),
        "episodes": interval.count,
        "metrics": {k: v for k, v in gold.items() if not k.startswith("term/")},
    }


def main() -> None:
    """Measure the ids asked for, all by default, and write them one by one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ids", nargs="*", default=genenvs.ids())
    for env_id in parser.parse_args().ids:
        entry = measure(env_id)
        table = json.loads(SCORES.read_text()) if SCORES.exists() else {}
        table = {k: v for k, v in (table | {env_id: entry}).items() if k in genenvs.ids()}
        with replacing(SCORES) as temporary:
            temporary.write_text(json.dumps(table, indent=1) + "\n")
        print(env_id, *(f"{k} {entry[k]['mean']:.4f}" for k in ("random", "reference")))


if __name__ == "__main__":
    main()
