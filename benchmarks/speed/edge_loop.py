"""Rows of EdgeLoop: steps, single IoU evaluations, and the expert."""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.speed.measure import interleave, rate, ratio, row
from benchmarks.speed.play import native, replay, sync
from genenvs.geometry import packed

ENV = "genenvs/EdgeLoop-v0"
SIZES = (64, 256)
STEPS = 120  # of the play that is repeated: an end, and the reset after it, are among them
SYNC = 64
# Of a whole union of loops at 64^3, batched in torch by bit-packing with a loop over slabs.
STUDY = "more than 4,600: the study's prototype"


def recorded(num_envs: int, device: str) -> torch.Tensor:
    """Random legal actions from seed 0: int64 [STEPS, num_envs]."""
    envs = native(ENV, num_envs, device)
    _, info = envs.reset(seed=0)
    generator = torch.Generator(device).manual_seed(0)
    actions = []
    for _ in range(STEPS):
        mask = info["action_mask"].float()
        actions.append(mask.multinomial(1, generator=generator)[:, 0])
        info = envs.step(actions[-1])[-1]
    return torch.stack(actions)


def steps(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """Steps a second, observation and mask included; on the CPU over Gymnasium's Sync."""
    actions = recorded(num_envs, device)
    calls = {"torch": replay(native(ENV, num_envs, device), actions)}
    on_cpu = torch.device(device).type == "cpu"
    if on_cpu:
        calls["numpy"] = replay(native(ENV, num_envs, output="numpy"), actions.numpy())
    if on_cpu and num_envs == SYNC:
        calls["sync"] = replay(sync(ENV, num_envs), actions.numpy())
    found = interleave(calls, torch.device(device))
    for output in [name for name in ("torch", "numpy") if name in found]:
        yield rate(f"steps/s, {output} output", num_envs, found[output])
    if "sync" in found:
        yield row("native steps/s / SyncVectorEnv steps/s", num_envs,
                   ratio(found["sync"], found["numpy"]), "at least 5")  # fmt: skip


def parts(num_envs: int, device: str) -> Iterator[dict[str, Any]]:
    """What a step is made of, in the middle of the recorded play."""
    envs = native(ENV, num_envs, device)
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
        yield rate(what, num_envs, seconds, STUDY if what.startswith("IoU") else "")


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row of this family."""
    for size in SIZES:
        yield from steps(size, device)
        yield from parts(size, device)
