"""Random legal play that every face repeats step by step, its episodes in all phases."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

import genenvs  # noqa: F401  (registers the ids)
from benchmarks.speed.measure import Clock, Lap
from genenvs.core.evaluate import random_policy
from genenvs.core.task import State

POOL_ROWS = 64
POOL_STATES = 2_048
MOST_STEPS = 200  # of a script
LONGER = 10  # times as long a script may be that has to be, see `write`
STATES = 2_048  # rows of the states that single functions are timed on, over all moments


def native(env: str, num_envs: int, device: str = "cpu", output: str = "torch") -> Any:
    """A native batch."""
    return gym.make_vec(
        env, num_envs=num_envs, device=device, output=output, autoreset_mode=AutoresetMode.SAME_STEP
    )


class Pool:
    """States from all phases of random play, of which batches of any size are made.

    Without it every row of a large batch would stand at the same step of its episode, and a
    warm-up to where ends are spread evenly would take longer than the measurement. Each state is
    drawn from all steps of whole episodes alike, so that in any step of a batch the share of rows
    that end is one over the mean length of an episode, as it is in the long run.

    Attributes:
        env: the id.
        length: steps of an episode, in the mean.
    """

    def __init__(self, env: str, device: str = "cpu") -> None:
        self.env = env
        envs = native(env, POOL_ROWS, device)
        policy = random_policy(envs)
        observation, info = envs.reset(seed=0)
        rng = np.random.default_rng(0)
        first, passed = torch.arange(POOL_ROWS, device=device), 0  # rows in their first episode
        self._states: dict[str, Tensor] = {}
        while len(first):
            # A reservoir: every place is as likely to hold each of the states passed so far.
            passed += len(first)
            taken = np.flatnonzero(rng.random(POOL_STATES) < len(first) / passed)
            place = torch.as_tensor(taken, device=device)
            row = first[torch.as_tensor(rng.integers(len(first), size=len(taken)), device=device)]
            for name, value in envs.get_state().items():
                kept = self._states.setdefault(name, value.new_empty(POOL_STATES, *value.shape[1:]))
                kept[place] = value[row]
            observation, _, terminated, truncated, info = envs.step(policy(observation, info))
            first = first[~(terminated | truncated)[first]]
        self.length = passed / POOL_ROWS
        envs.close()

    def batch(self, num_envs: int) -> dict[str, Tensor]:
        """A snapshot of so many rows, as `set_state` takes it."""
        drawn = np.random.default_rng(num_envs).integers(0, POOL_STATES, num_envs)
        index = torch.as_tensor(drawn, device=self._states["env.seed"].device)
        rows = {name: value[index] for name, value in self._states.items()}
        # Copies of a row part ways when their episode ends.
        rows["env.episode"] = rows["env.episode"] + 1_000 * torch.arange(num_envs).to(index)
        return rows


@dataclass(frozen=True)
class Script:
    """A stretch of random legal play.

    Attributes:
        env: the id.
        device: where it was played.
        start: the snapshot that it begins at.
        actions: of every step: [R, B, ...] on the device.
        moments: states on the way, each with the action taken in it; not to be written into.
        elapsed: seconds that the native batch took up to the end of each step.
        ended: share of rows whose episode ends in a step.
    """

    env: str
    device: str
    start: dict[str, Tensor]
    actions: Tensor
    moments: list[tuple[State, Tensor]]
    elapsed: Sequence[float]
    ended: float

    @property
    def num_envs(self) -> int:
        """Rows of the batch."""
        return self.actions.shape[1]

    @property
    def step_seconds(self) -> float:
        """What a step of the native batch took."""
        return self.elapsed[-1] / len(self.actions)

    @property
    def nbytes(self) -> int:
        """Bytes that its tensors take."""
        states = [state.tensors().values() for state, _ in self.moments]
        tensors = [*self.start.values(), self.actions, *(t for group in states for t in group)]
        return sum(tensor.nbytes for tensor in tensors)

    def host_actions(self) -> np.ndarray:
        """The actions in numpy."""
        return self.actions.cpu().numpy()

    def lap(self, step: Any, back: Any, actions: Any) -> Lap:
        """Play it again: `back()` goes to its start, off the clock; then `step` takes each action.

        Who takes more than twice as long for a step as the native batch plays the first steps
        alone, as many as fill the time of the whole.
        """

        def play(count: int) -> tuple[float, float]:
            back()
            clock = Clock(self.device)
            with clock.running():
                for action in actions[:count]:
                    step(action)
            return clock.seconds, count * self.num_envs

        play(1)
        # Twice as many until they take long enough, which warms up.
        steps, count = len(self.actions), 1
        while play(count)[0] < self.elapsed[-1] and count < steps:
            count = min(steps, 2 * count)
        # Of the same steps: the first may draw for all that follow.
        slower = play(count)[0] / self.elapsed[count - 1]
        wanted = bisect_right(self.elapsed, self.elapsed[-1] / slower)
        count = max(1, wanted) if slower > 2 else steps
        return lambda: play(count)


def write(envs: Any, pool: Pool, seconds: float) -> Script:
    """Write down steps from a pool's states for `seconds`, once play has gone through an autoreset.

    That warms up, and is forgotten: a script that went on from there would begin where an episode
    has just ended, and find fewer ends than there are.

    Args:
        envs: a native batch with torch output.
        pool: where it begins.
        seconds: that the steps of the script take, about; never less than one step. They are as
            many as it takes until an episode has ended and, where first states are drawn ahead,
            until rows have come to the end of these, or a lap would consist of its first draws;
            at most `LONGER` times as long.

    Raises:
        RuntimeError: no episode ended within a horizon.
    """
    device, task = str(envs.unwrapped.device), envs.unwrapped.task
    policy, start = random_policy(envs), pool.batch(envs.num_envs)
    envs.set_state(start)

    def step(clock: Clock) -> tuple[Tensor, int]:
        action = torch.as_tensor(policy(None, {})).to(device)
        with clock.running():
            _, _, terminated, truncated, _ = envs.step(action)
        return action, int((terminated | truncated).sum())

    ended = played = 0  # until an episode ends, so that all has been called once
    fastest = float("inf")  # seconds of a step in which nothing was drawn
    while not ended or played < 3:
        if not ended and played > task.horizon:
            raise RuntimeError(f"{envs.spec.id}: no episode ended in {played} steps")
        warm = Clock(device)
        ended += step(warm)[1]
        played, fastest = played + 1, min(fastest, warm.seconds)
    fitting = max(1, round(seconds / fastest))
    ending = math.ceil(pool.length / envs.num_envs)
    ahead = min(MOST_STEPS, round(envs.unwrapped.episodes_ahead * pool.length))
    count = max(min(MOST_STEPS, fitting), min(LONGER * fitting, max(ending, ahead)))
    envs.set_state(start)
    clock, elapsed, actions, ends = Clock(device), [], [], 0
    moments: list[tuple[State, Tensor]] = []
    for _ in range(count):
        if not moments or (len(moments) + 1) * envs.num_envs <= STATES:
            before = envs.state.clone()
        else:
            before = None
        action, over = step(clock)
        elapsed.append(clock.seconds)
        actions.append(action)
        ends += over
        if before is not None:
            moments.append((before, action))
    return Script(
        env=envs.spec.id,
        device=device,
        start=start,
        actions=torch.stack(actions),
        moments=moments,
        elapsed=elapsed,
        ended=ends / (count * envs.num_envs),
    )
