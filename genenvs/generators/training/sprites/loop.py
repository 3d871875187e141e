"""One training loop for all stages: AdamW, warm-up and cosine, averaged weights, a record."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm


@dataclass(frozen=True)
class Plan:
    """What a stage of training depends on, beside its data."""

    steps: int
    batch: int
    learning_rate: float
    warm_up: int = 200  # steps of linear rise before the cosine
    weight_decay: float = 0.01
    average: float = 0.999  # decay of the averaged weights
    clip: float = 1.0  # norm of the gradient
    seed: int = 0
    threads: int = 2  # the result depends on it, so it does not follow the machine


def fit(
    model: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    plan: Plan,
    watch: Callable[[nn.Module], dict[str, float]],
    every: int,
    progress: bool = True,
) -> tuple[Any, dict[str, Any]]:
    """Train `model` in place; return its averaged copy and the record of the run.

    Args:
        model: what is trained.
        loss: of a step, with the generator that all its random numbers come from.
        plan: how.
        watch: figures of the averaged model for the record, every `every` steps.
        every: see `watch`.
        progress: show a bar.
    """
    torch.set_num_threads(plan.threads)
    generator = torch.Generator().manual_seed(plan.seed)
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )

    def rate(step: int) -> float:
        if step < plan.warm_up:
            return (step + 1) / plan.warm_up
        done = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
        return 0.5 * (1 + math.cos(math.pi * done))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    log: list[dict[str, float]] = []
    started, busy = time.perf_counter(), time.process_time()
    for step in (bar := tqdm(range(plan.steps), disable=not progress, mininterval=2)):
        value = loss(step, generator)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        optimiser.step()
        schedule.step()
        # A short memory at first: the earliest weights are not worth averaging.
        decay = min(plan.average, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)
        if (step + 1) % every == 0 or step + 1 == plan.steps:
            seen = {"step": step + 1, "loss": round(value.item(), 5), **watch(averaged)}
            log.append(seen)
            bar.set_postfix({name: f"{each:.4g}" for name, each in seen.items()})
            if not progress:
                print(seen, f"{(time.perf_counter() - started) / 60:.1f} min", flush=True)
    return averaged, {
        "plan": vars(plan),
        "minutes": round((time.perf_counter() - started) / 60, 2),
        "cpu_minutes": round((time.process_time() - busy) / 60, 2),
        "torch": torch.__version__,
        "parameters": sum(each.numel() for each in model.parameters()),
        "log": log,
    }


def stratified(rows: int, generator: torch.Generator) -> Tensor:
    """Return [rows] numbers in [0, 1), one from each of `rows` equal intervals, in random order.

    The loss differs by orders of magnitude along the schedule; spreading a batch evenly over it
    takes out most of that variance.
    """
    within = torch.rand(rows, generator=generator)
    return (torch.randperm(rows, generator=generator) + within) / rows
