"""Jumanji on JAX's CPU back end, in a process of its own: PyTorch's children are made by forking.

`jumanji` calls one compiled step after the other, as an agent in Python does; `jumanji scan` is one
compiled program of many steps, JAX's best case, in which no agent outside JAX can act.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

BESIDE = {"genenvs/RoomLayout-v0": "BinPack-v2", "genenvs/VoxelStroke-v0": "Snake-v1"}
COMPARED = {
    "BinPack-v2": (
        "Both choose a thing and a place for it under one joint mask. BinPack fills a container "
        "with at most 20 boxes in 40 corners, on intervals; RoomLayout puts furniture on a grid of "
        "64 x 64 places, with walls, doors and ways to walk, and pays for more than volume."
    ),
    "Snake-v1": (
        "Both move a cursor through a grid and mark where it was. Snake has 12 x 12 cells, four "
        "moves, shows the whole grid and resets every row in every step; VoxelStroke has 16^3 "
        "cells, six moves, a target to follow, and shows a window of 5^3."
    ),
}
SCAN = 16  # steps of one compiled program


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("jumanji") is not None


def worker(threads: int) -> ProcessPoolExecutor:
    """A process for JAX, on as many cores as PyTorch has threads where the platform can."""
    return ProcessPoolExecutor(1, get_context("spawn"), _start, (threads,))


def lap(name: str, num_envs: int, scan: bool, seconds: float) -> tuple[float, float]:
    """Play random legal actions for `seconds`, about; the first call compiles and warms up.

    Returns:
        Seconds on the clock and environment steps made.
    """
    play = _player(name, num_envs, scan)
    each = play.each
    count = max(1, round(seconds / each))
    started = time.perf_counter()
    for _ in range(count):
        play()
    play.wait()
    spent = time.perf_counter() - started
    return spent, count * num_envs * (SCAN if scan else 1)


class _Player:
    """A batch that plays on with every call.

    Attributes:
        each: seconds of a call.
    """

    def __init__(self, name: str, num_envs: int, scan: bool) -> None:
        import jax
        import jumanji.registration
        from jumanji.wrappers import AutoResetWrapper, VmapWrapper

        env = VmapWrapper(AutoResetWrapper(jumanji.registration.make(name)))
        sizes = env.action_spec.num_values if name == "BinPack-v2" else None

        def step(carry: Any, _: Any = None) -> tuple[Any, Any]:
            state, mask, key = carry
            key, draw = jax.random.split(key)
            flat = mask.reshape(num_envs, -1)
            chance = jax.random.uniform(draw, flat.shape)
            action = jax.numpy.where(flat, chance, -1.0).argmax(1)
            if sizes is not None:
                action = jax.numpy.stack(jax.numpy.unravel_index(action, mask.shape[1:]), -1)
            state, seen = env.step(state, action)
            # What an agent is given is returned, or the compiler would leave it out.
            given = (seen.observation, seen.reward, seen.discount, seen.last())
            return (state, seen.observation.action_mask, key), given

        if scan:

            def many(carry: Any) -> tuple[Any, Any]:
                carry, given = jax.lax.scan(step, carry, None, SCAN)
                return carry, given

            self._step = jax.jit(many)
        else:
            self._step = jax.jit(step)
        key = jax.random.PRNGKey(0)
        state, seen = jax.jit(env.reset)(jax.random.split(key, num_envs))
        self._carry = (state, seen.observation.action_mask, key)
        self._given: Any = [None]
        self.each = 0.0
        self()
        self.wait()
        ended = 0
        for _ in range(500):
            started = time.perf_counter()
            self()
            self.wait()
            self.each = time.perf_counter() - started
            ended += int(self._given[-1].sum())
            if ended:
                break

    def __call__(self) -> None:
        self._carry, self._given = self._step(self._carry)

    def wait(self) -> None:
        import jax

        jax.block_until_ready((self._carry, self._given))


@cache
def _player(name: str, num_envs: int, scan: bool) -> _Player:
    return _Player(name, num_envs, scan)


def _start(threads: int) -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
