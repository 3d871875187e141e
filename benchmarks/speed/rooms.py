"""Rows of RoomLayout and RoomSelect: steps, surveys and masks, rooms judged and settled."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.speed.measure import interleave, rate, ratio, row
from benchmarks.speed.play import native, replay, sync
from genenvs.rooms import furnished, gold, physics, placing
from genenvs.simulators.engine import installed

LAYOUT, SELECT = "genenvs/RoomLayout-v0", "genenvs/RoomSelect-v0"
SIZES = (64, 1_024)
SYNC = 64  # rows of Gymnasium's SyncVectorEnv
STEPS = 40  # of the play that is repeated: ends fall anywhere in it


def recorded(env: str, num_envs: int, device: str) -> torch.Tensor:
    """Actions of the reference from seed 0: int64 [STEPS, num_envs], all of them legal there."""
    envs = native(env, num_envs, device)
    envs.reset(seed=0)
    actions = []
    for _ in range(STEPS):
        actions.append(envs.reference_action())
        envs.step(actions[-1])
    return torch.stack(actions)


def steps(env: str, num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Steps a second, observation and mask included; on the CPU over Gymnasium's Sync of 64."""
    name = env.rpartition("/")[2].removesuffix("-v0")
    actions = recorded(env, num_envs, device)
    calls = {"torch": replay(native(env, num_envs, device), actions)}
    if torch.device(device).type == "cpu":
        calls["numpy"] = replay(native(env, num_envs, output="numpy"), actions.numpy())
        calls["sync"] = replay(sync(env, SYNC), recorded(env, SYNC, device).numpy())
    found = interleave(calls, torch.device(device))
    target = "at least 10,000" if (env, num_envs) == (LAYOUT, SIZES[-1]) else ""
    for output in [name for name in ("torch", "numpy") if name in found]:
        yield rate(f"{name}: steps/s, {output} output", num_envs, found[output], target)
    if "sync" in found:
        one = [s / SYNC for s in found["sync"]]
        own = [s / num_envs for s in found["numpy"]]
        what = f"{name}: native steps/s / steps/s of SyncVectorEnv of {SYNC}"
        yield row(what, num_envs, ratio(one, own), "at least 20")


def parts(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """What a step is made of, in states from the middle of the recorded play."""
    envs = native(LAYOUT, num_envs, device)
    envs.reset(seed=0)
    for action in recorded(LAYOUT, num_envs, device)[:9]:
        envs.step(action)
    state, task = envs.unwrapped.state, envs.unwrapped.task
    looking = task.looking(state, state.left.argmax(1))
    calls = {
        "surveys/s of all 4,096 places": lambda: placing.survey(*looking),
        "masks/s of all 4,096 places": lambda: task.action_mask(state),
    }
    for what, seconds in interleave(calls, torch.device(device)).items():
        yield rate(what, num_envs, seconds)


def judged(rooms: int = 8) -> Iterator[dict[str, Any]]:
    """Furnished rooms judged a second in one process: without physics, and settled by engines."""
    some = furnished.load("validation").rows(torch.arange(rooms))
    calls: dict[str, Callable[[], Any]] = {
        "rooms judged/s without physics": partial(gold.gold, some)
    }
    for engine in installed():
        calls[f"rooms settled/s, {engine}"] = partial(physics.settle, some, {}, engine)
    for what, seconds in interleave(calls, torch.device("cpu"), 0.5).items():
        yield rate(what, rooms, seconds)


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row of this family."""
    for env in (LAYOUT, SELECT):
        for size in SIZES:
            yield from steps(env, size, device)
    yield from parts(SIZES[-1], device)
    if torch.device(device).type == "cpu":
        yield from judged()
