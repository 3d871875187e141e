"""Rows of MotionNav: steps of the batch beside the bare decoder and Gymnasium's SyncVectorEnv."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

import genenvs  # noqa: F401  (registers the ids)
from benchmarks.speed.measure import Timing, interleave, ratio

ENV = "genenvs/MotionNav-v0"
SIZES = (64, 1_024)
STEPS = 100  # of random actions that are repeated: two ends of every row fall in them


def make(num_envs: int, device: str, output: str = "torch") -> Any:
    """A native batch."""
    return gym.make_vec(
        ENV, num_envs=num_envs, device=device, output=output,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )  # fmt: skip


def player(envs: Any, actions: Any) -> Callable[[], Any]:
    """A function that takes the next step, over and over."""
    envs.reset(seed=0)
    rounds = cycle(range(len(actions)))
    return lambda: envs.step(actions[next(rounds)])


def rows(device: str) -> Iterator[dict[str, Any]]:
    """All rows on a device."""
    for num_envs in SIZES:
        generator = np.random.default_rng(0)
        actions = generator.uniform(-1, 1, (STEPS, num_envs, 8)).astype(np.float32)
        envs = make(num_envs, device)
        calls = {"torch": player(envs, torch.from_numpy(actions).to(device))}
        task, state = envs.unwrapped.task, envs.unwrapped.state.clone()
        action = torch.from_numpy(actions[0]).to(device)
        calls["decoder"] = partial(task.walk_on, state, action)
        calls["reference"] = partial(task.reference_action, state)
        if torch.device(device).type == "cpu":
            calls["numpy"] = player(make(num_envs, device, "numpy"), actions)
            if num_envs == SIZES[0]:
                each = [lambda: gym.make(ENV) for _ in range(num_envs)]
                calls["sync"] = player(gym.vector.SyncVectorEnv(each), actions)
        found = interleave(calls, torch.device(device))
        target = "about 50,000" if num_envs == SIZES[1] and device == "cpu" else ""
        for output in [name for name in ("torch", "numpy") if name in found]:
            yield _rate(f"steps/s, {output} output", num_envs, found[output], target)
        yield _row("step over the bare decoder", num_envs, ratio(found["torch"], found["decoder"]))
        if "sync" in found:
            over = ratio(found["sync"], found["numpy"])
            yield _row("steps/s over Gymnasium's SyncVectorEnv", num_envs, over)
        yield _rate("reference's actions/s, 32 candidates each", num_envs, found["reference"])


def _rate(what: str, num_envs: int, seconds: list[float], target: str = "") -> dict[str, Any]:
    return _row(what, num_envs, Timing.of([num_envs / s for s in seconds]), target)


def _row(what: str, num_envs: int, found: Timing, target: str = "") -> dict[str, Any]:
    numbers = {k: float(f"{getattr(found, k):.4g}") for k in ("median", "low", "high")}
    unit = "ratio" if "over" in what else "1/s"
    return {"what": what, "num_envs": num_envs, "target": target, "unit": unit, **numbers}
