"""Timing that can be compared: interleaved, synchronised, repeated."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

REPEATS = 10


@dataclass(frozen=True)
class Timing:
    """Seconds a call: median and range over the repeats."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(seconds: Sequence[float]) -> "Timing":
        """Of measured seconds a call."""
        return Timing(statistics.median(seconds), min(seconds), max(seconds))


def interleave(
    calls: dict[str, Callable[[], Any]], device: torch.device, seconds: float = 0.3
) -> dict[str, list[float]]:
    """Time several calls in turns, so that what else the machine does hits all of them alike.

    Args:
        calls: what to time, each taking no argument.
        device: synchronised before both clock reads.
        seconds: length of one repeat of one call, at least; decides how often it is called.

    Returns:
        Seconds a call, one value for each of the repeats.
    """
    counts = {}
    for name, call in calls.items():
        for _ in range(3):
            call()  # warm-up
        counts[name] = max(2, round(seconds / _time(call, 3, device)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            found[name].append(_time(call, counts[name], device))
    return found


def ratio(over: Sequence[float], under: Sequence[float]) -> Timing:
    """The ratio of two interleaved measurements, repeat by repeat."""
    return Timing.of([a / b for a, b in zip(over, under, strict=True)])


def row(
    what: str, num_envs: int, found: Timing, target: str = "", unit: str = "ratio"
) -> dict[str, Any]:
    """A row of the table, its numbers with four digits."""
    numbers = {name: float(f"{value:.4g}") for name, value in vars(found).items()}
    return {"what": what, "num_envs": num_envs, **numbers, "target": target, "unit": unit}


def rate(
    what: str, num_envs: int, seconds: Sequence[float], target: str = "", unit: str = "1/s"
) -> dict[str, Any]:
    """A row of rates: `num_envs` of something in each of these seconds."""
    return row(what, num_envs, Timing.of([num_envs / s for s in seconds]), target, unit)


def _time(call: Callable[[], Any], count: int, device: torch.device) -> float:
    _synchronise(device)
    started = time.perf_counter()
    for _ in range(count):
        call()
    _synchronise(device)
    return (time.perf_counter() - started) / count


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    import gymnasium

    import genenvs

    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gymnasium": gymnasium.__version__,
        "genenvs": genenvs.__version__,
        "commit": _commit(),
    }


def _processor() -> str:
    """The processor's name, as well as the platform tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
