"""The levels of a step, each with all that the ones before it have; one lap function for each.

`floor` is what a step cannot do without, alone (`families` says what); `transition` the task's own
function; `torch` and `numpy` the vector face by its output; `single` the face of one environment;
`sb3` the adapter for Stable-Baselines3; `policy` a network that chooses as well; `training` one
that learns. All play the script's actions but `training`, which plays its own: where the action
decides what a step costs, it alone is not of the same work.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import gymnasium as gym
import torch

from agents.actor_critic import ActorCriticAgent, ActorCriticConfig
from agents.networks import ActorCritic, NetworkConfig
from agents.problem import Problem
from agents.run import Run
from benchmarks.speed.measure import Clock, Lap
from benchmarks.speed.play import Script, native
from genenvs.core.optional import require

psutil = require("psutil", "benchmarks")

HIDDEN = (64, 64)  # of the policies
# What our networks hold, in times the bytes of what they read: to act, and to be differentiated.
ACTING, LEARNING = 10, 30
N_STEPS = 5  # of a rollout that is learned from, as in Stable-Baselines3's A2C


class Left(Exception):
    """Why a level cannot be measured here."""


@dataclass(frozen=True)
class Bench:
    """What laps are made of.

    Attributes:
        script: what is played.
        envs: the native batch, torch output.
        floor: makes of a task, a state and the action taken in it what a step cannot do without;
            see `families`.
        closing: what makes something that must be closed says so here.
        jax: the process in which JAX runs, started when it is asked for.
    """

    script: Script
    envs: Any
    floor: Callable[[Any, Any, Any], Callable[[], Any]]
    closing: ExitStack
    jax: Callable[[], Any]


def floor(bench: Bench) -> Lap:
    """What a step cannot do without, in the states of the script and by its actions."""
    script, task = bench.script, bench.envs.unwrapped.task
    following = cycle([bench.floor(task, *moment) for moment in script.moments])
    return _repeated(script, lambda: next(following), lambda call: call())


def transition(bench: Bench) -> Lap:
    """`Task.transition` of copies of those states, made off the clock."""
    script, envs = bench.script, bench.envs
    task, following = envs.unwrapped.task, cycle(script.moments)

    def ready() -> Any:
        state, action = next(following)
        return state.clone(), action

    return _repeated(script, ready, lambda pair: task.transition(*pair))


def torch_face(bench: Bench) -> Lap:
    """The native batch, tensors out."""
    script, envs = bench.script, bench.envs
    return script.lap(envs.step, lambda: envs.set_state(script.start), script.actions)


def numpy_face(bench: Bench) -> Lap:
    """The native batch, numpy in and out."""
    script = bench.script
    envs = native(script.env, script.num_envs, script.device, "numpy")
    return script.lap(envs.step, lambda: envs.set_state(script.start), script.host_actions())


def single(bench: Bench) -> Lap:
    """`gym.make`, reset when an episode ends."""
    script = bench.script
    if script.num_envs > 1:
        raise Left("one environment")
    env: Any = gym.make(script.env, device=script.device)
    env.reset(seed=0)

    def step(action: Any) -> None:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()

    actions = list(script.host_actions()[:, 0])
    return script.lap(step, lambda: env.unwrapped.set_state(script.start), actions)


def sb3(bench: Bench) -> Lap:
    """`SB3VecEnv` over the native batch."""
    script = bench.script
    from genenvs.interop.sb3 import SB3VecEnv

    inner = native(script.env, script.num_envs, script.device)
    inner.set_state(script.start)
    adapted = SB3VecEnv(inner)
    return script.lap(
        adapted.step, lambda: inner.set_state(script.start), list(script.host_actions())
    )


def policy(bench: Bench) -> Lap:
    """A network chooses from what it is given; the script's actions are played all the same.

    Its own may cost more or less than those that the other levels play.
    """
    script, envs = bench.script, bench.envs
    _check_room(envs, ACTING * script.num_envs)
    try:
        model = ActorCritic(
            envs.single_observation_space, envs.single_action_space, NetworkConfig(hidden=HIDDEN)
        ).to(script.device)
    except TypeError as error:
        raise Left(f"no network of ours reads it: {error}") from error
    task = envs.unwrapped.task
    now: list[Any] = []

    def back() -> None:
        envs.set_state(script.start)
        now[:] = task.observe(envs.state), task.action_mask(envs.state)

    @torch.no_grad()
    def step(action: Any) -> None:
        model.actions.to_env(model.policy(*now).sample())
        now[:] = _seen(envs.step(action))

    return script.lap(step, back, script.actions)


def training(bench: Bench) -> Lap:
    """`actor_critic` learns: rollouts of five steps, a gradient step after each."""
    script = bench.script
    _check_room(bench.envs, LEARNING * N_STEPS * script.num_envs)
    config = ActorCriticConfig(num_envs=script.num_envs, n_steps=N_STEPS, hidden=HIDDEN)
    try:
        agent = ActorCriticAgent(Problem(script.env, device=script.device), config)
    except TypeError as error:
        raise Left(f"no agent of ours reads it: {error}") from error
    updates = max(1, len(script.actions) // N_STEPS)

    def learn() -> tuple[float, float]:
        run = Timed(script, updates * N_STEPS * script.num_envs)
        agent.learn(run)
        return run.clock.seconds, run.steps

    learn()
    return learn


class Timed(Run):
    """A run in memory that begins at a script's start, and is timed from there to its end."""

    def __init__(self, script: Script, total: int) -> None:
        super().__init__(seed=0, total=total)
        self.clock = Clock(script.device)
        self._script = script

    def attach(self, played: Any) -> None:
        super().attach(played)
        played.envs.unwrapped.set_state(self._script.start)
        played.observation, played.mask = _seen(played.envs.step(self._script.actions[0]))
        self.clock.start()

    def going(self) -> bool:
        if self.steps < self.total:
            return True
        self.clock.stop()
        return False


