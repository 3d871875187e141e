"""Rows of training: environment steps a second while an agent learns, network updates and all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from agents import registry
from agents.problem import Problem
from agents.run import Run
from benchmarks.speed.measure import Lap, Row, in_turns, one_thread, over, row

ENV = "genenvs/DenoiseSchedule-v0"
REPEATS = 5
WARM_UP, WINDOW = 1.0, 3.0  # seconds, after the first step was counted
N_STEPS, HIDDEN = 5, (64, 64)


class Over(Exception):
    """The window is over."""


class Stopwatch:
    """Counts steps inside a window that opens `WARM_UP` seconds after the first of them.

    Attributes:
        rate: steps a second in the window, once it is over.
    """

    def __init__(self) -> None:
        self.rate = float("nan")
        self._opens: float | None = None
        self._opened: float | None = None
        self._steps = 0

    def count(self, steps: int) -> bool:
        """Count steps that were just made; always True, which tells Stable-Baselines3 to go on.

        Raises:
            Over: enough has been seen.
        """
        now = time.perf_counter()
        if self._opens is None:
            self._opens = now + WARM_UP
        elif self._opened is None:
            if now >= self._opens:
                self._opened = now
        else:
            self._steps += steps
            if now >= self._opened + WINDOW:
                self.rate = self._steps / (now - self._opened)
                raise Over
        return True


class Clocked(Run):
    """A run in memory that ends with the stopwatch."""

    def __init__(self, watch: Stopwatch) -> None:
        super().__init__(seed=0, total=10**9)
        self.watch = watch

    def advance(self, steps: int) -> None:
        super().advance(steps)
        if steps:
            self.watch.count(steps)


def ours(name: str, **fields: Any) -> Callable[[], float]:
    """Train one of our agents for a window."""
    kind = registry.find(name)
    config = kind.Config(n_steps=N_STEPS, hidden=HIDDEN, **fields)

    def measure() -> float:
        watch = Stopwatch()
        run, agent = Clocked(watch), kind(Problem(ENV), config)
        run.start(agent)
        try:
            agent.learn(run)
        except Over:
            return watch.rate
        raise AssertionError("the run ended before the stopwatch")

    return measure


@contextmanager
def a2c_over_processes(num_envs: int) -> Iterator[Any]:
    """Stable-Baselines3's A2C as its users run it: every environment in a process of its own."""
    from stable_baselines3 import A2C
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import SubprocVecEnv

    # The module before the colon is imported in each process, and registers the id there.
    envs = make_vec_env(
        f"genenvs:{ENV}", num_envs, seed=0, vec_env_cls=SubprocVecEnv,
        vec_env_kwargs={"start_method": "fork"},  # the others start slower, and step as fast
    )  # fmt: skip
    try:
        yield A2C(
            "MultiInputPolicy", envs, n_steps=N_STEPS, policy_kwargs={"net_arch": list(HIDDEN)},
            seed=0, device="cpu",
        )  # fmt: skip
    finally:
        envs.close()


def theirs(model: Any) -> Callable[[], float]:
    """Train a model of Stable-Baselines3 for a window."""

    def measure() -> float:
        watch = Stopwatch()
        try:
            model.learn(
                10**9,
                callback=lambda *_: watch.count(model.n_envs),
                reset_num_timesteps=False,
            )
        except Over:
            return watch.rate
        raise AssertionError("the run ended before the stopwatch")

    return measure


def compare(what: str, num_envs: int, target: str, calls: dict[str, Callable[[], float]]) -> Row:
    """Steps a second of the first over those of the second, measured in turns."""
    laps = {name: _per_second(call) for name, call in calls.items()}
    first, second = in_turns(laps, REPEATS).values()
    return row(what, num_envs, over(first, second), target, "ratio")


def workers(rows: int) -> Row:
    """What a second worker of `a3c` adds."""
    return compare(
        "a3c: 2 workers / 1 worker, environments of each", rows, "at least 1.5 on two cores",
        {
            "2 workers": ours("a3c", workers=2, num_envs=rows),
            "1 worker": ours("a3c", workers=1, num_envs=rows),
        },
    )  # fmt: skip


def batch_against_processes(num_envs: int) -> Row:
    """What the native batch is worth to an agent: the same algorithm, network and rollout."""
    with a2c_over_processes(num_envs) as model:
        return compare(
            "actor_critic, native batch / Stable-Baselines3's A2C, SubprocVecEnv", num_envs,
            "at least 3",
            {
                "native batch": ours("actor_critic", num_envs=num_envs),
                "SubprocVecEnv": theirs(model),
            },
        )  # fmt: skip


def rows(device: str) -> Iterator[Row]:
    """Every row of this family; on the CPU alone, with one thread to each process."""
    if torch.device(device).type != "cpu":
        return
    with one_thread():  # as `agents.train` does
        yield workers(8)
        yield batch_against_processes(8)
        yield batch_against_processes(16)


def _per_second(call: Callable[[], float]) -> Lap:
    """A lap out of what counts steps a second itself."""
    return lambda: (1.0, call())
