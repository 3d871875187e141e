"""Search the best open-loop schedule for each budget of network evaluations.

    python -m benchmarks.open_loop --sampler ddim

Cross-entropy method (Rubinstein, 1999) on instances of the training split: a schedule is a profile
of log-strides over the episode, piecewise linear between a few knots; all candidates of a round
see the same instances. What is found is written budget by budget to the environment's
`searched.json`; a run that was cut short goes on where it stopped.
"""

import argparse
import json
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from genenvs.core.files import replacing
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import Denoiser, load
from genenvs.generators.sampling import SAMPLERS, sample
from genenvs.tasks.denoise_schedule import plans
from genenvs.tasks.denoise_schedule.rewards import fidelity_error

BUDGETS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25)
KNOTS = 7  # of the profile, at most; one a stride for small budgets
POPULATION, ELITE, ROUNDS = 16, 4, 8
INSTANCES, FINALISTS, JURY = 64, 4, 384  # per round; candidates and instances of the last choice


def errors(
    denoiser: Denoiser, bank: Bank, grids: Tensor, index: Tensor, sampler: str
) -> np.ndarray:
    """Fidelity error of every (schedule, instance).

    Args:
        denoiser: the frozen model.
        bank: of the split.
        grids: int64 [P, K + 1].
        index: int64 [E], instances.
        sampler: `ddim` or `dpmpp_2m`.

    Returns:
        float [P, E].
    """
    count = len(grids)
    rows = index.repeat(count)
    times = grids.repeat_interleave(len(index), 0)
    found = sample(denoiser, bank.noise[rows], bank.condition[rows], times, sampler)
    error = fidelity_error(found, bank.solution[rows])
    return error.view(count, len(index)).double().cpu().numpy()


def grid_of(profile: np.ndarray, budget: int, steps: int) -> list[int]:
    """Times from N to 0 whose strides are proportional to exp(profile).

    Args:
        profile: [K], log-strides at K knots equally spaced over the episode.
        budget: number of strides.
        steps: N.
    """
    at = np.linspace(0, 1, budget) if budget > 1 else np.zeros(1)
    knots = np.linspace(0, 1, len(profile)) if len(profile) > 1 else np.zeros(1)
    strides = np.exp(np.interp(at, knots, profile))
    times = steps * (1 - np.concatenate([[0], np.cumsum(strides)]) / strides.sum())
    whole = torch.tensor(np.round(times), dtype=torch.int64)
    whole[-1] = 0
    return plans.strictly_falling(whole)


def profile_of(grid: list[int], knots: int) -> np.ndarray:
    """The log-strides of a grid, read at `knots` places."""
    strides = np.log(-np.diff(np.asarray(grid, dtype=np.float64)))
    at = np.linspace(0, 1, len(strides)) if len(strides) > 1 else np.zeros(1)
    return np.interp(np.linspace(0, 1, knots) if knots > 1 else np.zeros(1), at, strides)


def search(
    denoiser: Denoiser,
    bank: Bank,
    budget: int,
    sampler: str,
    seeds: list[list[int]],
    generator: np.random.Generator,
) -> list[int]:
    """The best grid found for one budget, starting from the best of the grids `seeds`."""
    schedule = denoiser.schedule
    starts = [make(schedule, budget) for make in plans.SCRIPTED.values()]
    knots = min(KNOTS, budget)
    starts += [grid_of(profile_of(grid, knots), budget, schedule.steps) for grid in seeds]
    if budget == 1:
        return starts[0]
    index = torch.as_tensor(generator.choice(len(bank), INSTANCES, replace=False))
    first = errors(denoiser, bank, torch.tensor(starts), index, sampler).mean(1)
    mean = profile_of(starts[int(first.argmin())], knots)
    spread = np.full(knots, 0.5)
    seen = {tuple(grid): float(error) for grid, error in zip(starts, first, strict=True)}
    for _ in range(ROUNDS):
        profiles = mean + spread * generator.standard_normal((POPULATION, knots))
        profiles[0] = mean
        grids = [grid_of(profile, budget, schedule.steps) for profile in profiles]
        found = errors(denoiser, bank, torch.tensor(grids), index, sampler).mean(1)
        seen |= {tuple(g): float(e) for g, e in zip(grids, found, strict=True)}
        elite = profiles[np.argsort(found)[:ELITE]]
        elite = elite - elite.mean(1, keepdims=True)  # a common factor of strides means nothing
        mean, spread = elite.mean(0), 0.3 * spread + 0.7 * elite.std(0)
    # The last choice on instances that the rounds did not see.
    finalists = [list(g) for g in sorted(seen, key=lambda g: seen[g])[:FINALISTS]]
    jury = torch.as_tensor(generator.choice(len(bank), min(JURY, len(bank)), replace=False))
    final = errors(denoiser, bank, torch.tensor(finalists), jury, sampler).mean(1)
    return finalists[int(final.argmin())]


def main() -> None:
    """Search every budget and write what is found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="digits")
    parser.add_argument("--sampler", default="ddim", choices=SAMPLERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--again", action="store_true", help="also budgets already searched")
    arguments = parser.parse_args()
    denoiser = load(arguments.generator)
    bank = Bank.load(denoiser, "train")
    held = Bank.load(denoiser, "validation")
    everything = torch.arange(len(held))
    key = f"{denoiser.digest}/{arguments.sampler}"
    previous: list[list[int]] = []
    for budget in (bar := tqdm(arguments.budgets, unit="budget")):
        table: dict[str, Any] = (
            json.loads(plans.SEARCHED.read_text()) if plans.SEARCHED.exists() else {}
        )
        entry = table.setdefault(key, {})
        if str(budget) not in entry or arguments.again:
            generator = np.random.default_rng([arguments.seed, budget])
            grid = search(denoiser, bank, budget, arguments.sampler, previous[-2:], generator)
            error = errors(denoiser, held, torch.tensor([grid]), everything, arguments.sampler)
            entry[str(budget)] = {"times": grid, "validation_error": round(float(error.mean()), 6)}
            with replacing(plans.SEARCHED) as temporary:
                temporary.write_text(json.dumps(table, indent=1) + "\n")
        previous.append(entry[str(budget)]["times"])
        bar.set_postfix(budget=budget, error=entry[str(budget)]["validation_error"])


if __name__ == "__main__":
    main()