LEVELS: dict[str, Callable[[Bench], Lap]] = {
    "floor": floor,
    "transition": transition,
    "torch": torch_face,
    "numpy": numpy_face,
    "single": single,
    "sb3": sb3,
    "policy": policy,
    "training": training,
}


def _repeated(script: Script, ready: Callable[[], Any], call: Callable[[Any], Any]) -> Lap:
    """A lap of a function of the batch: what `ready` gives goes in, made off the clock."""

    def once(clock: Clock) -> None:
        given = ready()
        with clock.running():
            call(given)

    @torch.no_grad()
    def play() -> tuple[float, float]:
        clock = Clock(script.device)
        for _ in range(count):
            once(clock)
        return clock.seconds, count * script.num_envs

    turns = len(script.moments)
    with torch.no_grad():
        warm = Clock(script.device)
        once(warm)
        trial = Clock(script.device)
        for _ in range(turns):
            once(trial)
    # As long as a script at most: what is off the clock costs time, too. In whole rounds of the
    # moments, which may differ in what they cost.
    wanted = script.step_seconds * len(script.actions) / max(trial.seconds, 1e-9)
    count = turns * max(1, round(min(wanted, 4 * len(script.actions) / turns)))
    return play


def _check_room(envs: Any, observations: int) -> None:
    """Raise `Left` where so many float32 observations are more than half of the free memory."""
    wanted = observations * 4 * gym.spaces.flatdim(envs.single_observation_space)
    device = envs.unwrapped.device
    on_gpu = torch.device(device).type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    if wanted > free / 2:
        raise Left(f"would take some {wanted / 1e9:.2g} GB of memory")


def _seen(step: tuple[Any, ...]) -> tuple[Any, Any]:
    """Observation and mask of what a step returned."""
    return step[0], step[-1].get("action_mask")
