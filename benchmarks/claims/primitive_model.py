"""A trained agent against the paper's expert on unseen aeroplanes of PrimitiveModel.

    python -m benchmarks.claims.primitive_model

As in Lin et al.: imitation of the expert that looks one step ahead, then reinforcement learning, by
the rewards of the paper; three seeds, the whole test split with each. What imitation alone comes to
is measured beside it. Runs are kept in runs/claims/primitive_model and go on where they were
stopped.
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

import agents
import genenvs
from agents.evaluation import Policy
from benchmarks.cells import across_seeds
from benchmarks.claims import record
from genenvs.core.evaluate import Evaluation

ENV, AGENT = "genenvs/PrimitiveModel-v0", "benchmarks.claims.primitive_policy:PrimitivePPO"
TARGETS = "aeroplane"  # of the families, the one that the expert models worst; also the paper's
SEEDS = (0, 1, 2)
STEPS, IMITATE_STEPS = 150_000, 20_000
LEAST = 108  # steps of the run that measures imitation alone: it has to have some
FOLDER = Path("runs/claims/primitive_model")
METRICS = ("iou", "return", "primitives", "chamfer", "components", "overlap")
SHOWN = 4  # targets in the picture


def evaluate(policy: Any) -> tuple[Evaluation, Any]:
    """The whole test split, and the task."""
    envs: Any = gym.make_vec(
        ENV, num_envs=128, split="test", targets=TARGETS, keep_final=True,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )  # fmt: skip
    task = envs.unwrapped.task
    found = genenvs.evaluate(
        envs, policy, episodes=len(task.targets), keep_final=True, progress=False
    )
    return found, task


def trained(name: str, seed: int, steps: int, config: Any = None) -> Evaluation:
    """Imitation, learning, and what came out."""
    run = agents.train(
        AGENT, ENV, steps=steps, seed=seed, arguments={"targets": TARGETS}, imitate="reference",
        imitate_steps=IMITATE_STEPS, config=config, out=FOLDER / f"{name}-{seed}", resume=True,
    )  # fmt: skip
    return evaluate(Policy(run.agent))[0]


def main() -> None:
    """Train, play, record."""
    expert, task = evaluate("reference")
    found = [trained("both", seed, STEPS) for seed in SEEDS]
    # The same stream of imitation; a learning rate of next to nothing leaves it as it is.
    cloned = [trained("imitation", s, LEAST, {"learning_rate": 1e-9}) for s in SEEDS]
    rows = []
    for metric in METRICS:
        for name, results in (("imitation + PPO", found), ("imitation alone", cloned)):
            means = across_seeds([float(r.episodes[metric].mean()) for r in results])
            rows.append(record.row(f"{name}, {len(SEEDS)} seeds", metric, means, "over seeds"))
        rows.append(record.row("expert", metric, expert.interval(metric), "over targets"))
    gaps = [float((r.episodes["iou"] - expert.episodes["iou"]).mean()) for r in found]
    gap = across_seeds(gaps)
    rows.append(record.row("agent - expert", "iou", gap, "same targets, over seeds"))
    share = np.mean([(r.episodes["iou"] > expert.episodes["iou"]).mean() for r in found])
    verdict = "above" if gap.low > 0 else "below" if gap.high < 0 else "not told apart from"
    record.write(
        "primitive_model",
        title="Cuboids on unseen aeroplanes",
        text=(
            f"The expert of Lin et al. (2020), which takes the legal change that pays most at once,"
            f" imitated for {IMITATE_STEPS:,} steps, then MaskablePPO for {STEPS:,}, paid as in the"
            f" paper; a policy whose weights all cuboids share (`benchmarks/claims/"
            f"primitive_policy.py`). On all {len(expert.episodes['iou'])} aeroplanes of the test"
            f" split the agent is {verdict} the expert in IoU, and ahead on {share:.0%} of them."
            f" The picture: expert (left), agent (right), first seed."
        ),
        rows=rows,
        command="python -m benchmarks.claims.primitive_model",
        picture=_picture(task, expert, found[0]),
    )


def _picture(task: Any, expert: Evaluation, agent: Evaluation) -> np.ndarray:
    """The same targets modelled by both."""
    where = [np.argsort(result.final.instance.numpy()) for result in (expert, agent)]  # type: ignore[union-attr]
    lines = []
    for k in np.linspace(0, len(where[0]) - 1, SHOWN).round().astype(int):
        pair = [
            task.render(result.final, int(order[k]))
            for result, order in zip((expert, agent), where, strict=True)
        ]
        lines.append(np.concatenate(pair, 1))
    return np.concatenate(lines)


if __name__ == "__main__":
    main()
