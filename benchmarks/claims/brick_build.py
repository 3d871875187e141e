"""BrickBuild: a trained masked PPO against the greedy reference, on targets it has not seen.

    python -m benchmarks.claims.brick_build [--steps 49152] [--seeds 0 1 2]

Trains `benchmarks.claims.brick_policy:BrickPPO` with several run seeds on the train split, plays
every target of the test split once by the most probable action, and compares IoU and the gold
stability with the reference's, target by target. A run that is finished is read from its folder.
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
METRICS = ("iou", "stability", "stable", "fallen", "chamfer", "bricks")
SHOWN = ("table", "aeroplane", "shelf")  # families of the picture


def trained(seed: int, steps: int) -> Any:
    """An agent, trained now or before."""
    folder = RUNS / f"brick-build-{seed}-{steps}"
    return agents.train(AGENT, ENV, steps=steps, seed=seed, out=folder, resume=True).agent


def played(policy: Any) -> Evaluation:
    """Every target of the test split."""
    return genenvs.evaluate(ENV, policy, num_envs=128, keep_final=True)


def instances(found: Evaluation) -> np.ndarray:
    """Which target each episode was about."""
    assert found.final is not None
    return found.final.instance.cpu().numpy()


def show(reference: Evaluation, agent: Evaluation) -> np.ndarray:
    """Targets and both builds: of each family the target of median difference in IoU."""
    task: Any = BrickBuild(split="test", horizon=256)
    difference = agent.episodes["iou"] - reference.episodes["iou"]
    family = [task.targets.name(int(k)) for k in instances(agent)]
    rows = []
    for name in SHOWN:
        own = [k for k, other in enumerate(family) if other == name]
        pick = sorted(own, key=lambda k: float(difference[k]))[len(own) // 2]
        assert agent.final is not None
        goal = task.targets.voxels(agent.final.instance[pick : pick + 1])[0].cpu().numpy()
        panels = [("target", [cubes(goal, (176, 186, 200))])]
        for title, found in (("greedy reference", reference), ("masked PPO", agent)):
            assert found.final is not None
            title += f", IoU {found.episodes['iou'][pick]:.2f}"
            title += f", stability {found.episodes['stability'][pick]:.2f}"
            panels.append((title, solids(task.codes(found.final, pick))))
        drawn = [(title, picture(what, 300, high=(SIZE,) * 3)) for title, what in panels]
        rows.append(sheet(drawn))
    return np.concatenate(rows)


def main() -> None:
    """Train, play, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=49_152)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reference = played("reference")
    runs = [played(Policy(trained(seed, arguments.steps))) for seed in arguments.seeds]
    assert all((instances(run) == instances(reference)).all() for run in runs)

    rows, better = [], {}
    for name in METRICS:
        own = np.stack([run.episodes[name] for run in runs])  # [seeds, targets]
        rows.append(record.row("greedy reference", name, reference.interval(name), "targets"))
        rows.append(record.row("masked PPO", name, across_seeds(own.mean(1)), "run seeds"))
        better[name] = mean_interval(own.mean(0) - reference.episodes[name])
        rows.append(record.row("PPO less greedy", name, better[name], "targets, paired"))
    seeds = [run.episodes["iou"].mean() for run in runs]
    spread, greedy = across_seeds(seeds), reference.interval("iou")
    verdict = "does" if spread.low > greedy.high else "does not"
    text = (
        f"sb3-contrib's MaskablePPO with a policy of box sums, {len(runs)} run seeds,"
        f" {arguments.steps:,} steps each on the train split, starts from the greedy rule and is"
        f" scored on the {len(instances(reference))} targets of the test split, most probable"
        f" action. IoU by run seed: {', '.join(f'{x:.3f}' for x in seeds)}; greedy"
        f" {greedy.mean:.3f}. The interval over run seeds {verdict} lie above greedy's. With these"
        f" runs taken as given, IoU changes by {better['iou']}, BrickGPT's stability by"
        f" {better['stability']} and the share of builds in which no brick falls by"
        f" {better['stable']} (targets, paired)."
    )
    record.write(
        "brick_build",
        title="BrickBuild: a trained agent and the greedy builder",
        text=text,
        rows=rows,
        command=f"python -m benchmarks.claims.brick_build --steps {arguments.steps}",
        picture=show(reference, runs[0]),
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
