"""What the ladder of strides costs: searched schedules followed rung by rung, beside themselves.

    python -m benchmarks.ladder

Prints the error of each searched schedule on the validation split, of the same schedule followed on
the ladder that `DenoiseSchedule` offers, and their ratio: the part of an agent's distance to the
open-loop schedules that no agent can make up.
"""

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.table import Table

from benchmarks import frontier
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import load
from genenvs.tasks.denoise_schedule import plans

BUDGETS, INSTANCES = (4, 5, 6, 8, 10, 12, 16, 20), 384


def on_ladder(plan: list[int]) -> tuple[float, float]:
    """Mean error and mean evaluations of a schedule followed rung by rung."""
    envs = gym.make_vec(
        frontier.ENV,
        num_envs=INSTANCES,
        split="validation",
        autoreset_mode=AutoresetMode.DISABLED,
    ).unwrapped
    envs.reset(seed=0, options={"instances": list(range(INSTANCES))})
    times, done = torch.tensor(plan), False
    while not done:
        # All rows stand at the same time, so all end together.
        action = envs.task.follow(envs.state, times)
        _, _, terminated, _, info = envs.step(action.numpy())
        done = bool(terminated.all())
    metrics = info["metrics"]
    return float(metrics["error"].mean()), float(metrics["evaluations"].mean())


def main() -> None:
    """Measure and print."""
    denoiser = load("digits")
    bank = frontier.first(Bank.load(denoiser, "validation"), INSTANCES)
    table = Table("evaluations", "searched", "on the ladder", "evaluations there", "ratio")
    for budget in BUDGETS:
        plan = plans.searched(denoiser, "ddim")[budget]
        exact = frontier.open_loop("searched", denoiser, bank, plan).error
        error, evaluations = on_ladder(plan)
        cells = (f"{exact:.5f}", f"{error:.5f}", f"{evaluations:g}", f"{error / exact:.3f}")
        table.add_row(str(budget), *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
