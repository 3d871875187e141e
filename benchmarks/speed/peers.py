"""What others make of the same step at the same batch size: a lap function for each.

`sync`, `async`, `subproc` play the very script of the native batch, row by row, in Gymnasium's
SyncVectorEnv and AsyncVectorEnv and Stable-Baselines3's SubprocVecEnv. `cartpole` is Gymnasium's
own native CartPole, another and far smaller task: what the loop around a batch costs at least.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import Tensor

from benchmarks.speed import jumanji_peer
from benchmarks.speed.levels import Bench, Left
from benchmarks.speed.measure import SECONDS, Clock, Lap
from benchmarks.speed.play import Script

MOST_SINGLE = 256  # environments one by one: their rate does not change beyond
MOST_PROCESSES = 16
REWIND = {"rewind": True}  # an option of `AtScript.reset`


class AtScript(gym.Wrapper[Any, Any, Any, Any]):
    """A single environment that goes back to its row of a script with the option `rewind`."""

    def __init__(self, env: gym.Env[Any, Any], start: dict[str, Tensor]) -> None:
        super().__init__(env)
        self.start = start
        self.found: Any = None  # what the last reset gave, which nobody looks at again

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if not options:
            self.found = self.env.reset(seed=seed)
        else:
            if self.found is None:
                self.found = self.env.reset(seed=0)
            self.env.unwrapped.set_state(self.start)  # type: ignore[attr-defined]
        return self.found


@dataclass(frozen=True)
class Peer:
    """How to make a lap of it, and the batches at which that says anything new."""

    lap: Callable[[Bench], Lap]
    most: int
    beside: tuple[str, ...] | None = None  # the ids that it is a peer of; None: all
    least: int = 1


def rows(script: Script) -> list[Callable[[], gym.Env[Any, Any]]]:
    """Makers of single environments, each at its row of the script."""

    def make(start: dict[str, Tensor]) -> gym.Env[Any, Any]:
        return AtScript(gym.make(script.env), start)

    parts = [{k: v[i : i + 1] for k, v in script.start.items()} for i in range(script.num_envs)]
    return [partial(make, part) for part in parts]


def gymnasium(kind: Any, bench: Bench) -> Lap:
    """A vector environment of Gymnasium over single environments."""
    envs = kind(rows(bench.script), autoreset_mode=AutoresetMode.SAME_STEP)
    bench.closing.callback(envs.close)
    return bench.script.lap(
        envs.step, lambda: envs.reset(options=REWIND), bench.script.host_actions()
    )


def subproc(bench: Bench) -> Lap:
    """Stable-Baselines3's SubprocVecEnv, its processes forked as Gymnasium's are."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    envs = SubprocVecEnv(rows(bench.script), start_method="fork")
    bench.closing.callback(envs.close)

    def back() -> None:
        envs.set_options(REWIND)
        envs.reset()

    return bench.script.lap(envs.step, back, list(bench.script.host_actions()))


def cartpole(bench: Bench) -> Lap:
    """Gymnasium's native CartPole, random actions; rows that a step only resets are not counted."""
    envs = gym.make_vec(
        "CartPole-v1", num_envs=bench.script.num_envs, vectorization_mode="vector_entry_point"
    )
    bench.closing.callback(envs.close)
    actions = np.random.default_rng(0).integers(0, 2, (100, bench.script.num_envs))
    envs.reset(seed=0)
    ended = np.zeros(
        bench.script.num_envs, dtype=bool
    )  # by the last step: the next one resets them
    clock = Clock()

    def play(count: int) -> int:
        nonlocal ended
        flags = []
        with clock.running():
            for k in range(count):
                flags.append(envs.step(actions[k % 100])[2:4])
        counted = 0
        for terminated, truncated in flags:
            counted += bench.script.num_envs - int(ended.sum())
            ended = terminated | truncated
        return counted

    play(100)  # some twenty steps are an episode
    clock.seconds = 0.0
    play(20)
    count = max(1, min(2_000, round(20 * SECONDS / clock.seconds)))

    def lap() -> tuple[float, float]:
        clock.seconds = 0.0
        counted = play(count)
        return clock.seconds, counted

    return lap


def jumanji(scan: bool, bench: Bench) -> Lap:
    """The environment of Jumanji that comes nearest."""
    if not jumanji_peer.installed():
        raise Left('needs jumanji: pip install "genenvs[jumanji]"')
    name = jumanji_peer.BESIDE[bench.script.env]
    call = partial(jumanji_peer.lap, name, bench.script.num_envs, scan, SECONDS)
    bench.jax().submit(call).result()  # compiles
    return lambda: bench.jax().submit(call).result()


BESIDE = tuple(jumanji_peer.BESIDE)
PEERS: dict[str, Peer] = {
    "sync": Peer(partial(gymnasium, SyncVectorEnv), MOST_SINGLE),
    "async": Peer(partial(gymnasium, AsyncVectorEnv), MOST_PROCESSES),
    "subproc": Peer(subproc, MOST_PROCESSES),
    "cartpole": Peer(cartpole, 4_096),
    "jumanji": Peer(partial(jumanji, False), 4_096, BESIDE),
    "jumanji scan": Peer(partial(jumanji, True), 4_096, BESIDE, least=4_096),
}
