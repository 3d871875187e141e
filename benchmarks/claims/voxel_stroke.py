"""VoxelStroke: PPO against Warnsdorff's rule, on targets and on a family it has not seen.

    python -m benchmarks.claims.voxel_stroke [--steps 300000] [--seeds 0 1 2]

PPO begins as the rule, mended by looking ahead (`stroke_policy.py`), and trains on the train split
of the mixture. Every target of the test split is then played from one cell, and every corridor, of
which the mixture has none, from four, by all three: the rule, the start, and PPO; the most probable
action is played. A run that is finished is read from its folder.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

import agents
import genenvs
from agents.evaluation import Policy
from agents.problem import Problem
from benchmarks.cells import across_seeds
from benchmarks.claims import record, stroke_policy
from benchmarks.claims.stroke_policy import StrokeConfig, StrokePPO
from genenvs.core.evaluate import Evaluation, mean_interval
from genenvs.images.sheets import sheet
from genenvs.shapes.targets import load
from genenvs.tasks.voxel_stroke import viewer
from genenvs.tasks.voxel_stroke.grids import SIZE
from genenvs.tasks.voxel_stroke.task import VoxelStroke

ENV = "genenvs/VoxelStroke-v0"
AGENT = "benchmarks.claims.stroke_policy:StrokePPO"
RUNS = Path("runs/claims")
METRICS = ("clean_coverage", "coverage", "untouched_parts", "chamfer")
FAMILIES = {"mixed": "unseen targets", "corridor": "unseen family"}
STARTS = {"mixed": 1, "corridor": 4}  # cells from which a target is played; corridors are 128


def start() -> dict[str, Any]:
    """The configuration of all runs: what they begin with, learned now or before."""
    path = RUNS / "voxel-stroke-gains.safetensors"
    stroke_policy.learn(path, seed=0)
    return {"gains": str(path)}


def trained(seed: int, steps: int) -> Policy:
    """An agent, trained now or before."""
    return Policy(
        agents.train(
            AGENT, ENV, steps=steps, seed=seed, out=RUNS / f"voxel-stroke-{seed}-{steps}",
            resume=True, config=start(),
        ).agent
    )  # fmt: skip


def untrained() -> Policy:
    """What every agent begins as."""
    return Policy(StrokePPO(Problem(ENV), StrokeConfig(**start())))


def played(policy: Any, targets: str) -> Evaluation:
    """Every target of the test split, from each of its starts."""
    count = len(load(targets, "test", SIZE, whole=True))
    return genenvs.evaluate(
        ENV, policy, num_envs=128, keep_final=True, targets=targets,
        episodes=count * STARTS[targets],
    )  # fmt: skip


def by_target(found: Evaluation, name: str) -> np.ndarray:
    """A metric of every target, over its starts: [targets], by index."""
    assert found.final is not None
    order = np.argsort(found.final.instance.numpy(), kind="stable")
    count = len(np.unique(found.final.instance.numpy()))
    return found.episodes[name][order].reshape(count, -1).mean(1)


def show(rule: Evaluation, agent: Evaluation, targets: str) -> np.ndarray:
    """Both strokes on the target of median difference among those where they differ."""
    task: Any = VoxelStroke(split="test", horizon=1_024, targets=targets)
    difference = agent.episodes["clean_coverage"] - rule.episodes["clean_coverage"]
    order = np.argsort(difference)
    pick = int(order[len(order) // 2])
    panels: list[tuple[str, np.ndarray]] = []
    for title, found in (("Warnsdorff's rule", rule), ("PPO", agent)):
        assert found.final is not None
        goal, path = task.drawn(found.final, pick)
        drawn = viewer.panels(goal, path)
        title += f", {found.episodes['clean_coverage'][pick]:.0%} before its first fault"
        panels += drawn[:1] if not panels else []
        panels += [(title, drawn[1][1]), ("", drawn[2][1])]
    return sheet(panels)


def summary(rows: list[dict[str, Any]], steps: int, seeds: int) -> str:
    """The paragraph that goes with the rows: what was done, and whether the rule was beaten."""
    clean = {(r["what"], r["note"]): r for r in rows if r["metric"] == "clean_coverage"}

    def found(note: str) -> str:
        gain = clean["PPO less the rule", f"{note}; paired"]
        beaten = (
            "beats the rule" if gain["low"] > 0
            else "is below the rule" if gain["high"] < 0
            else "is not shown to beat the rule: the interval holds 0"
        )  # fmt: skip
        start, end = clean["its start", note]["mean"], clean["PPO", f"{note}; run seeds"]["mean"]
        return (
            f"by {gain['mean']:.4g} [{gain['low']:.4g}, {gain['high']:.4g}], which {beaten}"
            f" (training itself took the start's {start:.3f} to {end:.3f})"
        )

    return (
        f"SB3's PPO, {seeds} run seeds. All begin as the rule, mended where"
        " rollouts of the rule on the train split foresee a gain"
        f" (`benchmarks/claims/stroke_policy.py`), and go on for {steps:,} steps on that split of"
        " `mixed`. All play every target of the test split from the same cell, and every corridor,"
        " a family that training never saw, from the same four. Coverage before the first fault"
        f" changes on unseen targets {found(FAMILIES['mixed'])}, and on corridors"
        f" {found(FAMILIES['corridor'])}; means over targets, paired. The picture has the target of"
        " median difference of each."
    )


def main() -> None:
    """Train, play, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    players = {
        "its start": [untrained()],
        "PPO": [trained(seed, arguments.steps) for seed in arguments.seeds],
    }
    rows, pictures = [], []
    for targets, note in FAMILIES.items():
        rule = played("reference", targets)
        runs = {}
        for who, policies in players.items():
            runs[who] = [played(policy, targets) for policy in policies]
            for run in runs[who]:
                record.assert_paired(run, rule)
        for name in METRICS:
            plain = by_target(rule, name)
            rows.append(record.row("Warnsdorff's rule", name, mean_interval(plain), note))
            first = mean_interval(by_target(runs["its start"][0], name))
            own = np.stack([by_target(run, name) for run in runs["PPO"]])  # [seeds, targets]
            seeds = across_seeds(own.mean(1))
            rows.append(record.row("its start", name, first, note))
            rows.append(record.row("PPO", name, seeds, f"{note}; run seeds"))
            better = mean_interval(own.mean(0) - plain)
            rows.append(record.row("PPO less the rule", name, better, f"{note}; paired"))
        means = [run.interval("clean_coverage").mean for run in runs["PPO"]]
        middle = int(np.argsort(means)[len(means) // 2])
        pictures.append(show(rule, runs["PPO"][middle], targets))
    wide = max(picture.shape[1] for picture in pictures)
    padded = [np.pad(p, ((0, 0), (0, wide - p.shape[1]), (0, 0)), "edge") for p in pictures]
    record.write(
        "voxel_stroke",
        title="VoxelStroke: a trained agent and Warnsdorff's rule",
        text=summary(rows, arguments.steps, len(players["PPO"])),
        rows=rows,
        command=f"python -m benchmarks.claims.voxel_stroke --steps {arguments.steps}"
        f" --seeds {' '.join(map(str, arguments.seeds))}",
        picture=np.concatenate(padded),
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
