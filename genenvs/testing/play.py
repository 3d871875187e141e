"""What is checked, and playing it so that two plays can be compared event by event."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from genenvs.core.env import TaskEnv
from genenvs.core.loading import load_task
from genenvs.core.task import State, Task
from genenvs.core.vector import TaskVectorEnv
from genenvs.testing.laws import numpy

MODES = tuple(AutoresetMode)
SHORT = 5  # the horizon at which the ends of episodes are looked at


@dataclass(frozen=True)
class Subject:
    """An environment under test: an id or a task, with arguments, in both faces.

    Attributes:
        name: for messages.
        arguments: what the constructors get, `task` among them.
        env_id: the id, where there is one.
        num_envs: rows of the batches.
        steps: steps of a play at the registered horizon, at most.
        seed: of the first row.
        tolerance: between two batch sizes; 0 asks for equal bits.
        scores: whether an id must have measured scores.
        asynchronous: whether worker processes are started.
        judge: whether the slow metrics and features are looked at.
    """

    name: str
    arguments: Mapping[str, Any]
    env_id: str | None = None
    num_envs: int = 3
    steps: int = 40
    seed: int = 7
    tolerance: float = 0.0
    scores: bool = True
    asynchronous: bool = True
    judge: bool = True

    @cached_property
    def kind(self) -> type[Task]:
        """The task's class."""
        return load_task(self.arguments["task"])

    @property
    def horizon(self) -> int:
        """The horizon asked for."""
        return int(self.arguments["horizon"])

    @cached_property
    def short(self) -> int:
        """A horizon that is reached soon, where the task allows one."""
        try:
            self.kind(**self._task_arguments(horizon=min(SHORT, self.horizon)))
        except ValueError:
            return self.horizon
        return min(SHORT, self.horizon)

    @property
    def play_steps(self) -> int:
        """Steps of a play at the short horizon: each row ends at least twice, where it can."""
        return min(3 * self.short + 2, max(self.steps, self.short + 2))

    def _task_arguments(self, **changes: Any) -> dict[str, Any]:
        common = {"task", "instances", "reward_weights", "render_mode"}
        return {k: v for k, v in (dict(self.arguments) | changes).items() if k not in common}

    def single(self, **changes: Any) -> TaskEnv:
        """The single face, as `gym.make` gives it, without its wrappers."""
        if self.env_id is None:
            return TaskEnv(**dict(self.arguments) | changes)
        arguments = self._own() | changes
        env = gym.make(self.env_id, disable_env_checker=True, **arguments)
        return env.unwrapped  # type: ignore[return-value]

    def batch(self, num_envs: int | None = None, **changes: Any) -> TaskVectorEnv:
        """The vector face, as `gym.make_vec` gives it."""
        count = self.num_envs if num_envs is None else num_envs
        if self.env_id is None:
            return TaskVectorEnv(**dict(self.arguments) | {"num_envs": count} | changes)
        arguments = self._own() | changes
        return gym.make_vec(self.env_id, num_envs=count, **arguments)  # type: ignore[return-value]

    def sync(self, mode: AutoresetMode, **changes: Any) -> SyncVectorEnv:
        """Gymnasium's own vector environment over the single face."""
        makers = [lambda: self.single(**changes) for _ in range(self.num_envs)]
        return SyncVectorEnv(makers, autoreset_mode=mode)

    def _own(self) -> dict[str, Any]:
        return {k: v for k, v in self.arguments.items() if k != "task"}


def subject_of(task: str | type[Task], options: Mapping[str, Any], **arguments: Any) -> Subject:
    """The subject that an id, a `module:Class` or a class names.

    Raises:
        TypeError: a task without an id was given no `horizon`.
        gymnasium.error.Error: there is no such id.
    """
    env_id = None
    if (isinstance(task, str) and "/" in task) or (isinstance(task, str) and ":" not in task):
        env_id = str(task)
        spec = gym.spec(env_id)
        arguments = {**spec.kwargs, **arguments}
        if "task" not in arguments:
            raise TypeError(f"{env_id} is no task of genenvs: check_vector_env looks at any other")
    else:
        arguments = {"task": task, **arguments}
        if "horizon" not in arguments:
            raise TypeError(
                f"check_task({task!r}) needs a horizon: it has no id that registers one"
            )
    name = env_id or (task if isinstance(task, str) else task.__name__)
    subject = Subject(
        name, arguments, env_id, **{k: v for k, v in options.items() if v is not None}
    )
    if options.get("tolerance") is None:
        subject = replace(subject, tolerance=subject.kind.tolerance)
    return subject


