"""Rows of VoxelStroke: steps a second, beside a step's floor and Gymnasium's own CartPole."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import gymnasium as gym
import torch

from benchmarks.speed.measure import interleave, rate, ratio, row
from benchmarks.speed.play import native, sync

ENV = "genenvs/VoxelStroke-v0"
SIZES = (64, 4_096)
ROUNDS = 64  # different batches of actions


def player(envs: Any, output: str = "numpy") -> Callable[[], Any]:
    """A function that takes the next random step; episodes end where they do."""
    envs.reset(seed=0)
    high, generator = int(envs.single_action_space.n), torch.Generator().manual_seed(0)
    size = (ROUNDS, envs.num_envs)
    actions: Any = torch.randint(high, size, generator=generator)
    actions = actions.numpy() if output == "numpy" else actions.to(envs.unwrapped.task.device)
    following = cycle(actions)
    for _ in range(2 * ROUNDS):  # until ends are spread over the steps
        envs.step(next(following))
    return lambda: envs.step(next(following))


def steps(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Random actions, the real observation, ragged ends."""
    on_cpu = torch.device(device).type == "cpu"
    calls: dict[str, Callable[[], Any]] = {}
    for output in ("torch", "numpy") if on_cpu else ("torch",):
        calls[output] = player(native(ENV, num_envs, device, output), output)
    envs = native(ENV, num_envs, device)
    envs.reset(seed=0)
    task, state = envs.unwrapped.task, envs.unwrapped.state
    calls["window"] = lambda: task.windows.read(state.words, state.cursor)
    calls["cartpole"] = player(
        gym.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point")
    )
    if on_cpu and num_envs <= 64:
        calls["sync"] = player(sync(ENV, num_envs))
    found = interleave(calls, torch.device(device))
    best = "numpy" if on_cpu else "torch"
    for output in [name for name in ("torch", "numpy") if name in found]:
        target = "at least 0.8 M" if num_envs == max(SIZES) else ""
        yield rate(f"steps/s, {output} output", num_envs, found[output], target)
    yield rate("windows/s: the observation alone", num_envs, found["window"])
    yield rate("steps/s of Gymnasium's native CartPole", num_envs, found["cartpole"])
    yield row("steps/s / CartPole's", num_envs, ratio(found["cartpole"], found[best]))
    if "sync" in found:
        gained = ratio(found["sync"], found["numpy"])
        yield row("native steps/s / SyncVectorEnv steps/s", num_envs, gained)


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row."""
    for num_envs in SIZES:
        yield from steps(num_envs, device)
