"""Error against evaluations: learned, scripted and library schedules, and their picture."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

import genenvs
from genenvs.core.evaluate import Evaluation, mean_interval
from genenvs.generators.bank import Bank
from genenvs.generators.denoiser import ClassConditional, Denoiser
from genenvs.generators.sampling import sample
from genenvs.tasks.denoise_schedule import plans
from genenvs.tasks.denoise_schedule.rewards import fidelity_error

ENV = "genenvs/DenoiseSchedule-v0"


@dataclass(frozen=True)
class Point:
    """One way of sampling, measured on a whole split.

    Attributes:
        family: `uniform`, `learned`, `DPM-Solver++` ...
        evaluations: mean network evaluations of a sample.
        error: mean fidelity error, with its 95 % interval over instances.
        rows: error of every instance.
    """

    family: str
    evaluations: float
    error: float
    low: float
    high: float
    rows: np.ndarray

    @staticmethod
    def of(family: str, evaluations: float, rows: np.ndarray) -> "Point":
        """Mean and interval of the rows' errors."""
        found = mean_interval(rows)
        return Point(family, evaluations, found.mean, found.low, found.high, rows)

    def record(self) -> dict[str, Any]:
        """For JSON, without the rows."""
        return {k: v for k, v in vars(self).items() if k != "rows"}


def open_loop(
    family: str, denoiser: Denoiser, bank: Bank, times: list[int], sampler: str = "ddim"
) -> Point:
    """A fixed grid of times on every instance of a bank."""
    found = sample(denoiser, bank.noise, bank.condition, torch.tensor(times), sampler)
    return Point.of(family, len(times) - 1, _error(found, bank))


def library(family: str, denoiser: ClassConditional, bank: Bank, steps: int) -> Point:
    """One of diffusers' own solvers, with its default spacing, on the same model and noise.

    Args:
        family: `DPM-Solver++` or `UniPC`.
        denoiser: the frozen model.
        bank: of the split.
        steps: network evaluations.
    """
    import diffusers

    kind = {
        "DPM-Solver++": diffusers.DPMSolverMultistepScheduler,
        "UniPC": diffusers.UniPCMultistepScheduler,
    }[family]
    scheduler = kind(
        num_train_timesteps=denoiser.schedule.steps,
        trained_betas=_betas(denoiser),
        prediction_type=denoiser.prediction,
    )
    scheduler.set_timesteps(steps)
    x = bank.noise.clone()
    with torch.no_grad():
        for timestep in scheduler.timesteps:
            output = torch.cat(
                [
                    denoiser.unet(part, timestep, label, return_dict=False)[0]
                    for part, label in zip(
                        x.split(denoiser.max_batch),
                        bank.condition.split(denoiser.max_batch),
                        strict=True,
                    )
                ]
            )
            x = scheduler.step(output, timestep, x, return_dict=False)[0]
    return Point.of(family, len(scheduler.timesteps), _error(x, bank))


def learned(evaluation: Evaluation, instances: int | None = None) -> Point:
    """The point of an evaluated agent; its rows in order of the instances, as every other's.

    Args:
        evaluation: of the whole split, with its final states.
        instances: only the first so many.
    """
    evaluations, error = by_instance(evaluation)
    return Point.of("learned", float(evaluations[:instances].mean()), error[:instances])


