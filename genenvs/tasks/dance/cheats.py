"""Dancers that hear nothing; printed beside the scores."""

from typing import Any

import torch
from torch import Tensor

from genenvs.core import random
from genenvs.motion import beats
from genenvs.motion.codes import FPS
from genenvs.tasks.dance import rewards

LOOPS = 2_048  # of each length, of which `always` is one
LENGTHS = (2, 3, 4)  # codes: no beat that can be seen comes back sooner
PRIOR = 2  # what a draw is for
_KEY = 1  # of the streams


def never(envs: Any) -> Any:
    """No beat that can be seen: one pair of codes, held.

    It trembles, though, once in each code: to Bailando's own rewards this is *always*.
    """
    return lambda observation, info: envs.task.before(envs.state)


def always(envs: Any) -> Any:
    """Beats without end: of many short loops of codes the one that has the most."""
    task = envs.task
    best, most = task.codes.seeds[0, :1], -1.0
    for length in LENGTHS:
        key = random.mix(torch.arange(LOOPS, device=task.device), _KEY, length)
        start = random.randint(key, 0, 1, len(task.codes.follows))[:, 0]
        codes = task.codes.follows[start, None, 2:]
        for step in range(1, length):
            after = task.prior.sample(codes[:, -1], key, random.counter(step, PRIOR))
            codes = torch.cat([codes, after[:, None]], 1)
        speed = task.codes.speed(codes.roll(1, 1), codes)  # [D, length, 8]
        rounds = speed.repeat(1, -(-task.horizon // length), 1)[:, : task.horizon].flatten(1)
        found = beats.slowest(rounds.double(), FPS, rise=rewards.RISE["balanced"]).sum(1)
        if float(found.max()) > most:
            best, most = codes[found.argmax()], float(found.max())
    return lambda observation, info: best[envs.state.step % len(best)]


def prior(envs: Any) -> Any:
    """What clips make likely, drawn: the code prior that hears no music."""

    def policy(observation: Any, info: Any) -> Tensor:
        state = envs.state
        return envs.task.prior.sample(
            envs.task.before(state), state.key, random.counter(state.step, PRIOR)
        )

    return policy
