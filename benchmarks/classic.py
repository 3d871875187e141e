"""Our actor-critics against Stable-Baselines3's A2C on two classics, five run seeds each.

    python -m benchmarks.classic [--jobs 2]

Same network, hyperparameters and number of steps; scored by `genenvs.evaluate` on the same hundred
episodes. Writes benchmarks/results/classic.json and a picture of the curves.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from agents.training import smoothed
from benchmarks import cells, pictures
from benchmarks.cells import Cell
from genenvs.core.files import replacing

SEEDS = range(5)
EPISODES = 100
AGENTS = ("a2c", "actor_critic", "a3c")
# Names of one and the same thing: Stable-Baselines3's are those of their documentation.
THEIRS = {"value_coef": "vf_coef", "entropy_coef": "ent_coef"}
ENVS: dict[str, tuple[int, dict[str, Any]]] = {
    # Stable-Baselines3's defaults.
    "CartPole-v1": (
        200_000,
        {"num_envs": 8, "n_steps": 5, "learning_rate": 7e-4, "gamma": 0.99, "value_coef": 0.5},
    ),
    # Rewards of down to -16 a step are scaled; the pendulum needs no longer horizon than 0.9 gives.
    "Pendulum-v1": (
        500_000,
        {"num_envs": 8, "n_steps": 8, "learning_rate": 2e-3, "gamma": 0.9, "value_coef": 0.5,
         "reward_scale": 0.1, "anneal": True},
    ),
}  # fmt: skip
RESULT, PICTURE = Path("benchmarks/results/classic.json"), Path("docs/pictures/classic.png")
MARGIN = 0.01  # of A2C's mean, within which an agent equals it
LIMIT = 1_800.0  # seconds for a cell


def grid() -> list[Cell]:
    """Every run; each setting in the words of its agent."""
    found = []
    for env, (steps, shared) in ENVS.items():
        for agent in AGENTS:
            config = shared
            if agent == "a2c":
                config = {THEIRS.get(name, name): value for name, value in shared.items()}
            found += [Cell(agent, env, seed, steps, EPISODES, config) for seed in SEEDS]
    return found


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Per environment and agent: mean return with interval, and whether it reaches A2C's."""
    table: dict[str, Any] = {}
    for env, (steps, config) in ENVS.items():
        rows: dict[str, Any] = {}
        for agent in AGENTS:
            own = [r for r in results if r["env"] == env and r["agent"] == agent]
            values = [r["mean"] for r in own if "mean" in r]
            rows[agent] = {
                "seeds": values,
                "failed": [r["failed"] for r in own if "failed" in r],
                **vars(cells.across_seeds(values)),
                "steps_per_second": float(
                    np.median([r["steps_per_second"] for r in own if "mean" in r] or [np.nan])
                ),
            }
        for row in rows.values():
            theirs = rows["a2c"]
            # The margin is for CartPole's ceiling, where A2C's interval has no width.
            margin = MARGIN * abs(theirs["mean"])
            row["reaches_a2c"] = row["mean"] >= min(theirs["low"], theirs["mean"] - margin)
        table[env] = {"steps": steps, "config": config, "agents": rows}
    return table


def draw(results: list[dict[str, Any]]) -> Any:
    """Every seed's learning curve, an axis for each environment."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    for axes, env in zip(figure.subplots(1, len(ENVS)), ENVS, strict=True):
        for colour, agent in enumerate(AGENTS):
            own = [r for r in results if r["env"] == env and r["agent"] == agent]
            for k, result in enumerate(own):
                rows = [{"return": y, "episodes": n} for _, y, n in result.get("curve", [])]
                axes.plot(
                    [row[0] for row in result.get("curve", [])], smoothed(rows, 0.1),
                    color=f"C{colour}", linewidth=1.0, alpha=0.7, label=None if k else agent,
                )  # fmt: skip
        axes.set(title=env, xlabel="environment steps", ylabel="return while training")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Play what is missing, then write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    results = cells.run(grid(), arguments.jobs, LIMIT)
    with replacing(RESULT) as temporary:
        temporary.write_text(json.dumps(summarise(results), indent=1) + "\n")
    pictures.save(draw(results), PICTURE)
    for env, entry in summarise(results).items():
        for agent, row in entry["agents"].items():
            verdict = "reaches" if row["reaches_a2c"] else "falls short of"
            print(f"{env} {agent}: {row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}],"
                  f" {verdict} A2C, {row['steps_per_second']:,.0f} steps/s")  # fmt: skip


if __name__ == "__main__":
    main()
