"""Open-loop schedules: times at which a sampler evaluates the network, whatever the image."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genenvs.generators.denoiser import Denoiser
from genenvs.generators.sampling import uniform_times
from genenvs.generators.schedule import NoiseSchedule

SEARCHED = Path(__file__).with_name("searched.json")  # written by `python -m benchmarks.open_loop`
DEFAULT_BUDGET = 10  # what the registered price of an evaluation buys


def uniform(schedule: NoiseSchedule, budget: int) -> list[int]:
    """Equal strides in time."""
    return uniform_times(schedule, budget).tolist()


def quadratic(schedule: NoiseSchedule, budget: int) -> list[int]:
    """Times proportional to the square of the remaining steps (DDIM's `quad`)."""
    fraction = torch.linspace(1, 0, budget + 1, dtype=torch.float64)
    return strictly_falling((fraction**2 * schedule.steps).round().long())


def uniform_log_snr(schedule: NoiseSchedule, budget: int) -> list[int]:
    """Equal steps in log-SNR between the first and the last trained timestep, then clean."""
    log_snr = schedule.log_snr.cpu()
    levels = torch.linspace(float(log_snr[-1]), float(log_snr[1]), budget + 1)[:-1]
    # log_snr falls with time: search in the flipped, ascending table.
    place = torch.searchsorted(log_snr.flip(0).contiguous(), levels.contiguous())
    times = (schedule.steps - place).clamp(1, schedule.steps)
    return strictly_falling(torch.cat([times, torch.zeros(1, dtype=torch.int64)]))


SCRIPTED = {"uniform": uniform, "quadratic": quadratic, "uniform log-SNR": uniform_log_snr}


def strictly_falling(times: Tensor) -> list[int]:
    """Push equal neighbours apart by one, keeping both ends: int64 [K + 1] -> list."""
    values: list[int] = times.tolist()
    for k in range(len(values) - 2, 0, -1):
        values[k] = max(values[k], values[k + 1] + 1)
    for k in range(1, len(values) - 1):
        values[k] = min(values[k], values[k - 1] - 1)
    return values


@cache
def _searched() -> dict[str, Any]:
    return json.loads(SEARCHED.read_text()) if SEARCHED.exists() else {}


def searched(denoiser: Denoiser, sampler: str) -> dict[int, list[int]]:
    """The best schedule found for each budget, by evaluations; empty for an unknown model."""
    entry = _searched().get(f"{denoiser.digest}/{sampler}", {})
    return {int(budget): item["times"] for budget, item in entry.items()}


def plan_for(denoiser: Denoiser, sampler: str, budget: int = DEFAULT_BUDGET) -> list[int]:
    """The best schedule known for a budget: searched where there is one, uniform otherwise."""
    return searched(denoiser, sampler).get(budget) or uniform(denoiser.schedule, budget)
