"""BrickBuild: a trained masked PPO against the greedy reference, on targets it has not seen.

    python -m benchmarks.claims.brick_build [--steps 12288] [--seeds 0 1 2] [--targets 128]

Trains `benchmarks.claims.brick_policy:BrickPPO` with several run seeds on the train split, plays
targets of the test split once by the most probable action, and compares IoU and the gold stability
with the reference's, and with the policy's before training, target by target. A run that is
finished is read from its folder.
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
from genenvs.images.solids import cubes, picture
from genenvs.tasks.brick_build.bricks import SIZE
from genenvs.tasks.brick_build.task import BrickBuild
from genenvs.tasks.brick_build.viewer import solids

ENV, AGENT = "genenvs/BrickBuild-v0", "benchmarks.claims.brick_policy:BrickPPO"
RUNS = Path("runs/claims")
METRICS = ("iou", "stability", "stable", "strain", "chamfer", "bricks")
SHOWN = ("table", "aeroplane", "shelf")  # families of the picture


def trained(seed: int, steps: int) -> Any:
    """An agent, trained now or before."""
    folder = RUNS / f"brick-build-{seed}-{steps}"
    return agents.train(AGENT, ENV, steps=steps, seed=seed, out=folder, resume=True).agent


def untrained() -> Any:
    """The agent as it begins: its rate of learning is too small to change a weight."""
    config = {"learning_rate": 1e-12, "num_envs": 2, "n_steps": 2, "batch_size": 4}
    return agents.train(AGENT, ENV, steps=4, config=config).agent


def played(policy: Any, targets: int) -> Evaluation:
    """The first targets of the test split's fixed order, which is a random one."""
    return genenvs.evaluate(ENV, policy, num_envs=64, episodes=targets, keep_final=True)


def show(reference: Evaluation, agent: Evaluation) -> np.ndarray:
    """Targets and both builds: of each family the target of median difference in IoU."""
    assert agent.final is not None and reference.final is not None
    task: Any = BrickBuild(split="test", horizon=256)
    difference = agent.episodes["iou"] - reference.episodes["iou"]
    family = [task.targets.name(k) for k in agent.final.instance.tolist()]
    rows = []
    for name in SHOWN:
        own = [k for k, other in enumerate(family) if other == name]
        pick = sorted(own, key=lambda k: float(difference[k]))[len(own) // 2]
        goal = task.targets.voxels(agent.final.instance[pick : pick + 1])[0].cpu().numpy()
        panels = [("target", [cubes(goal, (176, 186, 200))])]
        for title, found in (("greedy reference", reference), ("masked PPO", agent)):
            title += f", IoU {found.episodes['iou'][pick]:.2f}"
            title += f", stability {found.episodes['stability'][pick]:.2f}"
            panels.append((title, solids(task.codes(found.final, pick))))
        drawn = [(title, picture(what, 300, high=(SIZE,) * 3)) for title, what in panels]
        rows.append(sheet(drawn))
    return np.concatenate(rows)


def falls(change: Any) -> str:
    """Whether the claim's second half holds, by the stricter measure."""
    return ": stability is not as good as greedy's" if change.high < 0 else ""


def main() -> None:
    """Train, play, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=12_288)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--targets", type=int, default=128)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reference = played("reference", arguments.targets)
    before = played(Policy(untrained()), arguments.targets)
    runs = [
        played(Policy(trained(seed, arguments.steps)), arguments.targets)
        for seed in arguments.seeds
    ]
    for run in (before, *runs):
        record.assert_paired(run, reference)

    rows, better = [], {}
    for name in METRICS:
        own = np.stack([run.episodes[name] for run in runs])  # [seeds, targets]
        rows.append(record.row("greedy reference", name, reference.interval(name), "targets"))
        rows.append(record.row("before training", name, before.interval(name), "targets"))
        rows.append(record.row("masked PPO", name, across_seeds(own.mean(1)), "run seeds"))
        for seed, run in zip(arguments.seeds, runs, strict=True):
            gained = mean_interval(run.episodes[name] - reference.episodes[name])
            rows.append(record.row(f"seed {seed} less greedy", name, gained, "targets, paired"))
        better[name] = mean_interval(own.mean(0) - reference.episodes[name])
        rows.append(record.row("PPO less greedy", name, better[name], "targets, paired"))
        gained = mean_interval(own.mean(0) - before.episodes[name])
        rows.append(record.row("PPO less before", name, gained, "targets, paired"))
    lows = [row["low"] for row in rows if row["metric"] == "iou" and row["what"][:4] == "seed"]
    iou = {"PPO": [float(run.episodes["iou"].mean()) for run in runs]}
    learned = next(r for r in rows if r["what"] == "PPO less before" and r["metric"] == "iou")
    verdict = (
        "that much is learned" if learned["low"] > 0 else "the gain is the rule's, none is learned"
    )
    text = (
        f"sb3-contrib's MaskablePPO with a policy of box sums, {len(runs)} run seeds,"
        f" {arguments.steps:,} steps each on the train split, scored on {arguments.targets} targets"
        f" of the test split drawn at random, most probable action. It begins as a rule: the greedy"
        f" one, but that a cell with no stud below is worth more. IoU by run seed:"
        f" {', '.join(f'{x:.3f}' for x in iou['PPO'])}; greedy"
        f" {reference.interval('iou').mean:.3f}; the rule before training"
        f" {before.interval('iou').mean:.3f}. {sum(low > 0 for low in lows)} of {len(lows)} seeds"
        f" beat greedy with 95 % confidence (targets, paired): by {better['iou']} on average, while"
        f" BrickGPT's stability changes by {better['stability']} and the share of builds in which"
        f" no brick falls by {better['stable']}{falls(better['stable'])}. Training itself"
        f" changes the rule's IoU by {learned['mean']:.4f}"
        f" [{learned['low']:.4f}, {learned['high']:.4f}]: {verdict}."
    )
    order = sorted(range(len(runs)), key=lambda k: iou["PPO"][k])
    record.write(
        "brick_build",
        title="BrickBuild: a trained agent and the greedy builder",
        text=text,
        rows=rows,
        command=f"python -m benchmarks.claims.brick_build --steps {arguments.steps}"
        f" --targets {arguments.targets}",
        picture=show(reference, runs[order[len(order) // 2]]),  # of the median seed
    )
    for row in rows:
        print(row)
    print(text)


if __name__ == "__main__":
    main()
