"""Rows of BrickBuild: steps, masks, the greedy reference and the stability of what was built."""

from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode

from benchmarks.speed.measure import Timing, interleave, rate, ratio, row
from benchmarks.speed.play import native, replay, sync
from genenvs.tasks.brick_build import layers, stability

ENV = "genenvs/BrickBuild-v0"
SIZES = (64, 1_024)
STEPS = 300  # of the play that is repeated: ends fall anywhere in it
COUNTS = (1, 10, 30, 60, 120)  # bricks


def recorded(num_envs: int, device: str) -> torch.Tensor:
    """Actions of the reference from seed 0: int64 [STEPS, num_envs], all of them legal there."""
    envs = native(ENV, num_envs, device)
    envs.reset(seed=0)
    actions = []
    for _ in range(STEPS):
        actions.append(envs.reference_action())
        envs.step(actions[-1])
    return torch.stack(actions)


def steps(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Steps a second, observation and mask included; on the CPU over Gymnasium's Sync."""
    actions = recorded(num_envs, device)
    calls = {"torch": replay(native(ENV, num_envs, device), actions)}
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu:
        calls["numpy"] = replay(native(ENV, num_envs, output="numpy"), actions.numpy())
    if on_cpu and num_envs <= 64:
        calls["sync"] = replay(sync(ENV, num_envs), actions.numpy())
    found = interleave(calls, torch.device(device))
    for output in [name for name in ("torch", "numpy") if name in found]:
        yield rate(f"steps/s, {output} output", num_envs, found[output])
    if "sync" in found:
        yield row("native steps/s / SyncVectorEnv steps/s", num_envs,
                   ratio(found["sync"], found["numpy"]), "at least 5")  # fmt: skip


def parts(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """What a step is made of, in states from the middle of the recorded play."""
    envs = native(ENV, num_envs, device)
    envs.reset(seed=0)
    for action in recorded(num_envs, device)[:30]:
        envs.step(action)
    state, task = envs.unwrapped.state, envs.unwrapped.task
    calls = {
        "masks/s of all 5,600 placements": lambda: layers.legal(state.built, state.below),
        "reference actions/s": lambda: task.reference_action(state),
    }
    found = interleave(calls, torch.device(device))
    targets = {"masks/s of all 5,600 placements": "at least 39,000"}
    for what, seconds in found.items():
        yield rate(what, num_envs, seconds, targets.get(what, ""))


def programmes() -> Iterator[dict[str, Any]]:
    """The linear programme by the number of bricks, and whole episodes judged a second."""
    envs: Any = gym.make_vec(
        ENV, num_envs=64, split="validation", output="torch", autoreset_mode=AutoresetMode.DISABLED
    )
    envs.reset(seed=0)
    task: Any = envs.unwrapped.task
    state = envs.unwrapped.state.clone()
    going = torch.ones(64, dtype=torch.bool)
    while going.any():
        result = task.transition(state.clone(), task.reference_action(state))
        state = state.where(~going, result.state)
        going = going & ~result.terminated
    codes = [task.codes(state, k) for k in range(64)]
    cpu = torch.device("cpu")
    for count in COUNTS:
        # The first bricks of a build that has more: a build itself, and a count that is exact.
        some = [c[:count] for c in codes if len(c) >= count][:5]
        found = interleave({"lp": partial(_solve_next, cycle(some))}, cpu, 0.5)
        seconds = Timing.of(found["lp"])
        yield row(f"stability of {count} bricks", 1, _scaled(seconds, 1e3), unit="ms")
    pick = state.rows(torch.arange(8))
    found = interleave({"judge": lambda: task.judge(pick.clone())}, cpu, 0.5)
    yield rate("episodes judged/s", 8, found["judge"], "about 50")


def _solve_next(builds: Iterator[Any]) -> None:
    stability.scores(next(builds))


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row of this family."""
    for size in SIZES:
        yield from steps(size, device)
    yield from parts(SIZES[-1], device)
    if torch.device(device).type == "cpu":
        yield from programmes()


def _scaled(found: Timing, factor: float) -> Timing:
    return Timing(found.median * factor, found.low * factor, found.high * factor)
