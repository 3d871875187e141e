"""A trained agent against the paper's expert on unseen targets of PrimitiveModel.

    python -m benchmarks.claims.primitive_model [--seeds 0 1 2]

As in Lin et al.: imitation of the expert that looks one step ahead, then reinforcement learning, by
the rewards of the paper, on one family; each seed plays that family's whole test split. The family
is the one that the expert models worst on the validation split: there is most to learn, and the
test split has no say in it. What imitation alone comes to is measured beside it. Runs are kept in
runs/claims/primitive_model and go on where they were stopped.
"""

import argparse
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import agents
import genenvs
from agents.evaluation import Policy
from benchmarks.cells import across_seeds
from benchmarks.claims import pairs, record
from genenvs.core.evaluate import Evaluation, mean_interval
from genenvs.shapes.families import FAMILIES, HELD_OUT

ENV, AGENT = "genenvs/PrimitiveModel-v0", "benchmarks.claims.primitive_agent:Evolution"
SEEDS = (0, 1, 2)
STEPS, IMITATE_STEPS = 3_400_000, 6_000
FOLDER = Path("runs/claims/primitive_model")
METRICS = ("iou", "return", "primitives", "chamfer", "components", "overlap")
SHOWN = 4  # targets in the picture


def evaluate(policy: Any, targets: str, split: str = "test") -> tuple[Evaluation, Any]:
    """A whole split, and the task."""
    envs: Any = gym.make_vec(
        ENV, num_envs=128, split=split, targets=targets, keep_final=True,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )  # fmt: skip
    task = envs.unwrapped.task
    found = genenvs.evaluate(
        envs, policy, episodes=len(task.targets), keep_final=True, progress=False
    )
    return found, task


def choose() -> tuple[str, dict[str, float]]:
    """The family that the expert models worst on the validation split, and its IoU on each."""
    found = {
        name: float(evaluate("reference", name, "validation")[0].episodes["iou"].mean())
        for name in FAMILIES
        if name not in HELD_OUT
    }
    return min(found, key=lambda name: found[name]), found


def trained(targets: str, seed: int) -> tuple[Evaluation, Evaluation]:
    """Imitation and learning: what came out, and what imitation alone had come to."""
    agent: Any = agents.train(
        AGENT, ENV, steps=STEPS, seed=seed, arguments={"targets": targets}, imitate="reference",
        imitate_steps=IMITATE_STEPS, out=FOLDER / f"{targets}-{seed}", resume=True,
    ).agent  # fmt: skip
    one, two = (evaluate(Policy(player), targets)[0] for player in (agent, agent.as_taught()))
    return one, two


def main() -> None:
    """Choose, train, play, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    seeds = parser.parse_args().seeds
    targets, validation = choose()
    found, taught = zip(*[trained(targets, seed) for seed in seeds], strict=True)
    if len(seeds) < 2:
        return  # a run that others will join: there is no interval yet
    expert, task = evaluate("reference", targets)
    rows = []
    for metric in METRICS:
        for name, results in (("imitation, then evolution", found), ("imitation alone", taught)):
            means = across_seeds([float(r.episodes[metric].mean()) for r in results])
            rows.append(record.row(f"{name}, {len(seeds)} seeds", metric, means, "over seeds"))
        rows.append(record.row("expert", metric, expert.interval(metric), "over targets"))
    gaps = [pairs.gap(result, expert, "iou") for result in found]
    between = across_seeds([float(gap.mean()) for gap in gaps])
    rows.append(record.row("agent - expert", "iou", between, "same targets, over seeds"))
    for seed, gap in zip(seeds, gaps, strict=True):
        rows.append(
            record.row(f"agent - expert, seed {seed}", "iou", mean_interval(gap), "over targets")
        )
    share = np.mean([(gap > 0).mean() for gap in gaps])
    verdict = "above" if between.low > 0 else "below" if between.high < 0 else "not told apart from"
    others = ", ".join(f"{name} {iou:.3f}" for name, iou in sorted(validation.items()))
    record.write(
        "primitive_model",
        title=f"Cuboids on unseen targets of one family ({targets})",
        text=(
            f"The expert of Lin et al. (2020), which takes the legal change that pays most at once,"
            f" imitated for {IMITATE_STEPS:,} steps, then evolution strategies (Salimans et al."
            f" 2017) for {STEPS:,}, paid as in the paper. The policy has 36 weights, which say by"
            f" what factor the gain of a change counts, by its kind and by what lies ahead"
            f" (`benchmarks/claims/primitive_policy.py`, `primitive_agent.py`). The family is the"
            f" one that the expert models worst on the validation split (IoU: {others}). On all"
            f" {len(expert.episodes['iou'])} targets of its test split the agent is {verdict} the"
            f" expert in IoU, and ahead on {share:.0%} of them. The picture: expert (left), agent"
            f" (right), first seed."
        ),
        rows=rows,
        command=" ".join(["python -m benchmarks.claims.primitive_model --seeds", *map(str, seeds)]),
        picture=_picture(task, expert, found[0]),
    )


def _picture(task: Any, expert: Evaluation, agent: Evaluation) -> np.ndarray:
    """The same targets modelled by both."""
    pairs.check_paired(expert, agent)
    count = len(expert.episodes["iou"])
    lines = [
        np.concatenate([task.render(result.final, int(k)) for result in (expert, agent)], 1)
        for k in np.linspace(0, count - 1, SHOWN).round()
    ]
    return np.concatenate(lines)


if __name__ == "__main__":
    main()
