"""One training loop for all stages: AdamW, warm-up and cosine, averaged weights, a record."""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from genenvs.core.files import making


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
    stop: int = 0  # a step to end at, the learning rate still high; 0 for the last one

    @property
    def last(self) -> int:
        """How many steps are taken."""
        return self.stop or self.steps


def fit(
    model: nn.Module,
    loss: Callable[[int, torch.Generator], Tensor],
    plan: Plan,
    watch: Callable[[nn.Module], dict[str, float]],
    every: int,
    progress: bool = True,
    checkpoint: Path | None = None,
) -> tuple[Any, dict[str, Any]]:
    """Train `model` in place; return its averaged copy and the record of the run.

    Args:
        model: what is trained.
        loss: of a step, with the generator that all its random numbers come from.
        plan: how.
        watch: figures of the averaged model for the record, every `every` steps.
        every: see `watch`.
        progress: show a bar.
        checkpoint: a file to go on from, written every `every` steps and removed at the end. What
            follows a resume has other random numbers than an unbroken run.
    """
    torch.set_num_threads(plan.threads)
    generator = torch.Generator().manual_seed(plan.seed)
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(
        [each for each in model.parameters() if each.requires_grad],
        lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True,
    )  # fmt: skip

    def rate(step: int) -> float:
        if step < plan.warm_up:
            return (step + 1) / plan.warm_up
        done = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
        return 0.5 * (1 + math.cos(math.pi * done))

    log: list[dict[str, float]] = []
    started, busy = time.perf_counter(), time.process_time()
    first, spent = 0, (0.0, 0.0)
    if checkpoint is not None and checkpoint.exists():
        first, spent, log = _resume(checkpoint, model, averaged, optimiser)
        generator.manual_seed(plan.seed + first)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(first + step))
    bar = tqdm(range(first, plan.last), initial=first, disable=not progress, mininterval=2)
    for step in bar:
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
        if (step + 1) % every == 0 or step + 1 == plan.last:
            seen = {"step": step + 1, "loss": round(value.item(), 5), **watch(averaged)}
            log.append(seen)
            bar.set_postfix({name: f"{each:.4g}" for name, each in seen.items()})
            if checkpoint is not None:
                now = (time.perf_counter() - started, time.process_time() - busy)
                took = (spent[0] + now[0], spent[1] + now[1])
                _keep(checkpoint, model, averaged, optimiser, step + 1, took, log)
            if not progress:
                print(seen, f"{(time.perf_counter() - started) / 60:.1f} min", flush=True)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return averaged, {
        "plan": vars(plan),
        "minutes": round((spent[0] + time.perf_counter() - started) / 60, 2),
        "cpu_minutes": round((spent[1] + time.process_time() - busy) / 60, 2),
        "torch": torch.__version__,
        "parameters": sum(each.numel() for each in model.parameters()),
        "log": log,
    }


def _keep(
    path: Path,
    model: nn.Module,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    spent: tuple[float, float],
    log: list[dict[str, float]],
) -> None:
    """Write all that `_resume` reads."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"averaged.{k}": v for k, v in averaged.state_dict().items()}
    for index, entries in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in entries.items()}
    facts = {"facts": json.dumps({"step": step, "spent": spent, "log": log})}
    with making(path) as temporary:
        save_file(
            {k: v.detach().clone().contiguous() for k, v in tensors.items()}, temporary, facts
        )


def _resume(
    path: Path, model: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, tuple[float, float], list[dict[str, float]]]:
    """Steps done, seconds spent (wall and CPU), and the log; fills what is given."""
    kept = load_file(path)
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["facts"])

    def part(name: str) -> dict[str, Tensor]:
        return {k.removeprefix(name): v for k, v in kept.items() if k.startswith(name)}

    model.load_state_dict(part("model."), strict=False)
    averaged.load_state_dict(part("averaged."), strict=False)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimiser.").items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return facts["step"], tuple(facts["spent"]), facts["log"]
