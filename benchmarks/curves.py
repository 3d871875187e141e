"""Learning curves of PPO, three seeds, for every id: a CSV and a picture each.

python -m benchmarks.curves [ID ...]
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

import agents
import genenvs
from benchmarks import pictures
from genenvs.core.files import replacing
from genenvs.core.registry import declaration, scores

SEEDS = (0, 1, 2)
# By the beginning of the name. A step of DenoiseBudget is a whole episode.
SPECIAL_STEPS = {"DenoiseBudget": 8_192}
USUAL_STEPS = 65_536
CSV_FOLDER, PICTURE_FOLDER = Path("benchmarks/results/curves"), Path("docs/environments")

Curve = list[tuple[int, float]]  # steps so far, mean return of the episodes that ended since before


def train(env_id: str, steps: int) -> dict[int, Curve]:
    """One curve for each seed."""
    curves: dict[int, Curve] = {}
    for seed in SEEDS:
        found = agents.train("ppo", env_id, steps=steps, seed=seed, progress=True)
        curves[seed] = [
            (int(row["steps"]), row["return"]) for row in found.curve if "return" in row
        ]
    return curves


def draw(env_id: str, curves: dict[int, Curve]) -> Any:
    """Return against steps, beside the random and the reference score."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.8), layout="constrained")
    axes = figure.subplots()
    for seed, curve in curves.items():
        axes.plot(*np.array(curve).T, linewidth=1.4, label=f"PPO, seed {seed}")
    measured = scores(env_id)
    if measured is not None:
        for name, colour in (("random", "#999999"), ("reference", "#2a9d55")):
            axes.axhline(measured[name]["mean"], color=colour, linestyle="--", label=name)
    axes.set(xlabel="environment steps", ylabel=f"return ({declaration(env_id).score})")
    axes.set_title(env_id, fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Train, write the numbers, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ids", nargs="*", default=genenvs.ids())
    parser.add_argument("--steps", type=int, help="of each seed; default: by environment")
    arguments = parser.parse_args()
    CSV_FOLDER.mkdir(parents=True, exist_ok=True)
    PICTURE_FOLDER.mkdir(parents=True, exist_ok=True)
    for env_id in arguments.ids:
        name = env_id.partition("/")[2]
        steps = next((v for k, v in SPECIAL_STEPS.items() if name.startswith(k)), USUAL_STEPS)
        curves = train(env_id, arguments.steps or steps)
        rows = [(seed, at, round(mean, 6)) for seed, curve in curves.items() for at, mean in curve]
        with (
            replacing(CSV_FOLDER / f"{name}.csv") as temporary,
            temporary.open("w", newline="") as file,
        ):
            csv.writer(file).writerows([("seed", "steps", "mean_return"), *rows])
        pictures.save(draw(env_id, curves), PICTURE_FOLDER / f"{name}-ppo.png")


if __name__ == "__main__":
    main()
