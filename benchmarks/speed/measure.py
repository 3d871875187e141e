"""Timing that can be compared: in turns, synchronised, repeated."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

REPEATS = 10
SECONDS = 0.05  # length of a lap, at least: decides how often a call is made in it

Lap = Callable[[], tuple[float, float]]  # seconds on the clock, and how much was made in them
Row = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Median and range over the repeats."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Of one value a repeat."""
        return Spread(statistics.median(values), min(values), max(values))

    def record(self) -> dict[str, float]:
        """For JSON, with four digits."""
        return {name: float(f"{value:.4g}") for name, value in vars(self).items()}


class Clock:
    """Adds up the seconds of the blocks that it times; the device is idle at both reads."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.seconds = 0.0
        self._device = torch.device(device)
        self._started = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._synchronise()
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Add what passed since `start`."""
        self._synchronise()
        self.seconds += time.perf_counter() - self._started

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time a block."""
        self.start()
        yield
        self.stop()

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def lap_of(
    call: Callable[[], Any],
    amount: float,
    device: str | torch.device = "cpu",
    seconds: float = SECONDS,
) -> Lap:
    """A lap that makes a call as often as fills `seconds`.

    Args:
        call: what to time; called a few times here, which warms it up.
        amount: of what one call makes (rows, grids, episodes ...).
        device: that it computes on.
        seconds: length of the lap, at least.
    """

    def timed(count: int) -> float:
        clock = Clock(device)
        with clock.running():
            for _ in range(count):
                call()
        return clock.seconds

    timed(1)
    count = max(1, round(seconds / max(timed(2) / 2, 1e-9)))
    return lambda: (timed(count), count * amount)


def in_turns(laps: Mapping[str, Lap], repeats: int = REPEATS) -> dict[str, list[float]]:
    """What each lap makes a second, repeat by repeat.

    Laps take turns, so that what else the machine does hits all of them alike.
    """
    found: dict[str, list[float]] = {name: [] for name in laps}
    for _ in range(repeats):
        for name, lap in laps.items():
            seconds, made = lap()
            found[name].append(made / seconds)
    return found


def over(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratio of two rates that were measured in turns, repeat by repeat."""
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])


def row(what: str, num_envs: int, found: Spread, target: str = "", unit: str = "1/s") -> Row:
    """A line of the table of parts; `target` is text, what was aimed at."""
    facts = {"num_envs": num_envs, "threads": torch.get_num_threads()}
    return {"what": what, **facts, **found.record(), "unit": unit, "target": target}


@contextmanager
def one_thread() -> Iterator[None]:
    """For what is compared with something that computes on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
