"""DenoiseSchedule and DenoiseBudget: a network evaluated once a step, or a whole sampler long."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.speed.families import Target
from benchmarks.speed.measure import Row, Spread, row
from genenvs.tasks.denoise_schedule.budget import DenoiseBudget

ENV = "genenvs/DenoiseSchedule-v0"
FLOOR = "the network's bare forwards"
WHY = (
    "Next to nothing at large batches. At small ones the task's arithmetic, new episodes and "
    "`info`: many small operations, run with caches that the forward has emptied."
)
TARGETS = (
    *(Target(ENV, size, "torch", 1 / 1.1, "floor") for size in (16, 256)),
    Target(ENV, 64, "torch", 5, "sync"),
)
MEMORY_ROWS = 256


def floor(task: Any, state: Any, action: Any) -> Callable[[], Any]:
    """One forward of all rows; of the budgets chosen, of the rows that still have one to spend."""
    rows = len(state.step)
    x = torch.randn(rows, *task.denoiser.shape, device=task.device)
    time = torch.randint(0, task.schedule.steps, (rows,), device=task.device)
    label = torch.zeros(rows, dtype=torch.int64, device=task.device)
    sizes = [rows]
    if isinstance(task, DenoiseBudget):
        budget = task.budgets[action]
        sizes = [int((budget > spent).sum()) for spent in range(int(budget.max()))]

    @torch.no_grad()
    def forwards() -> None:
        for size in sizes:
            task.denoiser.unet(x[:size], time[:size], label[:size], return_dict=False)

    return forwards


def rows(device: str) -> Iterator[Row]:
    """Resident memory at its highest, of a fresh process that plays a few steps."""
    if device != "cpu":
        return
    code = (
        "import gymnasium as gym, genenvs\n"
        "from benchmarks.speed.peak import peak_memory\n"
        f"envs = gym.make_vec({ENV!r}, num_envs={MEMORY_ROWS})\n"
        "envs.reset(seed=0)\n"
        "for _ in range(30): envs.step(envs.action_space.sample())\n"
        "print(peak_memory() or float('nan'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak = Spread.of([float(done.stdout)])
    yield row("peak resident memory of a process", MEMORY_ROWS, peak, "under 1.5", "GB")
