"""Rows of the denoising environments: what a step costs beside its one network forward."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode

import genenvs  # noqa: F401  (registers the ids)
from benchmarks.speed.measure import Timing, interleave, ratio

ENV = "genenvs/DenoiseSchedule-v0"
SIZES = (1, 16, 64, 256)


def overhead(num_envs: int, device: str, output: str) -> dict[str, Any]:
    """A step of the batch, random actions and ragged ends, over the bare forward."""
    envs: Any = gym.make_vec(
        ENV, num_envs=num_envs, device=device, output=output,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )  # fmt: skip
    envs.reset(seed=0)
    task = envs.unwrapped.task
    actions = torch.randint(0, int(envs.single_action_space.n), (997, num_envs), device=device)
    drawn: Any = actions if output == "torch" else actions.cpu().numpy()
    x = torch.randn(num_envs, *task.denoiser.shape, device=device)
    time = torch.randint(0, task.schedule.steps, (num_envs,), device=device)
    label = torch.zeros(num_envs, dtype=torch.int64, device=device)
    count, ended = 0, 0

    def step() -> None:
        nonlocal count, ended
        _, _, terminated, _, _ = envs.step(drawn[count % 997])
        count += 1
        if device == "cpu":
            ended += int(terminated.sum())

    @torch.no_grad()
    def forward() -> None:
        task.denoiser.unet(x, time, label, return_dict=False)

    found = interleave({"step": step, "forward": forward}, torch.device(device))
    over = ratio(found["step"], found["forward"])
    row = _row(
        f"step / bare network forward, {output} output", num_envs, over, "at most 1.10 from 16 on"
    )
    row |= {
        "step_ms": round(1e3 * Timing.of(found["step"]).median, 3),
        "forward_ms": round(1e3 * Timing.of(found["forward"]).median, 3),
    }
    if device == "cpu":
        row["mean_episode"] = round(count * num_envs / max(ended, 1), 2)
    return row


def against_sync(num_envs: int) -> dict[str, Any]:
    """Steps a second of the native batch over Gymnasium's SyncVectorEnv of the same id."""
    native = gym.make_vec(ENV, num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    sync = gym.make_vec(
        ENV, num_envs=num_envs, vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )  # fmt: skip
    calls = {}
    for name, envs in (("native", native), ("sync", sync)):
        envs.reset(seed=0)
        envs.action_space.seed(0)
        calls[name] = lambda envs=envs: envs.step(envs.action_space.sample())
    found = interleave(calls, torch.device("cpu"))
    return _row(
        "native steps/s / SyncVectorEnv steps/s", num_envs, ratio(found["sync"], found["native"]),
        "at least 5",
    ) | {"native_steps_per_s": round(num_envs / Timing.of(found["native"]).median)}  # fmt: skip


def memory(num_envs: int) -> dict[str, Any]:
    """Resident memory at its highest, of a fresh process that plays a few steps."""
    code = (
        "import gymnasium as gym, genenvs\n"
        "from benchmarks.speed.peak import peak_memory\n"
        f"envs = gym.make_vec({ENV!r}, num_envs={num_envs})\n"
        "envs.reset(seed=0)\n"
        "for _ in range(30): envs.step(envs.action_space.sample())\n"
        "print(peak_memory() or float('nan'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak = float(done.stdout)
    return _row("peak resident memory, GB", num_envs, Timing(peak, peak, peak), "under 1.5")


def host_copies(num_envs: int) -> dict[str, Any]:
    """Device-to-host copies a step in torch output, counted by torch's profiler.

    The number of ended rows is read once a step (one scalar); data must not be copied at all.
    """
    from torch.profiler import ProfilerActivity, profile

    envs: Any = gym.make_vec(
        ENV, num_envs=num_envs, device="cuda", output="torch",
        autoreset_mode=AutoresetMode.SAME_STEP,
    )  # fmt: skip
    envs.reset(seed=0)
    actions = torch.randint(0, int(envs.single_action_space.n), (50, num_envs), device="cuda")
    for k in range(10):
        envs.step(actions[k])
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        for k in range(10, 50):
            envs.step(actions[k])
        torch.cuda.synchronize()
    copies = [e for e in recorded.events() if "Memcpy DtoH" in e.name]
    per_step = len(copies) / 40
    return _row(
        "device-to-host copies a step", num_envs, Timing(*[per_step] * 3), "at most 1 scalar"
    )


def largest_batch() -> dict[str, Any]:
    """Double the batch until the device's memory is full."""
    best, size, full = 0, 1024, False
    while not full and size <= 2**22:
        try:
            envs = gym.make_vec(ENV, num_envs=size, device="cuda", output="torch")
            envs.reset(seed=0)
            envs.step(torch.zeros(size, dtype=torch.int64, device="cuda"))
        except torch.cuda.OutOfMemoryError:
            full = True
            continue
        best, size = size, size * 2
        del envs
        torch.cuda.empty_cache()
    what = "largest batch that fits" if full else "largest batch tried; memory was not full"
    return _row(what, best, Timing(best, best, best), "")


def rows(device: str) -> Iterator[dict[str, Any]]:
    """Every row of this family."""
    for size in SIZES:
        for output in ("numpy", "torch"):
            yield overhead(size, device, output)
    yield against_sync(64)
    yield memory(256)
    if torch.device(device).type == "cuda":
        yield host_copies(256)
        yield largest_batch()


def _row(what: str, num_envs: int, found: Timing, target: str) -> dict[str, Any]:
    return {
        "env": ENV,
        "what": what,
        "num_envs": num_envs,
        "median": round(found.median, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "target": target,
    }
