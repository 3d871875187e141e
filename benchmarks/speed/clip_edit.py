"""Rows of ClipEdit and ShotAttributes: steps a second of random legal play."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.speed.measure import interleave, rate, ratio, row
from benchmarks.speed.play import native, sync

ENVS = ("genenvs/ClipEdit-v0", "genenvs/ShotAttributes-v0")
SIZES = (64, 4_096)
SPREAD = 64  # steps until ends are spread over the steps


def player(envs: Any, output: str = "numpy") -> Callable[[], Any]:
    """A function that takes the next random legal step; episodes end where they do.

    Where there is a mask, drawing within it is timed, too: it says what is due at this very step.
    """
    state: dict[str, Any] = {"info": envs.reset(seed=0)[1]}
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    space = envs.single_action_space
    ready = [envs.action_space.sample() for _ in range(SPREAD)]

    def step() -> None:
        mask = state["info"].get("action_mask")
        if mask is None:
            action: Any = ready[int(rng.integers(SPREAD))]
        elif output == "torch":
            action = torch.multinomial(mask.float().cpu(), 1, generator=generator)[:, 0]
            action = action.to(mask.device)
        else:
            action = (rng.random((envs.num_envs, space.n), np.float32) * mask).argmax(1)
        state["info"] = envs.step(action)[-1]

    for _ in range(SPREAD):
        step()
    return step


def steps(env: str, num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Random legal actions, the real observation, ragged ends."""
    on_cpu = torch.device(device).type == "cpu"
    calls = {}
    for output in ("torch", "numpy") if on_cpu else ("torch",):
        calls[output] = player(native(env, num_envs, device, output), output)
    if on_cpu and num_envs <= 64:
        calls["sync"] = player(sync(env, num_envs))
    found = interleave(calls, torch.device(device))
    name = env.partition("/")[2]
    for output in [name for name in ("torch", "numpy") if name in found]:
        target = "at least 0.1 M" if num_envs == max(SIZES) else ""
        yield rate(f"steps/s of {name}, {output} output", num_envs, found[output], target)
    if "sync" in found:
        gained = ratio(found["sync"], found["numpy"])
        yield row(f"steps/s of {name} / of its SyncVectorEnv", num_envs, gained, "at least 50")


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row."""
    for env in ENVS:
        for num_envs in SIZES:
            yield from steps(env, num_envs, device)