def by_instance(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Evaluations and error [M] of an evaluated agent, sorted by instance."""
    assert evaluation.final is not None, "evaluate with keep_final=True"
    order = evaluation.final.instance.argsort().cpu().numpy()
    return evaluation.episodes["evaluations"][order], evaluation.episodes["error"][order]


def first(bank: Bank, instances: int) -> Bank:
    """The first instances of a bank."""
    return replace(
        bank,
        noise=bank.noise[:instances],
        condition=bank.condition[:instances],
        solution=bank.solution[:instances],
    )


def references(
    denoiser: Denoiser,
    bank: Bank,
    budgets: Iterable[int],
    library_budgets: Iterable[int] = (),
    tick: Callable[[str], None] = lambda name: None,
) -> list[Point]:
    """Every scripted schedule, the searched ones and diffusers' solvers, budget by budget."""
    points = []
    for name, make in plans.SCRIPTED.items():
        for budget in budgets:
            tick(name)
            points.append(open_loop(name, denoiser, bank, make(denoiser.schedule, budget)))
    best = plans.searched(denoiser, "ddim")
    for budget in sorted(set(best) & set(budgets)):
        tick("searched")
        points.append(open_loop("searched open loop", denoiser, bank, best[budget]))
    for name in ("DPM-Solver++", "UniPC"):
        for budget in library_budgets:
            tick(name)
            points.append(library(name, denoiser, bank, budget))
    return points


def _mix(points: Iterable[Point], family: str, covers: Callable[[Point, Point], bool]) -> Any:
    """The two neighbouring budgets of a family's curve for which `covers` holds, or None."""
    curve = sorted((p for p in points if p.family == family), key=lambda p: p.evaluations)
    return next((pair for pair in pairwise(curve) if covers(*pair)), None)


def evaluations_for(
    points: Iterable[Point], family: str, error: float, rows: np.ndarray | None = None
) -> float | None:
    """Evaluations at which a family reaches a mean error, mixing two neighbouring budgets.

    A mixture that gives each sample one of two budgets lies on the line between them: anyone can
    reach it.

    Args:
        points: of all families.
        family: whose curve.
        error: mean error asked for.
        rows: indices of instances to average over; default all.

    Returns:
        None where the error lies beyond the curve.
    """
    pick: Any = slice(None) if rows is None else rows

    def mean(point: Point) -> float:
        return float(point.rows[pick].mean())

    pair = _mix(points, family, lambda left, right: mean(left) >= error >= mean(right))
    if pair is None:
        return None
    left, right = pair
    share = (mean(left) - error) / max(mean(left) - mean(right), 1e-12)
    return float(left.evaluations + share * (right.evaluations - left.evaluations))


def rows_at(points: Iterable[Point], family: str, evaluations: float) -> np.ndarray | None:
    """A family's expected errors, row by row, when two budgets are mixed to a mean between them.

    Returns:
        None where the mean lies beyond the curve.
    """
    pair = _mix(
        points, family, lambda left, right: left.evaluations <= evaluations <= right.evaluations
    )
    if pair is None:
        return None
    left, right = pair
    share = (evaluations - left.evaluations) / (right.evaluations - left.evaluations)
    return (1 - share) * left.rows + share * right.rows


def saving(points: list[Point], agent: Point, against: str = "uniform") -> float | None:
    """Share of evaluations that an agent saves against a family at equal mean error."""
    needed = evaluations_for(points, against, agent.error)
    return None if needed is None else 1 - agent.evaluations / needed


def saving_interval(
    points: list[Point], agent: Point, evaluations: np.ndarray, against: str = "uniform"
) -> tuple[float, float] | None:
    """95 % bootstrap interval of `saving` over instances, the same on both sides.

    Args:
        points: of all families, with the rows of all instances.
        agent: whose rows are in the order of the instances.
        evaluations: [M], the agent's own, in the same order.
        against: the family.
    """
    generator = np.random.default_rng(0)
    found = []
    for _ in range(400):
        rows = generator.integers(0, len(agent.rows), len(agent.rows))
        needed = evaluations_for(points, against, float(agent.rows[rows].mean()), rows)
        if needed is None:
            return None
        found.append(1 - evaluations[rows].mean() / needed)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


_STYLE = {
    "uniform": ("#888888", "o"),
    "quadratic": ("#b08bd0", "v"),
    "uniform log-SNR": ("#6aa5d8", "^"),
    "searched open loop": ("#2a9d55", "s"),
    "DPM-Solver++": ("#d9a400", "P"),
    "UniPC": ("#a05a2c", "X"),
    "learned": ("#d62839", "*"),
}


def draw(points: list[Point], title: str, caption: str) -> Any:
    """The picture: error against evaluations, with intervals; a matplotlib figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 6.0), layout="constrained")
    axes = figure.subplots()
    for family, (colour, marker) in _STYLE.items():
        curve = sorted((p for p in points if p.family == family), key=lambda p: p.evaluations)
        if not curve:
            continue
        agent = family == "learned"
        error = np.array([p.error for p in curve])
        reach = np.array([[p.error - p.low for p in curve], [p.high - p.error for p in curve]])
        axes.errorbar(
            [p.evaluations for p in curve],
            error,
            yerr=reach,
            color=colour,
            marker=marker,
            markersize=13 if agent else 5,
            linestyle="none" if agent else "-",
            linewidth=1.2,
            capsize=2,
            zorder=5 if agent else 2,
            label="learned (PPO)" if agent else family,
        )
    axes.axhline(0.01, color="#cccccc", linestyle=":", linewidth=1)
    axes.text(1.6, 0.0104, "the reference's own error", color="#999999", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="network evaluations (mean)", title=title)
    axes.set_ylabel("fidelity error: RMS distance to 200 steps from the same noise")
    ticks = [2, 3, 4, 5, 6, 8, 10, 15, 20, 30]
    axes.set_xticks(ticks, [str(t) for t in ticks], minor=False)
    axes.minorticks_off()
    axes.set_xlim(1.5, 34)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.text(0.5, -0.01, caption, ha="center", va="top", fontsize=9, wrap=True)
    return figure


def evaluate_agent(policy: Any, **arguments: Any) -> Evaluation:
    """Play the whole test split once."""
    return genenvs.evaluate(ENV, policy, keep_final=True, **arguments)


def _error(found: Tensor, bank: Bank) -> np.ndarray:
    return fidelity_error(found, bank.solution).double().cpu().numpy()


def _betas(denoiser: Denoiser) -> np.ndarray:
    """The betas of the training schedule, from its cumulative products."""
    squared = denoiser.schedule.alpha.double().cpu().square()
    return (1 - squared[1:] / squared[:-1]).numpy()
