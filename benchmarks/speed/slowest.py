"""Where a step's time goes: PyTorch's profiler over operations, Python's over functions."""

import cProfile
import io
import pstats
import time

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed.play import Pool, native, write

LINES = 15


def report(env: str, num_envs: int, device: str, seconds: float) -> str:
    """Tables of the slowest operations and functions of `seconds` of random legal play."""
    envs = native(env, num_envs, device)
    script = write(envs, Pool(env, device), seconds)
    activities = [ProfilerActivity.CPU]
    if torch.device(device).type == "cuda":
        activities.append(ProfilerActivity.CUDA)

    def play() -> None:
        for action in script.actions:
            envs.step(action)

    envs.set_state(script.start)
    with profile(activities=activities) as operations:
        play()
    order = "self_cpu_time_total" if len(activities) == 1 else "self_cuda_time_total"
    table = operations.key_averages().table(sort_by=order, row_limit=LINES)

    # Time of this thread: what else the machine does would count as well.
    functions = cProfile.Profile(time.thread_time)
    envs.set_state(script.start)
    functions.runcall(play)
    text = io.StringIO()
    stats = pstats.Stats(functions, stream=text).strip_dirs()
    stats.sort_stats("cumulative").print_stats(2 * LINES)
    stats.sort_stats("tottime").print_stats(LINES)
    steps = len(script.actions)
    return (
        f"{env}, {num_envs:,} environments, {steps} steps of {1e3 * script.step_seconds:.3g} ms,"
        f" {script.ended:.2%} of rows end in a step\n\n{table}\n{text.getvalue()}"
    )
