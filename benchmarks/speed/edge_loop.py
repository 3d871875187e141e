"""Rows of EdgeLoop: steps, single IoU evaluations, and the expert."""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode

import genenvs  # noqa: F401  (registers the ids)
from benchmarks.speed.measure import Timing, interleave, ratio
from genenvs.geometry import packed

ENV = "genenvs/EdgeLoop-v0"
SIZES = (64, 256)
STEPS = 120  # of the play that is repeated: an end, and the reset after it, are among them
SYNC = 64
# Of a whole union of loops at 64^3, batched in torch by bit-packing with a loop over slabs.
STUDY = "more than 4,600: the study's prototype"


def make(num_envs: int, device: str = "cpu", **arguments: Any) -> Any:
    """A native batch."""
    return gym.make_vec(
        ENV, num_envs=num_envs, device=device, autoreset_mode=AutoresetMode.SAME_STEP, **arguments
    )


def recorded(num_envs: int, device: str) -> torch.Tensor:
    """Random legal actions from seed 0: int64 [STEPS, num_envs]."""
    envs = make(num_envs, device, output="torch")
    _, info = envs.reset(seed=0)
    generator = torch.Generator(device).manual_seed(0)
    actions = []
    for _ in range(STEPS):
        mask = info["action_mask"].float()
        actions.append(mask.multinomial(1, generator=generator)[:, 0])
        info = envs.step(actions[-1])[-1]
    return torch.stack(actions)


def player(envs: Any, actions: Any) -> Callable[[], Any]:
    """A function that takes the next step of the recorded play, over and over."""
    rounds = cycle(range(len(actions)))

    def step() -> None:
        if (k := next(rounds)) == 0:
            envs.reset(seed=0)
        envs.step(actions[k])

    return step


def steps(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Steps a second, observation and mask included; on the CPU over Gymnasium's Sync."""
    actions = recorded(num_envs, device)
    calls = {"torch": player(make(num_envs, device, output="torch"), actions)}
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu:
        calls["numpy"] = player(make(num_envs), actions.numpy())
    if on_cpu and num_envs == SYNC:
        sync = gym.make_vec(
            ENV, num_envs=num_envs, vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        )  # fmt: skip
        calls["sync"] = player(sync, actions.numpy())
    found = interleave(calls, torch.device(device))
    for output in [name for name in ("torch", "numpy") if name in found]:
        yield _rate(f"steps/s, {output} output", num_envs, found[output])
    if "sync" in found:
        yield _row("native steps/s / SyncVectorEnv steps/s", num_envs,
                   ratio(found["sync"], found["numpy"]), "at least 5")  # fmt: skip


def parts(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """What a step is made of, in the middle of the recorded play."""
    envs = make(num_envs, device, output="torch")
    envs.reset(seed=0)
    for action in recorded(num_envs, device)[:45]:
        envs.step(action)
    state, task = envs.unwrapped.state, envs.unwrapped.task
    stay = torch.full_like(state.step, int(envs.single_action_space.n) - 1)
    calls = {
        "IoU/s at 64^3 of five cuboids with ten loops": lambda: packed.iou(
            task.solid(state), state.target
        ),
        "transitions/s": lambda: task.transition(state, stay),
        "observations/s": lambda: task.observe(state),
        "expert decisions/s, 24 IoU each": lambda: task.reference_action(state),
    }
    for what, seconds in interleave(calls, torch.device(device)).items():
        yield _rate(what, num_envs, seconds, STUDY if what.startswith("IoU") else "")


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row of this family."""
    for size in SIZES:
        yield from steps(size, device)
        yield from parts(size, device)


def _rate(what: str, num_envs: int, seconds: list[float], target: str = "") -> dict[str, Any]:
    return _row(what, num_envs, Timing.of([num_envs / s for s in seconds]), target)


def _row(what: str, num_envs: int, found: Timing, target: str) -> dict[str, Any]:
    return {
        "env": ENV,
        "what": what,
        "num_envs": num_envs,
        "median": round(found.median, 2),
        "low": round(found.low, 2),
        "high": round(found.high, 2),
        "target": target,
        "unit": "",
    }