def random_actions(
    space: gym.Space[Any], masks: np.ndarray | None, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Uniform actions within masks.

    Args:
        space: of one environment.
        masks: bool [B, n] in the flat layout; None: everything is legal.
        count: B.
        rng: where the choice comes from.

    Returns:
        [B, ...] in the dtype of the space.
    """
    if isinstance(space, spaces.Box):
        shape = (count, *space.shape)
        return rng.uniform(space.low, space.high, shape).astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        nvec, start = np.array([space.n]), np.asarray(space.start)
    elif isinstance(space, spaces.MultiBinary):
        nvec, start = np.full(int(np.prod(space.shape)), 2), np.asarray(0)
    elif isinstance(space, spaces.MultiDiscrete):
        nvec, start = space.nvec.reshape(-1), np.asarray(space.start).reshape(-1)
    else:
        raise TypeError(f"no random actions for {space}")
    if masks is None:
        masks = np.ones((count, int(nvec.sum())), bool)
    draws = np.split(rng.random(masks.shape) * masks, np.cumsum(nvec)[:-1], axis=1)
    chosen = np.stack([draw.argmax(1) for draw in draws], 1) + start
    return chosen.reshape(count, *(space.shape or ())).astype(space.dtype)


def legal_actions(envs: TaskVectorEnv, rng: np.random.Generator) -> np.ndarray:
    """Random actions that the masks of all rows allow."""
    discrete = not isinstance(envs.single_action_space, spaces.Box)
    masks = numpy(envs.action_masks()) if discrete else None
    return random_actions(envs.single_action_space, masks, envs.num_envs, rng)


@dataclass
class Event:
    """One call of `reset` or `step` and what came back, as arrays that nothing changes later.

    Attributes:
        step: steps taken before this call.
        result: observation and info; after a step reward, terminated and truncated as well.
        seed: of a reset.
        mask: bool [B] of a partial reset.
        actions: of a step.
        before: bool [B], rows that had ended before this call.
    """

    step: int
    result: dict[str, Any]
    seed: Any = None
    mask: np.ndarray | None = None
    actions: np.ndarray | None = None
    before: np.ndarray | None = None


@dataclass
class Play:
    """A vector environment and what was played on it so far.

    Attributes:
        envs: any vector environment.
        seed: of the first reset.
        rng: where actions come from.
        events: what happened.
    """

    envs: VectorEnv[Any, Any, Any]
    seed: Any = 7
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    events: list[Event] = field(default_factory=list)
    steps: int = 0
    ended: np.ndarray | None = None
    raw: list[Any] = field(default_factory=list)  # the latest results as they came

    def reset(self, mask: np.ndarray | None = None, seed: Any = None) -> Event:
        """Reset all rows, or those of a mask."""
        options = None if mask is None else {"reset_mask": mask.copy()}
        observation, info = self.envs.reset(seed=seed, options=options)
        self.raw = [observation, info]
        if mask is None or self.ended is None:
            self.ended = np.zeros(self.envs.num_envs, bool)
        else:
            self.ended = self.ended & ~mask
        result = numpy({"observation": observation, "info": info})
        return self._keep(Event(self.steps, result, seed, mask))

    def step(self, actions: np.ndarray) -> Event:
        """Take one step."""
        observation, reward, terminated, truncated, info = self.envs.step(actions)
        self.raw = [observation, reward, terminated, truncated, info]
        names = ("observation", "reward", "terminated", "truncated", "info")
        result = numpy(dict(zip(names, self.raw, strict=True)))
        event = Event(self.steps, result, actions=numpy(actions), before=self.ended)
        self.ended = result["terminated"] | result["truncated"]
        self.steps += 1
        return self._keep(event)

    def on(self, steps: int, cut: int | None = None) -> "Play":
        """Play random legal actions from here; with autoreset disabled, ended rows are reset.

        Args:
            steps: how many.
            cut: before which of them the first row is reset, so that rows end raggedly.
        """
        disabled = self.envs.metadata.get("autoreset_mode") is AutoresetMode.DISABLED
        if self.ended is None:
            self.reset(seed=self.seed)
        for number in range(steps):
            assert self.ended is not None
            if number == cut:
                self.reset(np.arange(self.envs.num_envs) == 0)
            if disabled and self.ended.any():
                self.reset(self.ended)
            assert isinstance(self.envs, TaskVectorEnv)
            self.step(legal_actions(self.envs, self.rng))
        return self

    def again(self, events: list[Event]) -> "Play":
        """Make the same calls that another play made."""
        for event in events:
            if event.actions is None:
                self.reset(event.mask, event.seed)
            else:
                self.step(event.actions)
        return self

    def _keep(self, event: Event) -> Event:
        self.events.append(event)
        return event


def row_info(info: Mapping[str, Any], row: int) -> dict[str, Any]:
    """What a batch's `info` says of one row, in the form of a single environment's."""
    result = {}
    for key, value in info.items():
        if key.startswith("_") or not info[f"_{key}"][row]:
            continue
        result[key] = row_info(value, row) if isinstance(value, dict) else value[row]
    return result


def row_of(observation: Any, row: int) -> Any:
    """One row of a batch of observations."""
    if isinstance(observation, Mapping):
        return {k: row_of(v, row) for k, v in observation.items()}
    return observation[row]


def storages(value: Any) -> dict[str, int]:
    """The address of every tensor's or array's memory in a result, by path."""
    found: dict[str, int] = {}

    def visit(item: Any, path: str) -> None:
        if isinstance(item, torch.Tensor):
            if item.numel():
                found[path] = item.untyped_storage().data_ptr()
        elif isinstance(item, Mapping):
            for k, v in item.items():
                visit(v, f"{path}.{k}")
        elif isinstance(item, State):
            visit(item.tensors(), path)
        elif isinstance(item, tuple | list):
            for i, v in enumerate(item):
                visit(v, f"{path}[{i}]")

    visit(value, "")
    return {k.lstrip("."): v for k, v in found.items()}
