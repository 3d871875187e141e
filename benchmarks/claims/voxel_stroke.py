"""VoxelStroke: PPO against Warnsdorff's rule, on targets and on a family it has not seen.

    python -m benchmarks.claims.voxel_stroke [--steps 2000000] [--seeds 0 1 2]

PPO begins as a clone of the rule and trains on the train split of the mixture. Every target of the
test split, and every corridor, of which the mixture has none, is then played once from the same
start by both; the most probable action is played. A run that is finished is read from its folder.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

import agents
import genenvs
from agents.evaluation import Policy
from benchmarks.cells import across_seeds
from benchmarks.claims import record
from genenvs.core.evaluate import Evaluation, mean_interval
from genenvs.images.sheets import sheet
from genenvs.tasks.voxel_stroke import viewer
from genenvs.tasks.voxel_stroke.task import VoxelStroke

ENV = "genenvs/VoxelStroke-v0"
RUNS = Path("runs/claims")
IMITATED = 200_000  # steps
# Of the whole matrix' budget this is a multiple: larger batches, and a longer view.
PPO = {
    "num_envs": 256,
    "n_steps": 64,
    "batch_size": 2048,
    "n_epochs": 4,
    "learning_rate": 1e-3,
    "anneal": True,
    "gamma": 0.995,
    "gae_lambda": 0.95,
    "ent_coef": 0.003,
    "hidden": [128, 128],
    "reward_scale": 0.1,
}
METRICS = ("clean_coverage", "coverage", "untouched_parts", "chamfer")
FAMILIES = {"mixed": "unseen targets", "corridor": "unseen family"}


def trained(seed: int, steps: int) -> Any:
    """An agent, trained now or before."""
    folder = RUNS / f"voxel-stroke-{seed}-{steps}"
    return agents.train(
        "ppo", ENV, steps=steps, seed=seed, out=folder, resume=True,
        imitate="reference", imitate_steps=IMITATED, config=PPO,
    ).agent  # fmt: skip


def played(policy: Any, targets: str) -> Evaluation:
    """Every target of the test split."""
    return genenvs.evaluate(ENV, policy, num_envs=128, keep_final=True, targets=targets)


def show(rule: Evaluation, agent: Evaluation, targets: str) -> np.ndarray:
    """Both strokes on the target of median difference among those where they differ."""
    task: Any = VoxelStroke(split="test", horizon=1_024, targets=targets)
    difference = agent.episodes["clean_coverage"] - rule.episodes["clean_coverage"]
    order = np.argsort(difference)
    pick = int(order[len(order) // 2])
    panels = []
    for title, found in (("Warnsdorff's rule", rule), ("PPO", agent)):
        assert found.final is not None
        goal, path = task.drawn(found.final, pick)
        drawn = viewer.panels(goal, path)
        title += f", {found.episodes['clean_coverage'][pick]:.0%} before its first fault"
        panels += drawn[:1] if not panels else []
        panels += [(title, drawn[1][1]), ("", drawn[2][1])]
    return sheet(panels)


def main() -> None:
    """Train, play, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    policies = [Policy(trained(seed, arguments.steps)) for seed in arguments.seeds]
    rows, gains, pictures = [], {}, []
    for targets, note in FAMILIES.items():
        rule = played("reference", targets)
        runs = [played(policy, targets) for policy in policies]
        for name in METRICS:
            own = np.stack([run.episodes[name] for run in runs])  # [seeds, targets]
            better = mean_interval(own.mean(0) - rule.episodes[name])
            rows.append(record.row("Warnsdorff's rule", name, rule.interval(name), note))
            rows.append(record.row("PPO", name, across_seeds(own.mean(1)), f"{note}; run seeds"))
            rows.append(record.row("PPO less the rule", name, better, f"{note}; paired"))
            gains[targets, name] = better
        pictures.append(show(rule, runs[0], targets))
    text = (
        f"SB3's PPO, {len(policies)} run seeds: a clone of the rule ({IMITATED:,} steps), then"
        f" {arguments.steps:,} steps on the train split of `mixed`. Both play every target of the"
        " test split from the same cell, and every corridor, a family that training never saw."
        f" Coverage before the first fault changes by {gains['mixed', 'clean_coverage']} on unseen"
        f" targets and by {gains['corridor', 'clean_coverage']} on corridors (means over targets,"
        " paired). The picture has the target of median difference of each."
    )
    wide = max(picture.shape[1] for picture in pictures)
    padded = [np.pad(p, ((0, 0), (0, wide - p.shape[1]), (0, 0)), "edge") for p in pictures]
    record.write(
        "voxel_stroke",
        title="VoxelStroke: a trained agent and Warnsdorff's rule",
        text=text,
        rows=rows,
        command=f"python -m benchmarks.claims.voxel_stroke --steps {arguments.steps}",
        picture=np.concatenate(padded),
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
