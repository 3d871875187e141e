"""One cell: every level and peer of an environment at one batch size, measured in turns."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.speed import families
from benchmarks.speed.levels import LEVELS, Bench, Left
from benchmarks.speed.measure import REPEATS, SECONDS, Lap, Spread, in_turns, over
from benchmarks.speed.peak import Growth
from benchmarks.speed.peers import PEERS
from benchmarks.speed.play import Pool, Script, native, write

# Where time is short these are left out, the first one first; the others a cell cannot do without.
SPARED = (
    "training", "jumanji scan", "subproc", "async", "policy", "sync", "sb3", "numpy", "jumanji",
    "cartpole", "single",
)  # fmt: skip
NEEDED = ("floor", "transition", "torch")
FEWEST = 3  # repeats


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        device: of the native batches.
        repeats: of every lap; fewer, three at least, where the limit asks for it.
        seconds: of a lap, about.
        limit: seconds that the laps of a cell may take; what does not fit is left out, and said.
    """

    device: str = "cpu"
    repeats: int = REPEATS
    seconds: float = SECONDS
    limit: float = 30.0


def measure(
    pool: Pool, num_envs: int, names: Sequence[str], jax: Any, settings: Settings
) -> dict[str, Any]:
    """A cell.

    Args:
        pool: where the environments begin.
        num_envs: rows of the batch.
        names: of `LEVELS` and `PEERS`; `torch` is always measured.
        jax: gives the process in which JAX runs.
        settings: how.

    Returns:
        For JSON: `rates` (environment steps a second by level, median and range), `over` (how many
        times as fast the native batch is, repeat by repeat), `repeats`, `ended` (share of rows
        whose episode ends in a step), `mb` (memory), `copies` (on CUDA: device to host, a
        step), and `left`, what was not measured and why.
    """
    started = time.perf_counter()
    left: dict[str, str] = {}
    with ExitStack() as closing:
        grown = Memory(settings.device)
        envs = native(pool.env, num_envs, settings.device)
        closing.callback(envs.close)
        script = write(envs, pool, settings.seconds)
        held = script.nbytes
        found: dict[str, Any] = {"env": pool.env, "num_envs": num_envs, "mb": grown.mb(held)}
        if settings.device != "cpu":
            found["copies"] = copies(script, envs)
        bench = Bench(script, envs, families.floor(pool.env)[1], closing, jax)
        laps = _affordable(_laps(bench, names, left), settings, left)
        spent = sum(seconds for _, seconds in laps.values())
        repeats = max(FEWEST, min(settings.repeats, int(settings.limit / max(spent, 1e-9))))
        repeats = min(repeats, settings.repeats)
        rates = in_turns({name: lap for name, (lap, _) in laps.items()}, repeats)
    return found | {
        "ended": float(f"{script.ended:.4g}"),
        "repeats": repeats,
        "rates": {name: Spread.of(values).record() for name, values in rates.items()},
        "over": {
            name: over(rates["torch"], values).record()
            for name, values in rates.items()
            if name != "torch"
        },
        "left": left,
        "seconds": round(time.perf_counter() - started, 1),
    }


def too_slow(step_seconds: float, settings: Settings) -> str | None:
    """Why a cell with steps of so many seconds is not begun; None where it can be."""
    # A warm-up, a script, and the laps that a cell cannot do without, tried out and then repeated.
    if step_seconds * len(NEEDED) * (FEWEST + 2) <= settings.limit:
        return None
    return f"a step would take some {step_seconds:.2g} s"


class Memory:
    """What a batch takes beyond what is held anyway: resident on the host, allocated on CUDA."""

    def __init__(self, device: str) -> None:
        self._cuda = torch.device(device).type == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._grown = Growth()

    def mb(self, held: int) -> float | None:
        """MB at the highest, less `held` bytes; None where the platform does not tell."""
        if self._cuda:
            grown: int | None = torch.cuda.max_memory_allocated() - self._before
        else:
            grown = self._grown.bytes
        return None if grown is None else round(max(grown - held, 0) / 1e6, 1)


def copies(script: Script, envs: Any) -> float:
    """Device-to-host copies a step in torch output, counted by torch's profiler.

    The number of ended rows is read once a step (one scalar); data must not be copied at all.
    """
    from torch.profiler import ProfilerActivity, profile

    envs.set_state(script.start)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for action in script.actions:
            envs.step(action)
        torch.cuda.synchronize()
    found = [event for event in recorded.events() if "Memcpy DtoH" in event.name]
    return round(len(found) / len(script.actions), 2)


def applicable(env: str, num_envs: int, names: Collection[str]) -> list[str]:
    """Which of `names` mean something for an id and a batch of this size; `torch` always does."""
    levels = [name for name in LEVELS if name in names or name == "torch"]
    peers = [name for name in names if name in PEERS]
    beside = {name: PEERS[name].beside for name in peers}
    return [
        *(name for name in levels if name != "single" or num_envs == 1),
        *(name for name, ids in beside.items() if ids is None or env in ids),
    ]


def _laps(bench: Bench, names: Sequence[str], left: dict[str, str]) -> dict[str, Callable[[], Lap]]:
    """Those that have a meaning at this size, not yet made; why not for the others."""
    size, env = bench.script.num_envs, bench.script.env
    made: dict[str, Callable[[], Lap]] = {}
    for name in applicable(env, size, names):
        if name in LEVELS:
            level = LEVELS[name]
            made[name] = lambda level=level: level(bench)  # type: ignore[misc]
            continue
        peer = PEERS[name]
        if not peer.least <= size <= peer.most:
            left[name] = f"measured from {peer.least:,} to {peer.most:,}"
        elif bench.script.device != "cpu" and name != "cartpole":
            left[name] = "measured on the CPU"
        else:
            made[name] = lambda peer=peer: peer.lap(bench)  # type: ignore[misc]
    return made


def _affordable(
    makers: dict[str, Callable[[], Lap]], settings: Settings, left: dict[str, str]
) -> dict[str, tuple[Lap, float]]:
    """Laps that fit into the limit, each tried once: what it is, and the seconds it takes."""
    rank = {name: k for k, name in enumerate(SPARED)}
    laps: dict[str, tuple[Lap, float]] = {}
    spent = 0.0
    for name in sorted(makers, key=lambda n: -rank.get(n, len(SPARED))):
        if name in rank and FEWEST * spent > settings.limit:
            left[name] = "no time left in the cell"
            continue
        try:
            lap = makers[name]()
        except Left as why:
            left[name] = str(why)
            continue
        started = time.perf_counter()
        lap()
        seconds = time.perf_counter() - started
        if name in rank and FEWEST * (spent + seconds) > settings.limit:
            left[name] = f"a lap takes {seconds:.2g} s"
            continue
        laps[name], spent = (lap, seconds), spent + seconds
    return laps
