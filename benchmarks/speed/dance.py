"""Rows of Dance: steps a second, beside what a step cannot do without and Gymnasium's own faces."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import torch

from benchmarks.speed.measure import interleave, rate, ratio, row
from benchmarks.speed.play import native, sync

ENV = "genenvs/Dance-v0"
SIZES = (64, 1_024)
ROUNDS = 64  # different batches of actions


def player(envs: Any, output: str) -> Callable[[], Any]:
    """A function that takes the next random step; episodes end where they do."""
    envs.reset(seed=0)
    high, generator = int(envs.single_action_space.nvec[0]), torch.Generator().manual_seed(0)
    actions: Any = torch.randint(high, (ROUNDS, envs.num_envs, 2), generator=generator)
    actions = actions.numpy() if output == "numpy" else actions.to(envs.unwrapped.task.device)
    following = cycle(actions)
    for _ in range(ROUNDS):
        envs.step(next(following))
    return lambda: envs.step(next(following))


def steps(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Random codes, the real observation."""
    on_cpu = torch.device(device).type == "cpu"
    calls: dict[str, Callable[[], Any]] = {}
    for output in ("torch", "numpy") if on_cpu else ("torch",):
        calls[output] = player(native(ENV, num_envs, device, output), output)
    envs = native(ENV, num_envs, device)
    envs.reset(seed=0)
    task = envs.unwrapped.task
    before = task.before(envs.unwrapped.state)
    calls["joints"] = lambda: task.codes.speed(before, before)
    if on_cpu and num_envs <= 64:
        calls["sync"] = player(sync(ENV, num_envs), "numpy")
    found = interleave(calls, torch.device(device))
    best = "numpy" if on_cpu else "torch"
    for output in [name for name in ("torch", "numpy") if name in found]:
        target = "at least 20,000" if num_envs == max(SIZES) else ""
        yield rate(f"steps/s, {output} output", num_envs, found[output], target)
    yield rate("codes/s: where the joints are alone", num_envs, found["joints"])
    yield row("step / joints alone", num_envs, ratio(found[best], found["joints"]))
    if "sync" in found:
        gained = ratio(found["sync"], found["numpy"])
        yield row("native steps/s / SyncVectorEnv steps/s", num_envs, gained)


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row."""
    for num_envs in SIZES:
        yield from steps(num_envs, device)
