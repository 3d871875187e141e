"""The learning matrix: every agent below on every id, three run seeds, the suite `core`'s budgets.

    python -m benchmarks.learning [ID ...] [--agents ppo ...] [--jobs 2]

Cells that are known are not played again. Writes benchmarks/results/learning.json, which
docs/results.md shows, and for every id its learning curves, as numbers under
benchmarks/results/curves and as the picture on its page. A cell whose interval does not lie above
random's is listed and ends the command with an error.
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import genenvs
from agents.training import smoothed
from benchmarks import cells, pictures
from benchmarks.cells import Cell
from benchmarks.leaderboard import suites
from genenvs.core.files import replacing
from genenvs.core.registry import scores

AGENTS = ("ppo", "actor_critic", "a3c")
SEEDS = (0, 1, 2)
CPU_LIMIT = 300.0  # seconds of CPU time that a cell may take
RESULT = Path("benchmarks/results/learning.json")
CURVES, PICTURES = Path("benchmarks/results/curves"), Path("docs/environments")


def grid(ids: Sequence[str], names: Sequence[str]) -> list[Cell]:
    """Every run: cells of the suite `core`, so that what one command played the other knows."""
    return suites.plan(suites.load("core"), names, len(SEEDS), ids)[0]


def summarise(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Normalised scores across seeds, and whether they lie above random's interval."""
    table: dict[str, Any] = {}
    for env in dict.fromkeys(result["env"] for result in results):
        measured = scores(env)
        if measured is None:
            raise SystemExit(f"{env} has no scores: python -m benchmarks.scores {env}")
        low, high = measured["random"]["mean"], measured["reference"]["mean"]
        random_high = (measured["random"]["high"] - low) / (high - low)
        rows: dict[str, Any] = {}
        for agent in dict.fromkeys(r["agent"] for r in results if r["env"] == env):
            own = [r for r in results if r["env"] == env and r["agent"] == agent]
            played = [r for r in own if "mean" in r]
            found = cells.across_seeds([(r["mean"] - low) / (high - low) for r in played])
            rows[agent] = {
                **vars(found),
                "seeds": [round((r["mean"] - low) / (high - low), 4) for r in played],
                "failed": [r["failed"] for r in own if "failed" in r],
                "above_random": bool(played) and found.low > random_high,
                "episodes": max((r["sample"]["n"] for r in played), default=0),
                "cpu_seconds": round(max((r["cpu_seconds"] for r in played), default=0.0), 1),
            }
        steps = suites.load("core").steps_of(env)
        table[env] = {"steps": steps, "random_high": random_high, "agents": rows}
    return table


def write_curves(env: str, results: list[dict[str, Any]]) -> None:
    """Every run's curve on an environment, as a table and a picture."""
    name = env.rpartition("/")[2]
    CURVES.mkdir(parents=True, exist_ok=True)
    with (
        replacing(CURVES / f"{name}.csv") as temporary,
        temporary.open("w", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("agent", "seed", "steps", "mean_return", "episodes"))
        for result in results:
            writer.writerows((result["agent"], result["seed"], *row) for row in result["curve"])
    pictures.save(draw(env, results), PICTURES / f"{name}-learning.png")


def draw(env: str, results: list[dict[str, Any]]) -> Any:
    """Return against steps of every seed, beside those of random and of the reference."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for colour, agent in enumerate(dict.fromkeys(result["agent"] for result in results)):
        own = [result for result in results if result["agent"] == agent]
        for k, result in enumerate(own):
            rows = [{"return": y, "episodes": n} for _, y, n in result["curve"]]
            axes.plot(
                [row[0] for row in result["curve"]], smoothed(rows), color=f"C{colour}",
                linewidth=1.2, alpha=0.8, label=None if k else agent,
            )  # fmt: skip
    measured = scores(env)
    if measured is not None:
        for name, shade in (("random", "#999999"), ("reference", "#2a9d55")):
            level = measured[name]["metrics"].get("return", measured[name]["mean"])
            axes.axhline(level, color=shade, linestyle="--", label=name)
    axes.set(xlabel="environment steps", ylabel="return")
    axes.set_title(f"{env}, {len(SEEDS)} seeds each", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure


def main() -> int:
    """Play what is missing, write the table, say what does not learn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ids", nargs="*", default=genenvs.ids())
    parser.add_argument("--agents", nargs="+", default=list(AGENTS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    results = cells.run(grid(arguments.ids, arguments.agents), arguments.jobs, 4 * CPU_LIMIT)
    table = summarise(results)
    if arguments.agents == list(AGENTS):
        known = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        table_of_all = {env: (known | table)[env] for env in genenvs.ids() if env in known | table}
        with replacing(RESULT) as temporary:
            temporary.write_text(json.dumps(table_of_all, indent=1) + "\n")
        for env in table:
            write_curves(env, [r for r in results if r["env"] == env and "curve" in r])
    wrong = 0
    for env, entry in table.items():
        for agent, row in entry["agents"].items():
            print(f"{env} {agent}: {row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                  f" in {row['cpu_seconds']:.0f} CPU s")  # fmt: skip
            problems = [*row["failed"]]
            problems += [] if row["above_random"] else ["not above random"]
            problems += ["too slow"] if row["cpu_seconds"] > CPU_LIMIT else []
            for problem in problems:
                print(f"  {problem}")
            wrong += bool(problems)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
