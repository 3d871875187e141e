"""BrickBuild: how well `strain`, which is paid, agrees with the linear programme, which is not.

    python -m benchmarks.claims.brick_standing [--builds 64]

Builds of the greedy reference, of random legal play, and of random play on nothing
(`floating=True`), on targets of the validation split.
"""

import argparse
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from scipy.stats import spearmanr

from benchmarks.claims import record
from genenvs.core.evaluate import mean_interval
from genenvs.tasks.brick_build import stability, standing
from genenvs.tasks.brick_build.bricks import EMPTY
from genenvs.tasks.brick_build.task import NEXT_LAYER

ENV = "genenvs/BrickBuild-v0"
PLAYS = {  # name -> arguments, and whether at random
    "greedy reference": ({}, False),
    "random": ({"horizon": 120}, True),
    "random, on nothing": ({"horizon": 60, "floating": True}, True),
}


def build(count: int, arguments: dict[str, Any], random: bool) -> torch.Tensor:
    """Codes of builds: integer [count, horizon]."""
    envs: Any = gym.make_vec(
        ENV, num_envs=count, split="validation", output="torch",
        autoreset_mode=AutoresetMode.DISABLED, **arguments,
    )  # fmt: skip
    envs.reset(seed=0)
    task, state = envs.unwrapped.task, envs.unwrapped.state.clone()
    generator = torch.Generator().manual_seed(0)
    going = torch.ones(count, dtype=torch.bool)
    while going.any():
        if random:
            odds = task.action_mask(state).float()
            odds[:, NEXT_LAYER] *= 20  # a few bricks a layer
            odds[:, -1] = 0
            action = odds.multinomial(1, generator=generator)[:, 0]
        else:
            action = task.reference_action(state)
        result = task.transition(state.clone(), action)
        state = state.where(~going, result.state)
        going &= ~result.terminated & (state.step < task.horizon)
    return state.bricks


def main() -> None:
    """Build, judge twice, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--builds", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, ranks = [], []
    for name, (options, random) in PLAYS.items():
        codes = build(arguments.builds, options, random)
        there = (codes != EMPTY).numpy()
        found = standing.judge(codes)
        exact = stability.scores_of([row[row != EMPTY].numpy() for row in codes])
        strain = [row[own] for row, own in zip(found.strain.numpy(), there, strict=True)]
        stands = [row[own] for row, own in zip(found.stands.numpy(), there, strict=True)]
        pairs = list(zip(stands, exact, strict=True))
        ours = np.array([1 - row.mean() for row in strain])
        theirs = np.array([row.mean() for row in exact])
        ranks.append(f"{spearmanr(ours, theirs)[0]:.2f}")
        for what, values in (
            ("bricks that stand in both or neither", [np.mean(a == (b > 0)) for a, b in pairs]),
            ("builds that stand in both or neither", [a.all() == (b > 0).all() for a, b in pairs]),
            ("mean of 1 - strain", ours),
            ("mean stability", theirs),
            ("difference of a build's two means", np.abs(ours - theirs)),
        ):
            rows.append(record.row(name, what, mean_interval(np.array(values, float)), "builds"))
    text = (
        f"{arguments.builds} builds of each kind, on targets of the validation split. Rank"
        f" correlation over builds of 1 - mean strain and mean stability:"
        f" {', '.join(f'{rank} ({name})' for rank, name in zip(ranks, PLAYS, strict=True))}."
    )
    record.write(
        "brick_standing",
        title="BrickBuild: strain, and stability by a linear programme",
        text=text,
        rows=rows,
        command=f"python -m benchmarks.claims.brick_standing --builds {arguments.builds}",
    )
    for row in rows:
        print(row)
    print(text)


if __name__ == "__main__":
    main()
