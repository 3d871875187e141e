"""The demo's claims with three training seeds, and the full picture.

    python -m benchmarks.demo_claim [--steps 400000] [--out runs/demo_claim]

(a) Evaluations that the agent saves against uniform steps at equal fidelity; (b) its error beside
the best open-loop schedule at equal mean evaluations; (c) the adaptivity gap, which is what
looking at the image is worth. Cells already trained are read from the output folder; the table and
the picture are committed under `benchmarks/results/`.
"""

import argparse
import dataclasses
import hashlib
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import agents
from agents import configs, registry
from benchmarks import frontier, pictures
from benchmarks.demo import PRICES
from benchmarks.frontier import Point
from genenvs.core.evaluate import mean_interval
from genenvs.core.files import replacing
from genenvs.core.registry import arguments_hash
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import load
from genenvs.tasks.denoise_schedule import plans

SEEDS = (0, 1, 2)
BUDGETS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25)
UNIFORM_BUDGETS = (30, 40, 50)  # uniform alone needs so many to reach the best agents
LIBRARY_BUDGETS = (3, 5, 8, 10, 14, 20)
RESULTS = Path("benchmarks/results")
GOLD = ("accuracy", "frechet", "diversity")


def cell(folder: Path, price: float, seed: int, steps: int) -> dict[str, Any]:
    """Train and evaluate one agent, or read what an earlier run of the same settings found."""
    path = folder / f"price-{price}-seed-{seed}-steps-{steps}-{fingerprint()}.json"
    if not path.exists():
        trained = agents.train(
            "ppo",
            frontier.ENV,
            steps=steps,
            seed=seed,
            arguments={"reward_weights": {"evaluations": price}},
        )
        found = frontier.evaluate_agent(trained.agent.act)
        evaluations, error = frontier.by_instance(found)
        content = {
            "error": np.round(error, 6).tolist(),
            "evaluations": evaluations.tolist(),
            "gold": {name: found.summary()[name] for name in GOLD},
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content))
    return json.loads(path.read_text())


def settings() -> dict[str, Any]:
    """Every setting of an agent."""
    tuned = configs.make(registry.find("ppo").Config, configs.tuned("ppo", frontier.ENV))
    return dataclasses.asdict(tuned)


def fingerprint() -> str:
    """What an agent depends on beside price, seed and steps: model, environment, settings."""
    from genenvs.tasks.denoise_schedule.task import TIME_FEATURES, ladder

    parts = [
        load("digits").digest,
        arguments_hash(frontier.ENV),
        str(ladder(1000)),
        str(TIME_FEATURES),
        str(settings()),
    ]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:10]


def claims(points: list[Point], agent: Point, evaluations: np.ndarray) -> dict[str, Any]:
    """The three claims for one agent; None where a curve does not reach it."""
    best = frontier.rows_at(points, "searched open loop", agent.evaluations)
    entry: dict[str, Any] = {
        "evaluations": round(agent.evaluations, 3),
        "error": round(agent.error, 5),
        "saved_against_uniform": _round(frontier.saving(points, agent)),
        "saved_interval": _round(frontier.saving_interval(points, agent, evaluations)),
        "error_over_open_loop": None,
        "adaptivity_gap": None,
    }
    if best is not None:
        gap = mean_interval(best - agent.rows)  # paired: the same noise on both sides
        entry["error_over_open_loop"] = round(agent.error / float(best.mean()), 4)
        entry["adaptivity_gap"] = [round(v, 5) for v in (gap.mean, gap.low, gap.high)]
    for family in ("DPM-Solver++", "UniPC"):
        entry[f"saved_against_{family}"] = _round(frontier.saving(points, agent, family))
    return entry


def _round(value: Any) -> Any:
    if value is None:
        return None
    return [round(v, 4) for v in value] if isinstance(value, tuple) else round(value, 4)


def average(table: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Mean of a claim over the agents that have it, and over how many of them that is."""
    values = [row[name] for row in table if row[name] is not None]
    mean = round(float(np.mean(values)), 4) if values else None
    return {"mean": mean, "agents": len(values), "of": len(table)}


def main() -> None:
    """Train what is missing, compare, write table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--jobs", type=int, default=2, help="agents trained side by side")
    parser.add_argument("--out", type=Path, default=Path("runs/demo_claim"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    cells = [(price, seed) for price in PRICES for seed in SEEDS]
    # Spawned, one thread each: small networks gain nothing from threads that share a core.
    with ProcessPoolExecutor(
        arguments.jobs, get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        waiting = {
            pool.submit(cell, arguments.out, price, seed, arguments.steps): (price, seed)
            for price, seed in cells
        }
        for done in tqdm(as_completed(waiting), total=len(waiting), unit="agent"):
            done.result()
    denoiser = load("digits")
    bank = Bank.load(denoiser, "test")
    points = frontier.references(denoiser, bank, BUDGETS, LIBRARY_BUDGETS)
    points += [
        frontier.open_loop("uniform", denoiser, bank, plans.uniform(denoiser.schedule, budget))
        for budget in UNIFORM_BUDGETS
    ]
    table: list[dict[str, Any]] = []
    for price, seed in cells:
        found = cell(arguments.out, price, seed, arguments.steps)
        agent = Point.of("learned", float(np.mean(found["evaluations"])), np.array(found["error"]))
        entry = claims(points, agent, np.array(found["evaluations"]))
        table.append({"price": price, "seed": seed} | entry | found["gold"])
        print(json.dumps(table[-1]))
        points.append(agent)
    content = {
        "command": f"python -m benchmarks.demo_claim --steps {arguments.steps}",
        "claims": table,
        "mean": {
            name: average(table, name) for name in ("saved_against_uniform", "error_over_open_loop")
        },
        "settings": settings(),
        "gold_of_200_steps": _gold_floor(bank),
        "points": [p.record() for p in points],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    with replacing(RESULTS / "demo_claim.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
    mean = {name: each["mean"] for name, each in content["mean"].items()}
    caption = (
        f"Whole test split, three training seeds, 95 % intervals over instances. Mean over agents: "
        f"{mean['saved_against_uniform']:.0%} fewer evaluations than uniform steps, error "
        f"{mean['error_over_open_loop']:.2f} x the best open-loop schedule's."
    )
    figure = frontier.draw(points, "Digits: learned against scripted schedules", caption)
    pictures.save(figure, RESULTS / "demo_claim.png")
    print(caption)


def _gold_floor(bank: Bank) -> dict[str, float]:
    """What the gold metrics say of the many-step solutions themselves."""
    from genenvs.core.frechet import frechet_distance
    from genenvs.generators.judge import load_judge
    from genenvs.images.metrics import nearest_neighbour_distance

    judge, images = load_judge("digits"), bank.solution.float()
    features = judge.features(images)
    read = (judge.logits(images).argmax(1) == bank.condition).float().mean()
    return {
        "accuracy": round(float(read), 4),
        "frechet": round(frechet_distance(features, judge.real_features), 3),
        "diversity": round(float(nearest_neighbour_distance(features).mean()), 4),
    }


if __name__ == "__main__":
    main()
