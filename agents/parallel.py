"""Several processes, one a device, that learn as one.

    torchrun --nproc_per_node 2 -m agents train --agent ddpo ... --device cuda

`accelerate launch --num_processes 2` does the same on GPUs; on CPUs it starts but one without MPI.

Each process plays its share of a batch; what was played is gathered, so that every process values
the whole batch alike; each differentiates its share, and the gradients are added up. So a
configuration means the same on any number of devices. Only the first process writes files.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genenvs.core.optional import require


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: which this is; 0 writes files.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the one that writes files."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """Which of so many rows are this process's own: parts of nearly equal size, in order."""
        return slice(rows * self.rank // self.count, rows * (self.rank + 1) // self.count)

    def gather(self, own: Tensor, dim: int = 0) -> Tensor:
        """The rows of all processes, in order; each has as many along `dim`."""
        if self.count == 1:
            return own
        return _utils().gather(own.movedim(dim, 0).contiguous()).movedim(0, dim)

    def total(self, own: Tensor) -> Tensor:
        """The sum over processes."""
        if self.count == 1:
            return own
        return _utils().reduce(own, "sum")

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal numbers, those of this process's rows among those of all.

        The global stream is the same in all processes and stays so.
        """
        if self.count == 1:
            return torch.randn_like(like)
        rows = len(like) * self.count
        drawn = torch.randn(rows, *like.shape[1:], dtype=like.dtype, device=like.device)
        return drawn[self.share(rows)]

    @torch.no_grad()
    def add_up(self, parameters: Iterable[nn.Parameter], weight: float = 1.0) -> None:
        """Give every process the weighted sum of the gradients of all; missing ones count as 0."""
        if self.count == 1:
            return
        known = list(parameters)
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in known]
        whole = self.total(torch.cat([each.flatten().float() for each in own])) * weight
        parts = whole.split([each.numel() for each in own])
        for parameter, part in zip(known, parts, strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)


ALONE = Processes()


def launched() -> Processes:
    """What a launcher (accelerate's or torchrun) says of this process; `ALONE` without one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank = os.environ.get("RANK")
    return ALONE if count < 2 or rank is None else Processes(int(rank), count)


def join(device: str) -> str:
    """Meet the other processes; gives the device of this one.

    Raises:
        ImportError: accelerate is not installed.
        ValueError: there are fewer devices than processes.
    """
    if launched().count == 1:
        return device
    accelerate: Any = require("accelerate", "agents")
    kind = torch.device(device).type
    if kind == "cuda":
        place, known = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= known:
            raise ValueError(f"process {place} has no device: there are {known} CUDA devices here")
        device = f"cuda:{place}"
        torch.cuda.set_device(device)
    accelerate.PartialState(cpu=kind == "cpu")
    return device


def _utils() -> Any:
    return require("accelerate", "agents").utils


def part() -> None:
    """Leave the other processes."""
    if launched().count > 1 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
